"""The ledger as commands use it: opened for one operation, with errors told in one line."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import click
from sqlalchemy import Connection

from mini_llm.errors import ConfigError
from router.config import load_ledger_url
from router.db import WrongRevision, open_database
from router.ledger.errors import LedgerError
from router.ledger.writer import Ledger

T = TypeVar("T")


def read_ledger(operation: Callable[[Connection], T]) -> T:
    """The result of a reading operation."""
    with told(), Ledger(open_database(load_ledger_url(os.environ))) as ledger:
        return ledger.read(operation)


def write_ledger(operation: Callable[[Connection], T]) -> T:
    """The result of a writing operation, once it is committed."""
    with told(), Ledger(open_database(load_ledger_url(os.environ))) as ledger:
        return ledger.run(operation)


@contextmanager
def told() -> Iterator[None]:
    """Errors that the operator can mend are told in one line, without a traceback."""
    try:
        yield
    except (ConfigError, LedgerError, WrongRevision) as error:
        raise click.ClickException(str(error)) from None

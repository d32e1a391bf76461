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
from router.db import open_database
from router.db_trouble import trouble_of
from router.ledger.errors import LedgerError
from router.ledger.writer import Ledger

T = TypeVar("T")


def read_ledger(operation: Callable[[Connection], T]) -> T:
    """The result of a reading operation."""
    with opened_ledger() as ledger:
        return ledger.read(operation)


def write_ledger(operation: Callable[[Connection], T]) -> T:
    """The result of a writing operation, once it is committed."""
    with opened_ledger() as ledger:
        return ledger.run(operation)


@contextmanager
def opened_ledger() -> Iterator[Ledger]:
    """The ledger for one command, with its errors told."""
    with told(), Ledger(open_database(load_ledger_url(os.environ), create=False)) as ledger:
        yield ledger


class Unusable(click.ClickException):
    """Settings that nothing can be done with; the status is that of wrong usage, as in `vibes`."""

    exit_code = click.UsageError.exit_code


@contextmanager
def told() -> Iterator[None]:
    """Errors that the operator can mend are told in one line, without a traceback."""
    try:
        yield
    except ConfigError as error:
        raise Unusable(str(error)) from None
    except LedgerError as error:
        raise click.ClickException(str(error)) from None
    except Exception as error:
        if (trouble := trouble_of(error)) is None:
            raise
        raise click.ClickException(f"the ledger cannot be used: {trouble}") from None

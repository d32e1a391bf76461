"""`vibes-router receipts`: what an auditor gets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

import click
from sqlalchemy import Connection

from mini_llm.cli.lazy import Group
from router.commands.ledger import read_ledger
from router.ledger import read
from router.receipts import receipt_line


@click.group(cls=Group)
def receipts() -> None:
    """Export the signed receipts of charged calls."""


@receipts.command("export")
@click.option(
    "-o",
    "--output",
    type=click.File("w", atomic=True),
    default="-",
    help="File to write [default: standard output].",
)
def export_receipts(output: IO[str]) -> None:
    """Write all receipts as JSON lines, by account and sequence, for `vibes audit --receipts FILE`.

    \b
    Example: vibes-router receipts export -o receipts.jsonl
    """
    count = read_ledger(lambda connection: sum(_lines(connection, output)))
    click.echo(f"{count} receipts", err=True)


def _lines(connection: Connection, output: IO[str]) -> Iterator[int]:
    for signed in read.iter_receipts(connection):
        output.write(receipt_line(signed) + "\n")
        yield 1

"""`vibes-router receipts`: what an auditor gets."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import IO

import click
from sqlalchemy import Connection

from mini_llm.cli.lazy import Group
from mini_llm.wallet.receipt import SignedReceipt
from router.commands.ledger import read_ledger
from router.ledger import read
from router.receipts import pseudonymous_line, receipt_line


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
@click.option(
    "--pseudonymous",
    is_flag=True,
    help="For statistics: no ids, hashes, signatures and running sums, and made-up names for accounts.",
)
def export_receipts(output: IO[str], pseudonymous: bool) -> None:
    """Write all receipts as JSON lines, by account and sequence, for `vibes audit --receipts FILE`.

    With --pseudonymous an account has one name throughout the file and another in the next one; nobody can
    audit such a file.

    \b
    Examples:
      vibes-router receipts export -o receipts.jsonl
      vibes-router receipts export --pseudonymous -o usage.jsonl
    """
    line = pseudonymous_line(secrets.token_bytes(32)) if pseudonymous else receipt_line
    count = read_ledger(lambda connection: sum(_lines(connection, output, line)))
    click.echo(f"{count} receipts", err=True)


def _lines(connection: Connection, output: IO[str], line: Callable[[SignedReceipt], str]) -> Iterator[int]:
    for signed in read.iter_receipts(connection):
        output.write(line(signed) + "\n")
        yield 1

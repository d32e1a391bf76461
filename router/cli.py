"""The operator's command line: `vibes-router`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import IO, Final

import click
from sqlalchemy import Connection

from mini_llm.cli.lazy import LazyGroup
from router.api.admin_door import new_admin_key
from router.commands.ledger import read_ledger
from router.ledger import read
from router.receipts import receipt_line

ELSEWHERE: Final = {
    "conductor": "router.commands.conductor:conductor",
    "config": "router.commands.config:config",
    "costs": "router.commands.money:costs",
    "db": "router.commands.db:db",
    "dev-account": "router.commands.development:dev_account",
    "keys": "router.commands.keys:keys",
    "learning": "router.commands.learning:learning",
    "ledger": "router.commands.money:ledger",
    "promo": "router.commands.money:promo",
    "quality": "router.commands.quality:quality",
    "rewards": "router.commands.rewards:rewards",
    "serve": "router.commands.serve:serve",
    "vault": "router.commands.vault:vault",
    "x402": "router.commands.x402:x402",
}
"""Where commands are: who runs one need not carry the others."""


@click.group(cls=LazyGroup, elsewhere=ELSEWHERE, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """An OpenAI-compatible gateway that meters each call into a ledger of VIBES.

    \b
    Set up and serve:
      export VIBES_CONFIG=router.json VIBES_LEDGER_URL=sqlite:///ledger.db
      export VIBES_CHAIN_ID=31337 VIBES_SETTLEMENT=0x… VIBES_RECEIPT_KEY_FILE=receipt.key
      vibes-router serve

    \b
    Without contracts, to try it: an account with play money, and its key
      vibes-router dev-account

    \b
    Give account 1 an API key and call with it:
      vibes-router keys create --account 1 --label laptop
      curl http://127.0.0.1:8402/v1/chat/completions -H "Authorization: Bearer sk-vibes-…" \\
        -H "Content-Type: application/json" \\
        -d '{"model": "pithy-1", "messages": [{"role": "user", "content": "Hello"}]}'

    \b
    Hand the receipts to an auditor:
      vibes-router receipts export -o receipts.jsonl
    """


@main.command("admin-key")
@click.argument("name")
def admin_key(name: str) -> None:
    """Make an operator's key for NAME and print it, this once, with its line for VIBES_ADMIN_KEYS_FILE.

    \b
    Example: vibes-router admin-key alice 2>>admin.keys
    The key goes to standard output, the line with its hash to standard error.
    """
    key, line = new_admin_key(name)
    click.echo(key)
    click.echo(line, err=True)


@main.group()
def receipts() -> None:
    """Signed receipts of charged calls."""


@receipts.command("export")
@click.option("-o", "--output", type=click.File("w", atomic=True), default="-", help="Else the terminal.")
def export_receipts(output: IO[str]) -> None:
    """Write all receipts as JSON lines, by account and sequence, for `vibes audit --receipts FILE`."""
    count = read_ledger(lambda connection: sum(_lines(connection, output)))
    click.echo(f"{count} receipts", err=True)


def _lines(connection: Connection, output: IO[str]) -> Iterator[int]:
    for signed in read.iter_receipts(connection):
        output.write(receipt_line(signed) + "\n")
        yield 1


if __name__ == "__main__":
    sys.exit(main())

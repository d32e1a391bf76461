"""`vibes-router erase`: what an account's owner may ask to be forgotten."""

from __future__ import annotations

import click

from router.commands.ledger import write_ledger
from router.people.erasure import erase_owner


@click.command("erase")
@click.option("--account", "idx", required=True, type=int, help="Index of the account.")
@click.confirmation_option(prompt="Keys end, and what is erased cannot be had back. Erase it?")
def erase(idx: int) -> None:
    """Erase what is kept about the owner of an account: answers, keys and their labels, sessions, teams.

    The books stay as they are: calls with their token counts, charges and receipts, and the wallet's address,
    which the chain shows. Backups and the operators' audit log are not touched.

    \b
    Example: vibes-router erase --account 7 --yes
    """
    found = write_ledger(lambda connection: erase_owner(connection, idx))
    for what, count in found.items():
        click.echo(f"{what}: {count}")

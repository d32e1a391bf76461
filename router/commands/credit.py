"""`vibes-router credit`: accounts of a router without a chain, paid for in another way."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import click
from sqlalchemy import Connection

from mini_llm.cli.lazy import Group
from router.commands.development import OWNER, next_idx, open_funded, read_amount
from router.commands.ledger import told, write_ledger
from router.config import Settings, load_settings
from router.config_money import NO_CHAIN
from router.ledger import chain, read
from router.ledger.ceilings import MAX_CEILING_BASE
from router.ledger.errors import IdempotencyMismatch
from router.ledger.keys import create_api_key

REFERENCE: Final = "What was paid, such as an invoice's number; the same is credited once."


@click.group(cls=Group)
def credit() -> None:
    """Open and top up accounts where VIBES_CREDIT_ONLY=yes: credit that the operator owes calls for."""


@credit.command("open")
@click.option("--usd", required=True, help='Amount, such as "20".')
@click.option("--reference", required=True, help=REFERENCE)
@click.option("--label", default="", help="A name for the API key.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def open_credit(usd: str, reference: str, label: str, as_json: bool) -> None:
    """Open an account with credit, and print an API key for it.

    \b
    Example: vibes-router credit open --usd 20 --reference invoice-7 --label "Ada Ltd"
    """
    settings = _settings()
    amount_base = read_amount(usd, settings.config.vibes_per_usd)

    def fund(connection: Connection) -> tuple[int, str]:
        idx = next_idx(connection)
        with _new(reference):
            open_funded(connection, NO_CHAIN, idx, amount_base, _code(reference), MAX_CEILING_BASE)
        return idx, create_api_key(connection, idx, label).secret

    idx, api_key = write_ledger(fund)
    fields = {"account": idx, "amount_base": str(amount_base), "api_key": api_key}
    click.echo(json.dumps(fields) if as_json else f"account {idx}\n{api_key}")


@credit.command("add")
@click.option("--account", "idx", required=True, type=int, help="Index of the account.")
@click.option("--usd", required=True, help='Amount, such as "20".')
@click.option("--reference", required=True, help=REFERENCE)
def add_credit(idx: int, usd: str, reference: str) -> None:
    """Add credit to an account.

    \b
    Example: vibes-router credit add --account 7 --usd 20 --reference invoice-8
    """
    amount_base = read_amount(usd, _settings().config.vibes_per_usd)

    def fund(connection: Connection) -> bool:
        if read.account_view(connection, idx).owner != OWNER:
            raise click.ClickException(f"account {idx} belongs to a wallet: it deposits on the chain")
        with _new(reference):
            return chain.credit_deposit(connection, idx, amount_base, _code(reference)).new

    new = write_ledger(fund)
    click.echo(f"added {amount_base} base units to account {idx}" if new else "already added")


def _settings() -> Settings:
    with told():
        settings = load_settings(os.environ)
    if settings.domain != NO_CHAIN:
        raise click.ClickException(
            "this router has a chain, and money comes from deposits there; VIBES_CREDIT_ONLY is not set"
        )
    return settings


@contextmanager
def _new(reference: str) -> Iterator[None]:
    try:
        yield
    except IdempotencyMismatch:
        raise click.ClickException(
            f"the reference {reference!r} was credited before, to another account or in another amount: "
            "nothing was done"
        ) from None


def _code(reference: str) -> str:
    return f"credit:{reference}"

"""`vibes-router dev-account`: an account with play money, to try the router without its contracts."""

from __future__ import annotations

import json
import os
import secrets
import time
from typing import Final

import click
from sqlalchemy import Connection

from mini_llm.wallet.babyjub import SUBORDER, public_key
from mini_llm.wallet.ceiling import key_commitment, settlement_domain, sign_ceiling
from mini_llm.wallet.limits import MAX_AMOUNT_BASE
from mini_llm.wallet.receipt import ReceiptDomain
from router.commands.ledger import told, write_ledger
from router.config import load_ledger_url, load_settings
from router.config_money import NO_CHAIN, usd_base
from router.db import open_database
from router.db_trouble import NoLedger
from router.ledger import chain, read
from router.ledger.ceilings import check_ceiling, store_ceiling
from router.ledger.grants import DEFAULT_SCOPES, Grant
from router.ledger.keys import create_api_key
from router.ledger.writer import Ledger

CHAIN_IDS: Final = frozenset({31337, 31338})
"""Local chains, on which nothing is worth anything."""
OWNER: Final = "0x000000000000000000000000000000000000dEaD"
"""Owns these accounts: nobody, so that no real account is taken for one of them."""
DAYS: Final = 30
_DAY_S: Final = 86_400


@click.command("dev-account")
@click.option("--usd", default="5", show_default=True, help="The account's money in USD.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def dev_account(usd: str, dry_run: bool, as_json: bool) -> None:
    """Open an account with play money and print an API key for it, which works for thirty days.

    The money stands in this ledger and nowhere else: no contract holds it, and `vibes ledger check` says so.
    Refused on every chain but a local one, and in a ledger that has accounts of real wallets.
    For accounts on a local chain with contracts, proofs and settlement use `vibes up`.

    \b
    Examples:
      vibes-router dev-account --dry-run
      vibes-router dev-account --usd 20
    """
    with told():
        settings = load_settings(os.environ)
    place = settings.domain
    if place == NO_CHAIN:
        raise click.ClickException("this router has no chain: `vibes-router credit open` opens accounts")
    if place.chain_id not in CHAIN_IDS:
        local = " and ".join(map(str, sorted(CHAIN_IDS)))
        raise click.ClickException(
            f"VIBES_CHAIN_ID is {place.chain_id}: play money is for the local chains {local} only; "
            "elsewhere accounts come from deposits into the settlement contract"
        )
    amount_base = read_amount(usd, settings.config.vibes_per_usd)
    idx = _free_idx(create=not dry_run)
    if dry_run:
        click.echo(f"would open account {idx} with {amount_base} base units ({usd} USD) and make an API key")
        return

    def fund(connection: Connection) -> str:
        if next_idx(connection) != idx:
            raise click.ClickException("another account was opened at this moment: try again")
        open_funded(connection, place, idx, amount_base, f"development:{idx}", amount_base)
        grant = Grant(scopes=DEFAULT_SCOPES, expires_s=int(time.time()) + DAYS * _DAY_S)
        return create_api_key(connection, idx, "development", grant=grant).secret

    api_key = write_ledger(fund)
    fields = {"account": idx, "amount_base": str(amount_base), "api_key": api_key}
    click.echo(json.dumps(fields) if as_json else api_key)


def open_funded(
    connection: Connection,
    place: ReceiptDomain,
    idx: int,
    amount_base: int,
    reference: str,
    ceiling_base: int,
) -> None:
    """Opens an account that no contract knows, with money, and lets it spend up to a ceiling."""
    secret = 1 + secrets.randbelow(SUBORDER - 1)  # signs the one ceiling and is forgotten
    domain = settlement_domain(place.chain_id, place.settlement)
    chain.open_account(connection, idx, OWNER)
    chain.credit_deposit(connection, idx, amount_base, reference)
    chain.request_key(connection, idx, key_commitment(public_key(secret)), f"development key:{idx}")
    store_ceiling(connection, check_ceiling(domain, sign_ceiling(secret, domain, idx, ceiling_base)))


def _free_idx(create: bool) -> int:
    with told():
        try:
            with Ledger(open_database(load_ledger_url(os.environ), create=create)) as ledger:
                return ledger.read(next_idx)
        except NoLedger:  # and none is to be made
            return 1


def next_idx(connection: Connection) -> int:
    """The first index without an account.

    Raises:
        ClickException: the ledger has accounts of real wallets.
    """
    accounts = read.accounts(connection)
    for account in accounts:
        if account.owner != OWNER:
            raise click.ClickException(
                f"account {account.idx} of this ledger belongs to the wallet {account.owner}: "
                "money of no contract would stand beside deposits; "
                "take a ledger of its own (VIBES_LEDGER_URL)"
            )
    return accounts[-1].idx + 1 if accounts else 1


def read_amount(usd: str, vibes_per_usd: int) -> int:
    """An amount in USD as base units that an account can hold."""
    try:
        amount_base = usd_base(usd, vibes_per_usd)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--usd") from None
    if not 1 <= amount_base <= MAX_AMOUNT_BASE:
        raise click.BadParameter(f"{usd} is no amount that an account can hold", param_hint="--usd")
    return amount_base

"""``mini-llm deposit`` and ``withdraw``: money between a wallet and the settlement contract."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from mini_llm.cli.chain import Desk, open_desk, signing_options
from mini_llm.cli.ending import MISUSED, Trouble
from mini_llm.cli.state import State, pass_state, print_json

if TYPE_CHECKING:
    from mini_llm.wallet.node import Call

DEFAULT_CAP_USD: Final = "5"


@click.command()
@click.argument("amount", metavar="VIBES")
@signing_options
@click.option(
    "--approve",
    "by_approval",
    is_flag=True,
    help="Approve and deposit in two transactions, without a permit.",
)
@click.option(
    "--key-commit",
    metavar="NUMBER",
    help="First deposit: commitment of a session key that is kept elsewhere.",
)
@click.option("--daily-cap", default=DEFAULT_CAP_USD, show_default=True, metavar="USD",
              help="First deposit: the most that this machine may spend in one day.")  # fmt: skip
@pass_state
def deposit(
    state: State, /, amount: str, by_approval: bool, key_commit: str | None, daily_cap: str, yes: bool,
    as_json: bool, unsigned: bool, **options: Any,
) -> None:  # fmt: skip
    """Move VIBES from the wallet to its account at the contract.

    Says what would happen and asks. The first deposit opens the account; its session key is made from the
    wallet's signature, kept in your settings, and signs spending up to the daily cap.

    \b
    Examples:
      mini-llm deposit 100 --key-file wallet.json
      mini-llm deposit 100 --from 0x… --unsigned --key-commit 123…
    """
    amount_base = _amount(amount)
    with open_desk(state, unsigned, **options) as desk:
        holdings = desk.contract.holdings(desk.owner)
        desk.contract.check_deposit(holdings, amount_base)
        secret, commit = (None, 0) if holdings.idx else _session_key(state, desk, key_commit)
        if desk.key is None or by_approval:
            calls = desk.contract.deposit(desk.owner, amount_base, commit)
        else:
            calls = [desk.contract.deposit_by_permit(desk.key, amount_base, commit)]
        if secret is not None and (yes or unsigned or sys.stdin.isatty()):
            _keep_session_key(state, secret, daily_cap)
        _finish(desk, calls, yes, as_json)


@click.command()
@click.argument("amount", metavar="VIBES", required=False)
@signing_options
@click.option("--finish", is_flag=True, help="Pay out what the operator has set aside.")
@pass_state
def withdraw(
    state: State,
    /,
    amount: str | None,
    finish: bool,
    yes: bool,
    as_json: bool,
    unsigned: bool,
    **options: Any,
) -> None:
    """Ask for VIBES back; once the operator has set them aside, finish it.

    If the operator does not answer, leave with `vibes exit`, which needs nothing but a node.

    \b
    Examples:
      mini-llm withdraw 50 --key-file wallet.json
      mini-llm withdraw --finish --key-file wallet.json
    """
    if finish == (amount is not None):
        raise Trouble("either an amount to ask for, or --finish", MISUSED)
    with open_desk(state, unsigned, **options) as desk:
        holdings = desk.contract.holdings(desk.owner)
        if amount is None:
            call = desk.contract.finish_withdrawal(holdings)
        else:
            call = desk.contract.request_withdrawal(holdings, _amount(amount))
        _finish(desk, [call], yes, as_json)


def _finish(desk: Desk, calls: Sequence[Call], yes: bool, as_json: bool) -> None:
    """Shows what would be sent; sends it if that is wanted."""
    transactions = desk.node.prepare(desk.owner, calls)
    if desk.key is None:
        print_json({"transactions": transactions})
        return
    shown = [
        {"what": call.what, "to": call.to, "gas": one["gas"], "most_wei": one["gas"] * _price_wei(one)}
        for call, one in zip(calls, transactions, strict=True)
    ]
    if not as_json:
        for one in shown:
            click.echo(f"{one['what']}: {one['gas']:,} gas, at most {one['most_wei']:,} wei", err=True)
    agreed = yes or (sys.stdin.isatty() and click.confirm("send?", default=False, err=True))
    sent = [desk.node.send(desk.key, one) for one in transactions] if agreed else []
    if as_json:
        print_json({"planned": shown, "sent": sent})
    elif sent:
        click.echo("\n".join(f"sent {tx_hash}" for tx_hash in sent))
    if not sent:
        raise Trouble("nothing was sent: add --yes to send")


def _session_key(state: State, desk: Desk, key_commit: str | None) -> tuple[int | None, int]:
    """The session key of a first deposit, if it is made here, and its commitment."""
    from mini_llm.wallet.babyjub import public_key
    from mini_llm.wallet.ceiling import derive_session_secret, key_commitment, session_key_typed_data
    from mini_llm.wallet.field import is_canonical
    from mini_llm.wallet.guard import read_session_key

    if key_commit is not None:
        if not key_commit.isdigit() or not is_canonical(int(key_commit)) or int(key_commit) == 0:
            raise Trouble("--key-commit is the decimal number that names a session key", MISUSED)
        return None, int(key_commit)
    wallet = state.settings().wallet
    if wallet is not None and (known := read_session_key(wallet)) is not None:
        return None, key_commitment(public_key(known))
    if desk.key is None:
        raise Trouble("a first deposit names a session key: --key-commit, or set wallet.session_key", MISUSED)
    typed = session_key_typed_data(desk.node.chain_id, desk.contract.address)
    secret = derive_session_secret(bytes(desk.key.sign_typed_data(full_message=typed).signature))
    return secret, key_commitment(public_key(secret))


def _keep_session_key(state: State, secret: int, daily_cap: str) -> None:
    from mini_llm.wallet.config import usd_base

    try:
        usd_base(daily_cap)
    except ValueError as error:
        raise Trouble(f"--daily-cap: {error}", MISUSED) from None
    state.user_file.put_secret(("wallet", "session_key"), hex(secret), {"daily_cap_usd": daily_cap})
    click.echo(f"the session key is in your settings; it signs for at most {daily_cap} USD a day", err=True)


def _price_wei(transaction: dict[str, Any]) -> int:
    return int(transaction.get("maxFeePerGas") or transaction["gasPrice"])


def _amount(text: str) -> int:
    from mini_llm.wallet.money import read_vibes

    try:
        return read_vibes(text)
    except ValueError as error:
        raise Trouble(str(error), MISUSED) from None

"""``mini-llm balance``: what a wallet has, in it, at the contract and at the router."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click

from mini_llm.cli.chain import address_of, open_contract, place_options
from mini_llm.cli.ending import NOT_SET_UP, Trouble
from mini_llm.cli.state import State, json_option, pass_state, print_json, printable
from mini_llm.userfile import user_folder

if TYPE_CHECKING:
    from mini_llm.wallet.config import WalletConfig
    from mini_llm.wallet.settlement import Holdings

_AT_ROUTER: Final = (
    ("balance at the router", "balance_base"),
    ("  can be spent now", "available_base"),
    ("  held for running calls", "reserved_base"),
    ("  owed (deposits that the chain lost)", "deficit_base"),
    ("spent to date", "spent_base"),
    ("signed for, in total", "ceiling_base"),
)


@click.command()
@click.argument("address", required=False)
@place_options
@json_option
@pass_state
def balance(state: State, /, address: str | None, as_json: bool, **options: Any) -> None:
    """Show what the wallet has in itself, at the contract and at the router.

    \b
    Examples:
      mini-llm balance
      mini-llm balance 0x… --rpc http://127.0.0.1:8545 --json
    """
    wallet = state.settings().wallet
    told = _at_router(wallet)
    known = str((told or {}).get("owner") or "") or None
    owner = address_of(address) if address else known
    if owner is None:
        raise Trouble("whose balance? Sign in with mini-llm login, or name an address", NOT_SET_UP)
    if known is not None and owner.lower() != known.lower():
        told = None  # another wallet's
    at_chain = None
    if options.get("rpc") or (wallet is not None and wallet.rpc_url is not None):
        with open_contract(state, **options) as (_, contract):
            at_chain = contract.holdings(address_of(owner))
    if told is None and at_chain is None:
        raise Trouble(f"nobody to ask about {owner}: give a node with --rpc, or sign in with it", NOT_SET_UP)
    elsewhere_base = None if told is None else _elsewhere(state, wallet, told)
    if as_json:
        print_json(_as_json(owner, at_chain, told, elsewhere_base))
    else:
        click.echo("\n".join(_as_lines(owner, at_chain, told, elsewhere_base)))


def _at_router(wallet: WalletConfig | None) -> dict[str, Any] | None:
    if wallet is None or wallet.api_key is None or wallet.base_url is None:
        return None
    import httpx

    from mini_llm.wallet.rest import call

    with httpx.Client(trust_env=False, timeout=30.0) as http:
        return call(http, "GET", f"{wallet.base_url}/account", token=wallet.api_key.get_secret_value())


def _elsewhere(state: State, wallet: WalletConfig | None, told: dict[str, Any]) -> int | None:
    """What the router charged for calls that were not made with this user's files; None if none are kept."""
    from mini_llm.wallet.book import FILE_NAME, Book

    folder = user_folder(state.environ)
    path = (wallet.book if wallet else None) or (folder / FILE_NAME if folder is not None else None)
    if wallet is None or path is None or not path.is_file():
        return None
    book = Book(path, f"{wallet.chain_id}:{wallet.settlement}:{told.get('account')}")
    try:
        return book.elsewhere_base()
    finally:
        book.close()


def _as_json(
    owner: str, at_chain: Holdings | None, told: dict[str, Any] | None, elsewhere_base: int | None
) -> dict[str, Any]:
    chain = None
    if at_chain is not None:
        chain = {
            name: str(value) if name.endswith(("_base", "_wei")) else value
            for name, value in vars(at_chain).items()
        }
    elsewhere = None if elsewhere_base is None else str(elsewhere_base)
    return {"owner": owner, "chain": chain, "router": told, "elsewhere_base": elsewhere}


def _amount(told: dict[str, Any], field: str) -> int:
    """An amount that the router tells, base units.

    Raises:
        RouterUnreachable: it tells none.
    """
    from mini_llm.wallet.errors import RouterUnreachable

    text = told.get(field)
    if not isinstance(text, str) or not text.isascii() or not text.isdigit():
        raise RouterUnreachable("an account that cannot be read")
    return int(text)


def _as_lines(
    owner: str, at_chain: Holdings | None, told: dict[str, Any] | None, elsewhere_base: int | None
) -> Iterator[str]:
    from mini_llm.wallet.money import vibes

    yield f"wallet {printable(owner)}"
    rows: list[tuple[str, int]] = []
    if at_chain is not None:
        rows += [
            ("in the wallet", at_chain.wallet_base),
            ("deposited, in no batch yet", at_chain.pending_deposit_base),
            ("  being taken back", at_chain.cancelling_base),
            ("asked to withdraw", at_chain.withdraw_requested_base),
            ("set aside, to finish", at_chain.withdrawable_base),
        ]
    if told is not None:
        rows += [(name, _amount(told, field)) for name, field in _AT_ROUTER]
    if elsewhere_base is not None:
        rows.append(("spent by calls not made here", elsewhere_base))
    for name, amount_base in rows:
        yield f"  {name:<38}{vibes(amount_base):>22} VIBES"
    if at_chain is not None:
        account = f"account {at_chain.idx}, {at_chain.status}" if at_chain.idx else "no account"
        yield f"  {account}; {at_chain.gas_wei:,} wei for gas"
        if at_chain.withdraw_requested_base:
            until = datetime.fromtimestamp(at_chain.withdraw_deadline_s, UTC)
            yield f"  the operator has until {until:%Y-%m-%d %H:%M} UTC; after that: vibes exit"

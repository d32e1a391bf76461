"""What commands share that work with the settlement contract: which one, through which node, whose wallet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mini_llm.cli.approve import ask_password
from mini_llm.cli.ending import MISUSED, Trouble
from mini_llm.cli.state import State, json_option

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

    from mini_llm.wallet.node import Node
    from mini_llm.wallet.settlement import Settlement

_file = click.Path(exists=True, dir_okay=False, path_type=Path)
_Command = Callable[..., Any]


def place_options(command: _Command) -> _Command:
    """Options that say which contract, on which chain, through which node."""
    for option in (
        click.option(
            "--chain-id", type=click.IntRange(min=1), help="Chain of the contract [default: the login's]."
        ),
        click.option("--settlement", metavar="ADDRESS", help="The contract [default: the login's]."),
        click.option("--rpc", metavar="URL", help="A node of the chain [default: wallet.rpc_url]."),
    ):
        command = option(command)
    return command


def signing_options(command: _Command) -> _Command:
    """Options of commands that make transactions."""
    for option in (
        json_option,
        click.option("--yes", is_flag=True, help="Send without asking."),
        click.option(
            "--unsigned", is_flag=True, help="Print the transactions for a hardware wallet; send nothing."
        ),
        click.option("--from", "owner", metavar="ADDRESS", help="The wallet, with --unsigned."),
        click.option(
            "--key-file", type=_file, help="The wallet's key: a keystore, or hex that only you can read."
        ),
    ):
        command = option(command)
    return place_options(command)


@dataclass(frozen=True)
class Desk:
    """What a command works with: a node and the contract; the wallet by its key, or by its address alone."""

    node: Node
    contract: Settlement
    key: LocalAccount | None
    owner: str


@contextmanager
def open_desk(
    state: State, unsigned: bool, key_file: Path | None, owner: str | None, **options: Any
) -> Iterator[Desk]:
    """The desk that the options of a command name, until the block ends.

    Raises:
        Trouble, WalletError: they do not fit together, or what they name does not answer.
    """
    if unsigned == (key_file is not None) or (unsigned and owner is None):
        raise Trouble("either --key-file, or --unsigned with --from ADDRESS", MISUSED)
    key = None
    if key_file is not None:
        read_wallet_key = need("mini_llm.wallet.keyfile").read_wallet_key
        key = read_wallet_key(key_file, lambda: ask_password(state.environ))
        if owner is not None and owner.lower() != key.address.lower():
            raise Trouble(f"the key file is of {key.address}, not of {owner}", MISUSED)
    with open_contract(state, **options) as (node, contract):
        yield Desk(node, contract, key, key.address if key is not None else address_of(owner or ""))


@contextmanager
def open_contract(
    state: State, rpc: str | None, settlement: str | None, chain_id: int | None
) -> Iterator[tuple[Node, Settlement]]:
    """Node and contract, by options and else by the settings, which may not contradict each other.

    Raises:
        Trouble, WalletError: they do, or the node does not answer, or is of another chain.
    """
    import httpx

    wallet = state.settings().wallet
    if wallet is not None:
        rpc = rpc or (wallet.rpc_url.get_secret_value() if wallet.rpc_url else None)
        for name, given in (("settlement", settlement), ("chain_id", chain_id)):
            known = getattr(wallet, name)
            if None not in (known, given) and str(known).lower() != str(given).lower():
                raise Trouble(
                    f"the login's {name} is {known}, not {given}: nothing is signed for another", MISUSED
                )
        settlement, chain_id = settlement or wallet.settlement, chain_id or wallet.chain_id
    if rpc is None:
        raise Trouble("--rpc is missing: give a node's address, or set wallet.rpc_url", MISUSED)
    for name, value in (("--settlement", settlement), ("--chain-id", chain_id)):
        if value is None:
            raise Trouble(f"{name} is missing: give it, or run mini-llm login first", MISUSED)
    with httpx.Client(trust_env=False, timeout=30.0) as http:
        node = need("mini_llm.wallet.node").Node(rpc, http, chain_id)
        yield (
            node,
            need("mini_llm.wallet.settlement").Settlement(node, address_of(settlement or ""), chain_id),
        )


def address_of(text: str) -> str:
    """An address with its checksum.

    Raises:
        Trouble: it is none.
    """
    address: str | None = need("mini_llm.wallet.address").checksummed(text)
    if address is None:
        raise Trouble(f"{text!r} is not an address, or its checksum is wrong", MISUSED)
    return address


def need(module: str) -> Any:
    """A module that needs the extra of wallets."""
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError:
        raise Trouble("this needs an extra: pip install 'mini-llm[wallet]'") from None

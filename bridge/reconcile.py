"""Is the ledger the chain plus what is not settled? Sum by sum, at the last block that the ledger knows.

custody                      = tokens that the contract holds
an account's money           = its balance in the tree + deposits that wait - charges not settled
a receiver's gross           = its gross on chain + charges not settled + charges written off
what left a ledger account   = what the contract paid out, burned or gave as rewards
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

from sqlalchemy import Connection

from bridge.chain.client import ChainClient
from bridge.chain.settlement import SettlementContract
from bridge.config import BridgeSettings
from bridge.sessions import require_table
from bridge.state import ChainState
from bridge.store import Store, open_store, rebuild_state
from mini_llm.wallet.ceiling import settlement_domain
from router.ledger import (
    AccountView,
    Ledger,
    ledger_errors,
    open_database,
    read,
    trial_balance,
)
from router.ledger.books import Flow, flows, open_gross

MOST_TRIES: Final = 5
"""So often all is compared at most: a bridge that reads on meanwhile makes differences that are none."""

_PAID: Final = {"burn": "burned", "fee": "feePaid", "pool": "rewards", "treasury": "treasuryPaid"}
"""Ledger accounts of the house, and the contract's total of what left each."""


@dataclass(frozen=True)
class Reconciliation:
    """Outcome of a check.

    Attributes:
        block: the block at which ledger and chain were compared.
        differences: what differs, in words; empty if the books balance and ledger = chain + unsettled.
        held_base: tokens that the contract holds.
        unsettled_base: posted charges that no batch has settled yet.
        accounts: how many were compared.
    """

    block: int
    differences: tuple[str, ...]
    held_base: int
    unsettled_base: int
    accounts: int


def reconcile(settings: BridgeSettings) -> Reconciliation:
    """Compares ledger and chain; changes neither.

    Raises:
        ConfigError: a database that is not there.
        RpcUnavailable, RpcRefused, WrongChain, NoContract, StateMismatch.
    """
    require_table("VIBES_BRIDGE_URL", settings.store_url, "deployment")
    require_table("VIBES_LEDGER_URL", settings.ledger_url, "account")
    store = open_store(settings.store_url)
    contract = SettlementContract(
        ChainClient(settings.rpc_url, settings.timeout_s, settings.chain_id), settings.settlement
    )
    domain = settlement_domain(contract.client.chain_id, contract.address)
    with Ledger(open_database(settings.ledger_url)) as ledger:
        for _ in range(MOST_TRIES):
            block, _ = store.indexed()
            state = rebuild_state(store, domain)
            found = ledger.read(partial(_reconcile, contract=contract, state=state, store=store, block=block))
            if not found.differences or store.indexed()[0] == block:
                break
    return found


def _reconcile(
    connection: Connection, contract: SettlementContract, state: ChainState, store: Store, block: int
) -> Reconciliation:
    found = ledger_errors(connection)
    views = read.accounts(connection)
    if waiting := store.unmirrored_count():
        found.append(f"{waiting} events of the chain are not in the ledger yet: run `vibes settle --once`")
    held_base = contract.held_base(block)
    balances = trial_balance(connection).balances
    found += _equal("custody", -balances.get("custody", 0), "tokens that the contract holds", held_base)
    for view in views:
        withdrawable_base = balances.get(f"withdrawable:{view.idx}", 0)
        found += _account(view, withdrawable_base, contract, state, block)
    for idx in sorted(state.rollup.accounts.keys() - {view.idx for view in views}):
        found.append(f"account {idx}: in the chain's tree, not in the ledger")
    found += _receivers(flows(connection), open_gross(connection), contract, block)
    unsettled_base = sum(view.unsettled_base for view in views)
    return Reconciliation(block, tuple(found), held_base, unsettled_base, len(views))


def _account(
    view: AccountView, withdrawable_base: int, contract: SettlementContract, state: ChainState, block: int
) -> Iterator[str]:
    leaf = state.rollup.accounts.get(view.idx)
    on_chain = contract.account(view.idx, block)
    balance_base = leaf.balance if leaf is not None and view.idx not in state.exited else 0
    pending_base = int(on_chain["pendingDeposit"])
    name = f"account {view.idx}"
    yield from _equal(
        f"{name}: balance less deficit",
        view.balance_base - view.deficit_base,
        "in the tree + pending deposits - unsettled charges",
        balance_base + pending_base - view.unsettled_base,
    )
    for subject, own_base, chain_base in (
        ("settled charges", view.settled_spent_base, leaf.spent if leaf else 0),
        ("pending deposit", view.pending_deposit_base, pending_base),
        ("announced cancellation", view.cancelling_base, on_chain["cancelling"]),
        ("requested withdrawal", view.withdraw_requested_base, on_chain["pendingWithdrawal"]),
        ("set aside for its wallet", withdrawable_base, on_chain["withdrawable"]),
    ):
        yield from _equal(f"{name}: {subject}", own_base, "on chain", int(chain_base))


def _receivers(
    ledger: dict[str, Flow], open_base: dict[int, int], contract: SettlementContract, block: int
) -> Iterator[str]:
    totals = contract.struct("totals", block=block)
    unsettled_base = sum(open_base.values())
    for code, flow in ledger.items():
        partner = code.removeprefix("partner:")
        if partner != code:
            account = contract.struct("partnerAccount", int(partner), block=block)
            gross_base, paid_base = account["gross"] + open_base.get(int(partner), 0), account["paid"]
        else:
            gross_base, paid_base = totals["gross"] + unsettled_base, totals[_PAID[code]]
        if flow.gross_base is not None:
            yield from _equal(f"{code}: gross", flow.gross_base, "on chain + unsettled", gross_base)
        yield from _equal(f"{code}: paid out", flow.paid_base, "on chain", paid_base)


def _equal(subject: str, own_base: int, words: str, chain_base: int) -> list[str]:
    if own_base == chain_base:
        return []
    return [f"{subject} is {own_base} in the ledger, {words} is {chain_base}: {own_base - chain_base:+d}"]

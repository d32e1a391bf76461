"""Batches for the circuit, valid or not: circuit inputs made without the checks of the executable spec."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bridge.rollup.batch import (
    REGION_LEVELS,
    Slot,
    challenge,
    commit_words,
    evaluate,
    max_regions,
    region_of,
)
from bridge.rollup.inputs import columns, unit_inputs
from bridge.rollup.transition import UNUSED, AccountState, Authorisation, RollupState, leaf
from bridge.rollup.tree import EMPTY_PATH
from mini_llm.wallet.babyjub import BASE8, IDENTITY, public_key
from mini_llm.wallet.ceiling import key_commitment, settlement_domain, sign_ceiling
from mini_llm.wallet.field import P

DOMAIN = settlement_domain(31337, "0x" + "11" * 20)
OTHER_DOMAIN = settlement_domain(31337, "0x" + "22" * 20)
CEILING = 10**12  # base units
DEPOSIT = 10**9


@dataclass(frozen=True)
class RawSlot:
    """A slot as a cheating prover might state it.

    slot: the update; nothing about it is checked.
    auth: what is put into the signature inputs, None for the values of a slot that charges nothing.
    claimed: the account that is said to be in the tree, None for the one that is.
    extra: added to the first word.
    """

    slot: Slot
    auth: Authorisation | None = None
    claimed: AccountState | None = None
    extra: int = 0


def secret_of(idx: int) -> int:
    """Session secret of a test account."""
    return 1_000 + idx


def commit_of(idx: int) -> int:
    """Key commitment of a test account."""
    return key_commitment(public_key(secret_of(idx)))


def authorise(
    idx: int, ceiling_base: int = CEILING, secret: int | None = None, domain: int = DOMAIN
) -> Authorisation:
    """A ceiling signed by the account's key or by another."""
    signed = sign_ceiling(secret or secret_of(idx), domain, idx, ceiling_base)
    return Authorisation(signed.ceiling_base, signed.key, signed.signature)


def opened(*indices: int, domain: int = DOMAIN) -> RollupState:
    """A state in which these accounts are open, with `DEPOSIT` base units each."""
    state = RollupState(domain)
    state.apply([Slot(idx, deposit=DEPOSIT, key_commit=commit_of(idx)) for idx in sorted(indices)])
    return state


def put(state: RollupState, idx: int, account: AccountState) -> None:
    """Write an account into the state, however it may have got there."""
    state.accounts[idx] = account
    state.tree.set_leaf(idx, leaf(account))


def unchecked_inputs(
    state: RollupState, raw_slots: Sequence[RawSlot], n: int = 4, batch_number: int = 1
) -> dict[str, Any]:
    """Circuit inputs that fit together (paths, roots, words, C, r, y), whether or not they are allowed.

    Slots of one region that follow each other share a unit; regions beyond the circuit's number get none.
    """
    tree = state.tree.copy()
    old_root = tree.root
    accounts = dict(state.accounts)
    rows: list[dict[str, Any]] = []
    units: list[dict[str, Any]] = []
    for raw in [*raw_slots, *[RawSlot(Slot(0))] * (n - len(raw_slots))]:
        slot, before = raw.slot, raw.claimed or accounts.get(raw.slot.idx, UNUSED)
        balance = before.balance + slot.deposit + slot.reward - slot.charge - slot.withdraw
        after = AccountState(
            slot.key_commit or before.key_commit, balance % P, (before.spent + slot.charge) % P
        )
        if slot.idx == 0:
            rows.append(_row(raw, before, after, list(EMPTY_PATH[:REGION_LEVELS])))
            continue
        region = region_of(slot.idx)
        if not units or units[-1]["unitRegion"] != region:
            units.append(dict(unit_inputs(tree, region)))
        rows.append(_row(raw, before, after, tree.path(slot.idx)[:REGION_LEVELS]))
        accounts[slot.idx] = after
        tree.set_leaf(slot.idx, leaf(after))
        units[-1]["unitNew"] = tree.node(REGION_LEVELS, region)
    units = [*units, *[unit_inputs(tree, 0)] * (max_regions(n) - len(units))][: max_regions(n)]
    inputs: dict[str, Any] = columns(rows) | columns(units)
    inputs |= {"domain": state.domain, "oldRoot": old_root, "newRoot": tree.root}
    bind(inputs, batch_number)
    return inputs


def bind(inputs: dict[str, Any], batch_number: int = 1) -> None:
    """Set C, r and y to what the contract would compute for the words in `inputs`."""
    words = [inputs["domain"], inputs["oldRoot"], inputs["newRoot"]]
    for w0, w1 in zip(inputs["w0"], inputs["w1"], strict=True):
        words += [w0, w1]
    inputs["C"] = commit_words(words)
    inputs["r"] = challenge(batch_number, words, inputs["C"])
    inputs["y"] = evaluate(words, inputs["r"])


def _row(raw: RawSlot, before: AccountState, after: AccountState, path: list[list[int]]) -> dict[str, Any]:
    slot, auth = raw.slot, raw.auth
    w0 = slot.idx + (slot.charge << 24) + (slot.reward << 78) + (slot.deposit << 132) + (slot.withdraw << 186)
    return {
        "w0": w0 + (int(slot.drain) << 240) + raw.extra,
        "w1": slot.key_commit,
        "used": int(before.key_commit != 0),
        "keyCommit": before.key_commit,
        "balance": before.balance,
        "spent": before.spent,
        "key": list(auth.key if auth else BASE8),
        "ceiling": auth.ceiling_base if auth else after.spent,
        "r8": list(auth.signature.r8 if auth else IDENTITY),
        "s": auth.signature.s if auth else 0,
        "children": path,
    }


def random_slots(
    state: RollupState, rng: random.Random, n: int
) -> tuple[list[Slot], dict[int, Authorisation]]:
    """Up to `n` allowed slots on old and new accounts, and the ceilings that they need."""
    far = [rng.randrange(2**12) for _ in range(max_regions(n))]
    new = [
        rng.choice((rng.choice(far) << 12 | rng.randrange(1, 2**12), 2**24 - 1, rng.randrange(1, 9)))
        for _ in range(n)
    ]
    old = list(state.accounts)
    indices = sorted(set(rng.sample(old, rng.randint(0, min(n, len(old)))) + new))
    chosen = rng.sample(indices, rng.randint(0, min(n, len(indices))))
    regions = sorted({region_of(idx) for idx in chosen})
    kept = rng.sample(regions, min(len(regions), max_regions(n)))
    slots, auths = [], {}
    for idx in sorted(idx for idx in chosen if region_of(idx) in kept):
        before = state.accounts.get(idx, UNUSED)
        deposit = rng.choice((0, rng.randrange(2**40), 2**54 - 1))
        reward = rng.choice((0, rng.randrange(1000)))
        available = before.balance + deposit + reward
        charge = min(rng.choice((0, rng.randrange(2**30), available)), available, 2**54 - 1)
        rest = available - charge
        drain = rng.random() < 0.2 and rest < 2**54
        withdraw = rest if drain else min(rng.choice((0, rest // 2)), 2**54 - 1)
        fresh = before.key_commit == 0
        key_commit = commit_of(idx) if fresh else 0
        slots.append(Slot(idx, charge, reward, deposit, withdraw, drain, key_commit))
        if charge:
            auths[idx] = authorise(idx, before.spent + charge + rng.choice((0, rng.randrange(2**20))))
    return slots, auths

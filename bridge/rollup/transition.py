"""The slot statement, executable: what a batch may do to the accounts, and the circuit's inputs for it.

The circuit proves exactly this. ``RollupState.apply`` needs calldata alone, so anyone can follow the chain;
``RollupState.prove_inputs`` also checks the signed ceilings.

Source: docs/protocol.md (circuit statement); contracts/circuits/slot.circom.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from bridge.rollup.batch import (
    REGION_LEVELS,
    Slot,
    batch_words,
    challenge,
    commit_words,
    encode_slot,
    evaluate,
    max_regions,
    region_of,
    require_regions,
)
from bridge.rollup.errors import (
    AccountNotOpened,
    BalanceTooHigh,
    BalanceTooLow,
    CeilingExceeded,
    CeilingTooHigh,
    InvalidCeilingSignature,
    InvalidKey,
    MissingAuthorisation,
    NotDrained,
    SlotsOutOfOrder,
    SpentTooHigh,
    TooManySlots,
    WrongKey,
)
from bridge.rollup.inputs import Signal, columns, padding_inputs, slot_inputs, unit_inputs
from bridge.rollup.tree import AccountTree
from mini_llm.wallet.babyjub import Point, Signature, has_small_order, is_on_curve, verify
from mini_llm.wallet.ceiling import ceiling_message, key_commitment
from mini_llm.wallet.limits import MAX_BALANCE_BASE
from mini_llm.wallet.poseidon import poseidon


@dataclass(frozen=True)
class AccountState:
    """What the tree holds of an account.

    Attributes:
        key_commit: Poseidon commitment to the session key, 0 if the account was never used.
        balance: base units, below 2^64.
        spent: all charges so far, base units, below 2^64; never falls.
    """

    key_commit: int = 0
    balance: int = 0
    spent: int = 0


UNUSED: Final = AccountState()
"""An account before its first slot."""


@dataclass(frozen=True)
class Authorisation:
    """A signed ceiling for one account: see ``mini_llm.wallet.ceiling.SignedCeiling``."""

    ceiling_base: int
    key: Point
    signature: Signature


@dataclass(frozen=True)
class BatchWitness:
    """A checked batch: what the prover needs and what the contract will recompute.

    Attributes:
        circuit_inputs: signals of contracts/circuits/batch.circom by name.
        public: (C, r, y).
        words: the batch's 3 + 2·n words.
        old_root: account tree root before the batch.
        new_root: account tree root after it.
        slots: the batch's slots, without padding.
    """

    circuit_inputs: dict[str, Signal]
    public: tuple[int, int, int]
    words: tuple[int, ...]
    old_root: int
    new_root: int
    slots: tuple[Slot, ...]


def leaf(state: AccountState) -> int:
    """``Poseidon(keyCommit, balance, spent)``, 0 for an unused account."""
    if state.key_commit == 0:
        return 0
    return poseidon((state.key_commit, state.balance, state.spent))


def next_state(state: AccountState, slot: Slot) -> AccountState:
    """The account after its slot, by the rules that need no signature.

    Raises:
        SlotFieldOutOfRange, AccountNotOpened, BalanceTooLow, BalanceTooHigh, SpentTooHigh, NotDrained:
            the broken rule.
    """
    encode_slot(slot)  # ranges
    if state.key_commit == 0 and slot.key_commit == 0:
        raise AccountNotOpened(slot.idx)
    credited = state.balance + slot.deposit + slot.reward
    debited = slot.charge + slot.withdraw
    balance = credited - debited
    if balance < 0:
        raise BalanceTooLow(slot.idx, credited, debited)
    if balance > MAX_BALANCE_BASE:
        raise BalanceTooHigh(slot.idx, balance)
    spent = state.spent + slot.charge
    if spent > MAX_BALANCE_BASE:
        raise SpentTooHigh(slot.idx, spent)
    if slot.drain and balance != 0:
        raise NotDrained(slot.idx, balance)
    return AccountState(slot.key_commit or state.key_commit, balance, spent)


def check_authorisation(
    domain: int, before: AccountState, slot: Slot, authorisation: Authorisation | None
) -> None:
    """Check that the slot's charge stays below a ceiling signed by the account's key.

    It is the key before the slot, since the charge was metered under it; for a fresh account the key that the
    slot sets.

    Raises:
        MissingAuthorisation, InvalidKey, WrongKey, CeilingTooHigh, CeilingExceeded, InvalidCeilingSignature:
            the broken rule.
    """
    if slot.charge == 0:
        return
    if authorisation is None:
        raise MissingAuthorisation(slot.idx)
    key, ceiling = authorisation.key, authorisation.ceiling_base
    if not is_on_curve(key) or has_small_order(key):
        raise InvalidKey(slot.idx)
    expected, actual = before.key_commit or slot.key_commit, key_commitment(key)
    if actual != expected:
        raise WrongKey(slot.idx, expected, actual)
    if not 0 <= ceiling <= MAX_BALANCE_BASE:
        raise CeilingTooHigh(slot.idx, ceiling)
    spent = before.spent + slot.charge
    if spent > ceiling:
        raise CeilingExceeded(slot.idx, ceiling, spent)
    if not verify(key, ceiling_message(domain, slot.idx, ceiling), authorisation.signature):
        raise InvalidCeilingSignature(slot.idx, ceiling)


class RollupState:
    """All accounts and their tree, moved from batch to batch; a batch applies whole or not at all.

    Attributes:
        domain: settlement domain that ceilings are signed for.
        accounts: used accounts by index.
        tree: the account tree over their leaves.
    """

    def __init__(self, domain: int) -> None:
        self.domain = domain
        self.accounts: dict[int, AccountState] = {}
        self.tree = AccountTree()

    @property
    def root(self) -> int:
        """Root of the account tree."""
        return self.tree.root

    def copy(self) -> "RollupState":
        """An independent state with the same accounts."""
        other = RollupState(self.domain)
        other.accounts = dict(self.accounts)
        other.tree = self.tree.copy()
        return other

    def apply(self, slots: Sequence[Slot]) -> None:
        """Apply a batch by the rules that calldata alone can show; leave out its padding.

        Raises:
            InvalidTransition: the first broken rule; the state is as before.
        """
        after = self._checked(slots)
        self.accounts |= after
        self.tree.set_leaves({idx: leaf(account) for idx, account in after.items()})

    def prove_inputs(
        self, batch_number: int, slots: Sequence[Slot], auths: Mapping[int, Authorisation], n: int
    ) -> BatchWitness:
        """Check a batch in full, apply it and return its witness for the circuit of size ``n``.

        Raises:
            InvalidTransition: the first broken rule; the state is as before.
        """
        if len(slots) > n:
            raise TooManySlots(len(slots), n)
        require_regions(slots, n)
        after = self._checked(slots)
        for slot in slots:
            check_authorisation(self.domain, self._account(slot.idx), slot, auths.get(slot.idx))
        old_root = self.root
        rows, units = [], []
        for region, run in groupby(slots, lambda slot: region_of(slot.idx)):
            unit = unit_inputs(self.tree, region)
            for slot in run:
                rows.append(slot_inputs(slot, self._account(slot.idx), auths, self.tree.path(slot.idx)))
                self._write(slot.idx, after[slot.idx])
            units.append(unit | {"unitNew": self.tree.node(REGION_LEVELS, region)})
        rows += [padding_inputs()] * (n - len(slots))
        units += [unit_inputs(self.tree, 0)] * (max_regions(n) - len(units))
        words = batch_words(self.domain, old_root, self.root, slots, n)
        commitment = commit_words(words)
        r = challenge(batch_number, words, commitment)
        y = evaluate(words, r)
        inputs = columns(rows) | columns(units)
        inputs |= {"domain": self.domain, "oldRoot": old_root, "newRoot": self.root}
        inputs |= {"r": r, "C": commitment, "y": y}
        return BatchWitness(inputs, (commitment, r, y), tuple(words), old_root, self.root, tuple(slots))

    def _account(self, idx: int) -> AccountState:
        return self.accounts.get(idx, UNUSED)

    def _checked(self, slots: Sequence[Slot]) -> dict[int, AccountState]:
        after: dict[int, AccountState] = {}
        previous_idx = 0
        for slot in slots:
            after[slot.idx] = next_state(self._account(slot.idx), slot)
            if slot.idx <= previous_idx:
                raise SlotsOutOfOrder(previous_idx, slot.idx)
            previous_idx = slot.idx
        return after

    def _write(self, idx: int, state: AccountState) -> None:
        self.accounts[idx] = state
        self.tree.set_leaf(idx, leaf(state))

"""How a batch is written into calldata and bound to its proof.

A slot is two words, a batch is ``[domain, oldRoot, newRoot, w0, w1, w0, w1, ...]``. The proof's public inputs
are ``C`` (Poseidon chain over the words), ``r`` (keccak, drawn after C is fixed) and ``y = Σ words[j]·r^j``.

Source: docs/protocol.md (slots, binding calldata); contracts/circuits/batch.circom; Settlement.settleBatch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from eth_hash.auto import keccak

from bridge.rollup.errors import (
    NonCanonicalWord,
    PartnerOutOfRange,
    SlotFieldOutOfRange,
    TooManyRegions,
    TooManySlots,
)
from mini_llm.wallet.field import P, is_canonical
from mini_llm.wallet.limits import AMOUNT_BITS, BALANCE_BITS, IDX_BITS, MAX_AMOUNT_BASE, MAX_IDX
from mini_llm.wallet.poseidon import MAX_INPUTS, poseidon

SLOT_BITS: Final = IDX_BITS + 4 * AMOUNT_BITS + 1
"""Width of w0: 24 + 4·54 + 1 = 241 bits."""

PARTNER_ID_BITS: Final = 16
"""Width of a partner id."""

REGION_LEVELS: Final = 4
"""Levels of the tree that a circuit proves for each slot; the levels above are proved once per region."""

REGION_BITS: Final = 3 * REGION_LEVELS
"""Low bits of an index: accounts that differ only there share a region, a subtree of 4,096 leaves."""

_CHARGE_SHIFT: Final = IDX_BITS
_REWARD_SHIFT: Final = _CHARGE_SHIFT + AMOUNT_BITS
_DEPOSIT_SHIFT: Final = _REWARD_SHIFT + AMOUNT_BITS
_WITHDRAW_SHIFT: Final = _DEPOSIT_SHIFT + AMOUNT_BITS
_DRAIN_SHIFT: Final = _WITHDRAW_SHIFT + AMOUNT_BITS


@dataclass(frozen=True)
class Slot:
    """One account's update in a batch; amounts in base units, below 2^54.

    Attributes:
        idx: account index, 1 to 2^24 - 1.
        charge: paid for calls.
        reward: paid out of the reward pool into the account.
        deposit: consumed from the contract's pending deposit.
        withdraw: moved out to the contract's withdrawable amount.
        drain: this withdrawal empties the account.
        key_commit: new session key commitment, 0 to keep the present one.
    """

    idx: int
    charge: int = 0
    reward: int = 0
    deposit: int = 0
    withdraw: int = 0
    drain: bool = False
    key_commit: int = 0


def encode_slot(slot: Slot) -> tuple[int, int]:
    """The slot's two words (w0, w1).

    Raises:
        SlotFieldOutOfRange: a field is outside its range.
    """
    if not 1 <= slot.idx <= MAX_IDX:
        raise SlotFieldOutOfRange(slot.idx, "idx", slot.idx)
    for field in ("charge", "reward", "deposit", "withdraw"):
        if not 0 <= getattr(slot, field) <= MAX_AMOUNT_BASE:
            raise SlotFieldOutOfRange(slot.idx, field, getattr(slot, field))
    if not is_canonical(slot.key_commit):
        raise SlotFieldOutOfRange(slot.idx, "key_commit", slot.key_commit)
    w0 = (
        slot.idx
        | slot.charge << _CHARGE_SHIFT
        | slot.reward << _REWARD_SHIFT
        | slot.deposit << _DEPOSIT_SHIFT
        | slot.withdraw << _WITHDRAW_SHIFT
        | int(slot.drain) << _DRAIN_SHIFT
    )
    return w0, slot.key_commit


def decode_slot(w0: int, w1: int) -> Slot | None:
    """The slot behind two words, None for padding (both zero).

    Raises:
        NonCanonicalWord: w0 ≥ 2^241, w1 ≥ P, or a slot of account 0 that is not all zero.
    """
    if not 0 <= w0 < 1 << SLOT_BITS:
        raise NonCanonicalWord(w0)
    if not is_canonical(w1):
        raise NonCanonicalWord(w1)
    idx = w0 & MAX_IDX
    if idx == 0:
        if w0 or w1:
            raise NonCanonicalWord(w0 or w1)
        return None
    return Slot(
        idx=idx,
        charge=w0 >> _CHARGE_SHIFT & MAX_AMOUNT_BASE,
        reward=w0 >> _REWARD_SHIFT & MAX_AMOUNT_BASE,
        deposit=w0 >> _DEPOSIT_SHIFT & MAX_AMOUNT_BASE,
        withdraw=w0 >> _WITHDRAW_SHIFT & MAX_AMOUNT_BASE,
        drain=bool(w0 >> _DRAIN_SHIFT),
        key_commit=w1,
    )


def batch_words(domain: int, old_root: int, new_root: int, slots: Sequence[Slot], n: int) -> list[int]:
    """The 3 + 2·n words of a batch of size ``n``: zero padding after the slots.

    Raises:
        TooManySlots: more than ``n`` slots.
        SlotFieldOutOfRange: a slot's field is outside its range.
    """
    if len(slots) > n:
        raise TooManySlots(len(slots), n)
    words = [domain, old_root, new_root]
    for slot in slots:
        words.extend(encode_slot(slot))
    return words + [0] * (2 * (n - len(slots)))


def region_of(idx: int) -> int:
    """Which of the tree's 4,096 regions holds account ``idx``."""
    return idx >> REGION_BITS


def max_regions(n: int) -> int:
    """How many regions the slots of a batch of size ``n`` may lie in: its circuit has so many upper paths."""
    return max(2, -(-n // 4))


def require_regions(slots: Sequence[Slot], n: int) -> None:
    """Check that the slots keep to `max_regions`.

    Raises:
        TooManyRegions: they do not.
    """
    count, limit = len({region_of(slot.idx) for slot in slots}), max_regions(n)
    if count > limit:
        raise TooManyRegions(count, limit)


def commit_words(words: Sequence[int]) -> int:
    """C: a Poseidon chain over the words.

    The first hash takes 12 words, each next one the hash before it and 11 words; zeros fill up the last.

    Raises:
        NotCanonical: a word is not a field element.
    """
    first, rest = words[:MAX_INPUTS], words[MAX_INPUTS:]
    commitment = poseidon(_padded(first))
    for start in range(0, len(rest), MAX_INPUTS - 1):
        commitment = poseidon(_padded([commitment, *rest[start : start + MAX_INPUTS - 1]]))
    return commitment


def challenge(batch_number: int, words: Sequence[int], commitment: int) -> int:
    """r = ``keccak256(abi.encode(uint256 batchNumber, uint256[] words, uint256 C)) mod P``."""
    words_offset = 3 * 32
    encoded = (batch_number, words_offset, commitment, len(words), *words)
    return int.from_bytes(keccak(b"".join(value.to_bytes(32, "big") for value in encoded)), "big") % P


def evaluate(words: Sequence[int], r: int) -> int:
    """y = ``Σ words[j]·r^j mod P``."""
    y = 0
    for word in reversed(words):
        y = (y * r + word) % P
    return y


def encode_partner_word(partner_id: int, gross: int) -> int:
    """``partner id << 64 | gross``: a partner's part of a batch's charges, base units, above zero.

    Raises:
        PartnerOutOfRange: the id does not fit 16 bits, or gross does not lie in ``[1, 2^64)``.
    """
    if not 0 <= partner_id < 1 << PARTNER_ID_BITS or not 1 <= gross < 1 << BALANCE_BITS:
        raise PartnerOutOfRange(partner_id, gross)
    return partner_id << BALANCE_BITS | gross


def decode_partner_word(word: int) -> tuple[int, int]:
    """(partner id, gross in base units) of a word.

    Raises:
        NonCanonicalWord: wider than 80 bits, or a gross of zero.
    """
    partner_id, gross = word >> BALANCE_BITS, word & (1 << BALANCE_BITS) - 1
    if not 0 <= partner_id < 1 << PARTNER_ID_BITS or gross == 0:
        raise NonCanonicalWord(word)
    return partner_id, gross


def _padded(inputs: Sequence[int]) -> list[int]:
    return [*inputs, *[0] * (MAX_INPUTS - len(inputs))]

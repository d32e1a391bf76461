"""Slot, batch and partner words at their edges; their values are in tests/golden."""

import pytest

from bridge.rollup.batch import (
    SLOT_BITS,
    Slot,
    batch_words,
    challenge,
    commit_words,
    decode_partner_word,
    decode_slot,
    encode_partner_word,
    encode_slot,
    evaluate,
    max_regions,
    region_of,
    require_regions,
)
from bridge.rollup.errors import (
    NonCanonicalWord,
    PartnerOutOfRange,
    SlotFieldOutOfRange,
    TooManyRegions,
    TooManySlots,
)
from mini_llm.wallet.field import NotCanonical, P
from mini_llm.wallet.limits import MAX_AMOUNT_BASE, MAX_BALANCE_BASE, MAX_IDX


@pytest.mark.parametrize(
    ("field", "value"),
    [("idx", 0), ("idx", -1), ("idx", MAX_IDX + 1), ("key_commit", -1), ("key_commit", P)]
    + [
        (field, bad)
        for field in ("charge", "reward", "deposit", "withdraw")
        for bad in (-1, MAX_AMOUNT_BASE + 1)
    ],
)
def test_fields_out_of_range_are_named(field: str, value: int) -> None:
    with pytest.raises(SlotFieldOutOfRange) as caught:
        encode_slot(Slot(**{"idx": 1, field: value}))
    assert (caught.value.field, caught.value.value) == (field, value)


def test_zero_words_are_padding() -> None:
    assert decode_slot(0, 0) is None


@pytest.mark.parametrize(
    ("w0", "w1", "named"),
    [
        (1 | 1 << SLOT_BITS, 0, 1 | 1 << SLOT_BITS),
        (-1, 0, -1),
        (1, P, P),
        (1, -1, -1),
        (1 << 24, 0, 1 << 24),  # account 0 is charged
        (0, 5, 5),  # account 0 gets a key
    ],
)
def test_words_that_no_slot_encodes_to_are_refused(w0: int, w1: int, named: int) -> None:
    with pytest.raises(NonCanonicalWord) as caught:
        decode_slot(w0, w1)
    assert caught.value.word == named


def test_a_batch_is_padded_to_its_size() -> None:
    slot = Slot(3, charge=1, key_commit=9)
    assert batch_words(7, 8, 9, [slot], 3) == [7, 8, 9, *encode_slot(slot), 0, 0, 0, 0]


def test_a_batch_has_room_for_its_size_only() -> None:
    with pytest.raises(TooManySlots) as caught:
        batch_words(0, 0, 0, [Slot(1), Slot(2)], 1)
    assert (caught.value.count, caught.value.size) == (2, 1)


def test_the_commitment_depends_on_every_word() -> None:
    words = list(range(1, 24))
    changed = {commit_words([*words[:i], words[i] + 1, *words[i + 1 :]]) for i in range(len(words))}
    assert len(changed | {commit_words(words)}) == len(words) + 1


def test_the_commitment_takes_field_elements_only() -> None:
    with pytest.raises(NotCanonical):
        commit_words([0] * 12 + [P])


def test_the_challenge_depends_on_batch_words_and_commitment() -> None:
    args = (1, [1, 2, 3], 4)
    others = [(2, [1, 2, 3], 4), (1, [1, 2], 4), (1, [1, 2, 4], 4), (1, [1, 2, 3], 5)]
    assert challenge(*args) < P
    assert challenge(*args) not in {challenge(*other) for other in others}


def test_evaluation_is_the_polynomial() -> None:
    assert evaluate([5, 7, 11], 10) == 5 + 70 + 1100
    assert evaluate([5, P - 1], P - 1) == 6
    assert evaluate([], 3) == 0


@pytest.mark.parametrize(("partner_id", "gross"), [(-1, 1), (2**16, 1), (1, 0), (1, MAX_BALANCE_BASE + 1)])
def test_partner_words_have_a_range(partner_id: int, gross: int) -> None:
    with pytest.raises(PartnerOutOfRange) as caught:
        encode_partner_word(partner_id, gross)
    assert (caught.value.partner_id, caught.value.gross_base) == (partner_id, gross)


@pytest.mark.parametrize("word", [0, 1 << 64, 1 << 80, -1])
def test_malformed_partner_words_are_refused(word: int) -> None:
    with pytest.raises(NonCanonicalWord) as caught:
        decode_partner_word(word)
    assert caught.value.word == word


@pytest.mark.parametrize(("size", "regions"), [(1, 2), (4, 2), (8, 2), (9, 3), (10, 3), (40, 10), (80, 20)])
def test_regions_of_each_size(size: int, regions: int) -> None:
    assert max_regions(size) == regions


def test_regions_are_4096_accounts_wide() -> None:
    assert [region_of(idx) for idx in (0, 4095, 4096, 8191, MAX_IDX)] == [0, 0, 1, 1, 4095]
    near = [Slot(idx) for idx in (1, 4095, 4096, 8191)]
    require_regions(near, 4)
    with pytest.raises(TooManyRegions) as refusal:
        require_regions([*near, Slot(8192)], 4)
    assert (refusal.value.count, refusal.value.limit) == (3, 2)

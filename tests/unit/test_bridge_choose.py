"""Which accounts a batch takes, and what of their deposits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.choose import Candidate, choose
from bridge.collect import countable_deposit
from bridge.rollup.batch import REGION_BITS, Slot, max_regions, region_of, require_regions
from bridge.state import Requests

SIZES = (4, 10, 40)


def waiting(*accounts: tuple[int, int]) -> list[Candidate]:
    """Candidates from (idx, since)."""
    return [Candidate(Slot(idx, charge=1), since) for idx, since in accounts]


def chosen(found: list[Candidate], sizes: tuple[int, ...] = SIZES) -> tuple[list[int], int, bool]:
    choice = choose(found, sizes)
    assert choice is not None
    return [slot.idx for slot in choice.slots], choice.size, choice.full


def test_nothing_waits() -> None:
    assert choose([], SIZES) is None


def test_the_smallest_batch_that_fits_is_taken() -> None:
    assert chosen(waiting((3, 0), (1, 5), (2, 9))) == ([1, 2, 3], 4, False)
    assert chosen(waiting(*((idx, 0) for idx in range(1, 6)))) == ([1, 2, 3, 4, 5], 10, False)


def test_a_batch_with_more_regions_than_its_circuit_has_paths_is_a_size_larger() -> None:
    apart = [(region << REGION_BITS | 1, 0) for region in range(3)]
    assert max_regions(4) == 2
    assert chosen(waiting(*apart))[1] == 10


def test_the_longest_waiting_come_first_when_there_are_too_many() -> None:
    idx, size, full = chosen(waiting((1, 9), (2, 8), (3, 7), (4, 6), (5, 5)), (4,))
    assert (idx, size, full) == ([2, 3, 4, 5], 4, True)


def test_the_oldest_goes_in_and_a_crowd_fills_the_rest() -> None:
    lonely = [(region << REGION_BITS | 7, region) for region in range(5)]  # all older than the crowd
    crowd = [(9 << REGION_BITS | number, 100 + number) for number in range(5)]
    idx, size, full = chosen(waiting(*lonely, *crowd), (4,))
    assert idx == [7, *(account for account, _ in crowd[:3])]
    assert (size, full) == (4, True)


def test_a_batch_that_regions_cut_short_counts_as_full() -> None:
    apart = [(region << REGION_BITS | 1, region) for region in range(3)]
    assert chosen(waiting(*apart), (4,)) == ([1, 1 << REGION_BITS | 1], 4, True)


accounts = st.dictionaries(st.integers(1, 40 << REGION_BITS), st.integers(0, 50), min_size=1, max_size=90)


@given(accounts, st.sets(st.sampled_from([4, 10, 40, 80]), min_size=1))
def test_every_choice_is_a_provable_batch_with_the_oldest_in_it(
    found: dict[int, int], sizes: set[int]
) -> None:
    idx, size, full = chosen(waiting(*found.items()), tuple(sizes))
    assert idx == sorted(set(idx))
    assert len(idx) <= size
    require_regions([Slot(one) for one in idx], size)
    assert min(found, key=lambda one: (found[one], one)) in idx
    smaller = [one for one in sizes if one < size]
    assert all(one < len(idx) or max_regions(one) < len({region_of(i) for i in idx}) for one in smaller)
    if not full:
        assert len(idx) == len(found)


@pytest.mark.parametrize(
    ("pending", "cancelling", "missing", "consumed"),
    [
        (10, 0, -5, 10),  # nothing announced: all of it
        (10, 4, -5, 6),  # what was announced stays
        (10, 10, 0, 0),
        (10, 4, 6, 6),  # the charges are covered without it
        (10, 4, 7, 7),  # one unit was spent before the announcement
        (10, 4, 99, 10),
    ],
)
def test_an_announced_deposit_is_consumed_only_for_charges(
    pending: int, cancelling: int, missing: int, consumed: int
) -> None:
    requests = Requests(deposit_base=pending, cancelling_base=cancelling)
    assert countable_deposit(requests, missing) == consumed

"""Slots of one region share a path to the root: each way to abuse that is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from support.batches import DEPOSIT, RawSlot, bind, commit_of, opened, unchecked_inputs

from bridge.proving.artifacts import Artifacts
from bridge.rollup.batch import REGION_LEVELS, Slot, max_regions, region_of
from bridge.rollup.inputs import columns, unit_inputs
from bridge.rollup.transition import RollupState, leaf
from bridge.rollup.tree import EMPTY_PATH, AccountTree
from bridge.witness import WitnessCalculator

Refused = Callable[[dict[str, Any]], str]

EMPTY_REGION = EMPTY_PATH[REGION_LEVELS][0]
NEAR, NEXT, FAR, FARTHER = 1, 2, 4096 + 1, 2 * 4096 + 1
THIEF = commit_of(666)


@pytest.fixture
def state() -> RollupState:
    """Two accounts in region 0, one each in regions 1 and 2."""
    return opened(NEAR, NEXT, FAR, FARTHER)


def deposits(*indices: int) -> list[RawSlot]:
    return [RawSlot(Slot(idx, deposit=5)) for idx in indices]


def chained(
    tree: AccountTree, changes: Sequence[tuple[int, dict[int, int]]], units: int = 2
) -> dict[str, Any]:
    """Unit signals and new root when, for each (region, leaves), the leaves are written to `tree`."""
    found: list[dict[str, Any]] = []
    for region, leaves in changes:
        unit = dict(unit_inputs(tree, region))
        tree.set_leaves(leaves)
        found.append(unit | {"unitNew": tree.node(REGION_LEVELS, region)})
    found += [unit_inputs(tree, 0)] * (units - len(found))
    return columns(found) | {"newRoot": tree.root}


def cheat(inputs: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The inputs with changes, bound as the contract would bind their words."""
    changed = inputs | changes
    bind(changed)
    return changed


def leaf_after(state: RollupState, slot: Slot) -> dict[int, int]:
    """The leaf of the slot's account behind the slot, in a tree that is otherwise `state`."""
    after = state.copy()
    after.apply([slot])
    return {slot.idx: after.tree.leaf(slot.idx)}


@pytest.mark.parametrize(
    "indices",
    [
        (),
        (NEAR,),
        (FAR,),
        (NEAR, NEXT),
        (NEAR, FAR),
        (NEAR, NEXT, FAR),
        (NEAR, FAR, FAR + 1, FAR + 2),
        (FAR, FARTHER),
    ],
)
def test_runs_of_every_shape(
    circuit4: WitnessCalculator, state: RollupState, indices: tuple[int, ...]
) -> None:
    for idx in set(indices) - set(state.accounts):
        state.apply([Slot(idx, key_commit=commit_of(idx))])
    circuit4.calculate(unchecked_inputs(state, deposits(*indices)))


def test_as_many_regions_as_there_are_units(circuits_dir: Path) -> None:
    indices = [region << 12 | 7 for region in range(max_regions(10))]
    state = opened(*indices, indices[-1] + 1)
    inputs = unchecked_inputs(state, deposits(*indices, indices[-1] + 1), 10)
    WitnessCalculator(Artifacts.load(circuits_dir, 10).wasm).calculate(inputs)


def test_more_regions_than_units(refused: Refused, state: RollupState) -> None:
    raw = deposits(NEAR, FAR, FARTHER)
    assert "UnitPositions" in refused(unchecked_inputs(state, raw))
    # Not even if the root leaves the last one out, or if the last unit proves the last region.
    two = unchecked_inputs(state, raw[:2])
    assert "UnitPositions" in refused(cheat(unchecked_inputs(state, raw), {"newRoot": two["newRoot"]}))
    last = chained(
        state.tree.copy(), [(0, leaf_after(state, raw[0].slot)), (2, leaf_after(state, raw[2].slot))]
    )
    assert "UnitPositions" in refused(cheat(unchecked_inputs(state, raw), last))


def test_two_regions_but_one_unit(refused: Refused, state: RollupState) -> None:
    """The second region's update would be signed and paid, but not enter the tree."""
    raw = deposits(NEAR, FAR)
    units = chained(state.tree.copy(), [(0, leaf_after(state, raw[0].slot))])
    assert "LinkRegions" in refused(cheat(unchecked_inputs(state, raw), units))


def test_units_in_another_order(refused: Refused, state: RollupState) -> None:
    raw = deposits(NEAR, FAR)
    changes = [(region_of(slot.slot.idx), leaf_after(state, slot.slot)) for slot in raw]
    straight = cheat(unchecked_inputs(state, raw), chained(state.tree.copy(), changes))
    assert straight == unchecked_inputs(state, raw)
    assert "LinkRegions" in refused(cheat(straight, chained(state.tree.copy(), changes[::-1])))


def test_update_in_another_region(refused: Refused, state: RollupState) -> None:
    """Regions 7 and 8 are both empty, so account 7·4096 + 3's path also leads to account 8·4096 + 3."""
    slot = Slot(7 << 12 | 3, deposit=DEPOSIT, key_commit=THIEF)
    inputs = unchecked_inputs(state, [RawSlot(slot)])
    (opened_leaf,) = leaf_after(state, slot).values()
    units = chained(state.tree.copy(), [(8, {8 << 12 | 3: opened_leaf})])
    assert units["unitOld"][0] == EMPTY_REGION == inputs["unitOld"][0]
    assert "LinkRegions" in refused(cheat(inputs, units))


def test_unused_unit_changes_nothing(refused: Refused, state: RollupState) -> None:
    raw = deposits(NEAR)
    kept = leaf_after(state, raw[0].slot)
    stolen = {FAR: leaf(state.accounts[FARTHER])}
    for region, leaves in ((1, stolen), (0, {NEXT: 0})):
        units = chained(state.tree.copy(), [(0, kept), (region, leaves)])
        assert "LinkRegions" in refused(cheat(unchecked_inputs(state, raw), units))


def test_unused_unit_has_one_form(refused: Refused, state: RollupState) -> None:
    raw = deposits(NEAR)
    units = chained(state.tree.copy(), [(0, leaf_after(state, raw[0].slot)), (1, {})])
    assert units["unitOld"][1] == units["unitNew"][1]
    assert "LinkRegions" in refused(cheat(unchecked_inputs(state, raw), units))


def test_empty_batch_changes_nothing(
    circuit4: WitnessCalculator, refused: Refused, state: RollupState
) -> None:
    empty = unchecked_inputs(state, [])
    circuit4.calculate(empty)
    for changes in ([(1, {FAR: 0})], [(0, {}), (0, {NEAR: 0})], [(1, {}), (0, {})]):
        assert "LinkRegions" in refused(cheat(empty, chained(state.tree.copy(), changes)))


def test_unit_begins_with_the_first_rows_tree(refused: Refused, state: RollupState) -> None:
    """The rows work on a region of the prover's own making: an account is richer there than in the tree."""
    rich = state.copy()
    rich.apply([Slot(NEAR, deposit=10**6)])
    slot = Slot(NEAR, withdraw=DEPOSIT + 10**6, drain=True)
    inputs = unchecked_inputs(rich, [RawSlot(slot)])
    units = chained(state.tree.copy(), [(0, leaf_after(rich, slot))])
    assert units["unitNew"] == inputs["unitNew"]
    assert "LinkRegions" in refused(cheat(inputs, units | {"oldRoot": state.root}))


def test_units_top_is_the_one_in_the_tree(refused: Refused, state: RollupState) -> None:
    """As above, but the unit repeats the rows' claim: then its own path does not hold it."""
    rich = state.copy()
    rich.apply([Slot(NEAR, deposit=10**6)])
    slot = Slot(NEAR, withdraw=DEPOSIT + 10**6, drain=True)
    inputs = unchecked_inputs(rich, [RawSlot(slot)])
    units = chained(state.tree.copy(), [(0, leaf_after(rich, slot))])
    claim = units | {"oldRoot": state.root, "unitOld": inputs["unitOld"]}
    assert "PathNode" in refused(cheat(inputs, claim))


def test_unit_goes_on_where_the_last_one_stopped(refused: Refused, state: RollupState) -> None:
    """The second unit starts from the root before the first, whose withdrawal would be paid, not booked."""
    raw = [RawSlot(Slot(NEAR, withdraw=DEPOSIT, drain=True)), RawSlot(Slot(FAR, deposit=5))]
    both, alone = unchecked_inputs(state, raw), unchecked_inputs(state, raw[1:])
    forgetful = {
        "unitChildren": [both["unitChildren"][0], alone["unitChildren"][0]],
        "newRoot": alone["newRoot"],
    }
    assert "RegionUpdates" in refused(cheat(both, forgetful))


@pytest.mark.parametrize("indices", [(NEAR, FAR), (FAR, FARTHER), (NEAR,), (NEAR, NEXT)])
def test_unit_ends_with_the_last_rows_tree(
    refused: Refused, state: RollupState, indices: tuple[int, ...]
) -> None:
    """Each run in turn leaves another tree behind than its last row: one with a thief's account in it."""
    raw = deposits(*indices)
    runs: dict[int, dict[int, int]] = {}
    for slot in raw:
        runs.setdefault(region_of(slot.slot.idx), {}).update(leaf_after(state, slot.slot))
    changes = list(runs.items())
    assert cheat(unchecked_inputs(state, raw), chained(state.tree.copy(), changes)) == unchecked_inputs(
        state, raw
    )
    for position, (region, leaves) in enumerate(changes):
        stolen = [*changes]
        stolen[position] = (region, leaves | {region << 12 | 99: leaf(state.accounts[NEAR])})
        inputs = cheat(unchecked_inputs(state, raw), chained(state.tree.copy(), stolen))
        assert "LinkRegions" in refused(inputs)


def test_row_goes_on_where_the_last_one_stopped(refused: Refused, state: RollupState) -> None:
    """The second row starts from the tree before the first, whose withdrawal would be paid and not booked."""
    first, second = RawSlot(Slot(NEAR, withdraw=DEPOSIT, drain=True)), RawSlot(Slot(NEXT, deposit=5))
    both, alone = unchecked_inputs(state, [first, second]), unchecked_inputs(state, [second])
    forgetful = {
        "children": [both["children"][0], alone["children"][0], *both["children"][2:]],
        "unitNew": alone["unitNew"],
        "newRoot": alone["newRoot"],
    }
    forgetful["unitOld"] = [both["unitOld"][0], alone["unitOld"][1]]
    forgetful["unitChildren"] = [both["unitChildren"][0], alone["unitChildren"][1]]
    assert "LinkRegions" in refused(cheat(both, forgetful))


def test_padding_holds_no_tree(refused: Refused, state: RollupState) -> None:
    inputs = unchecked_inputs(state, deposits(NEAR))
    for row in (1, 3):
        children = [*inputs["children"]]
        children[row] = state.tree.path(0)[:REGION_LEVELS]
        assert "LinkRegions" in refused(cheat(inputs, {"children": children}))


def test_padding_does_not_end_a_run(refused: Refused, state: RollupState) -> None:
    """The last run's region becomes what its last row left, not what the padding behind it shows."""
    raw = deposits(NEAR)
    wiped = dict.fromkeys((NEAR, NEXT), 0)
    units = chained(state.tree.copy(), [(0, wiped)])
    assert units["unitNew"][0] == EMPTY_REGION
    assert "LinkRegions" in refused(cheat(unchecked_inputs(state, raw), units))


def test_region_comes_from_the_word(refused: Refused, state: RollupState) -> None:
    """The units' region is 12 bits wide: no larger number takes its place."""
    inputs = unchecked_inputs(state, deposits(FAR))
    regions = [inputs["unitRegion"][0] + 4096, 0]
    assert "LinkRegions" in refused(cheat(inputs, {"unitRegion": regions}))
    idle = unchecked_inputs(state, [])
    assert refused(cheat(idle, {"unitRegion": [4096, 0]}))

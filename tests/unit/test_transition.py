"""Each rule of the slot statement is broken once; each raises its own error and changes nothing."""

from dataclasses import replace
from functools import partial

import pytest

from bridge.rollup import errors
from bridge.rollup.batch import Slot, decode_slot, evaluate
from bridge.rollup.transition import UNUSED, AccountState, Authorisation, RollupState, leaf
from bridge.rollup.tree import EMPTY_PATH, GENESIS_ROOT
from mini_llm.wallet.babyjub import BASE8, IDENTITY, public_key, sign
from mini_llm.wallet.ceiling import ceiling_message, key_commitment, sign_ceiling
from mini_llm.wallet.limits import MAX_AMOUNT_BASE, MAX_BALANCE_BASE, MAX_IDX

DOMAIN = 77
SECRET, NEW_SECRET = 1001, 1002
KEY, NEW_KEY = (key_commitment(public_key(secret)) for secret in (SECRET, NEW_SECRET))


def authorise(idx: int, ceiling_base: int, secret: int = SECRET) -> Authorisation:
    signed = sign_ceiling(secret, DOMAIN, idx, ceiling_base)
    return Authorisation(signed.ceiling_base, signed.key, signed.signature)


@pytest.fixture
def state() -> RollupState:
    """Account 5 has 1000 base units and has spent 100 of them before."""
    state = RollupState(DOMAIN)
    state.apply([Slot(5, deposit=1100, charge=100, key_commit=KEY)])
    return state


def test_a_new_state_is_empty() -> None:
    assert RollupState(DOMAIN).root == GENESIS_ROOT
    assert leaf(UNUSED) == 0


def test_a_slot_moves_every_field(state: RollupState) -> None:
    slot = Slot(5, charge=1, reward=20, deposit=300, withdraw=4000 - 2700, key_commit=NEW_KEY)
    state.apply([slot])
    assert state.accounts == {5: AccountState(NEW_KEY, 19, 101)}
    assert state.tree.leaf(5) == leaf(state.accounts[5])


BROKEN = [
    (Slot(0), errors.SlotFieldOutOfRange),
    (Slot(MAX_IDX + 1), errors.SlotFieldOutOfRange),
    (Slot(5, charge=-1), errors.SlotFieldOutOfRange),
    (Slot(5, deposit=MAX_AMOUNT_BASE + 1), errors.SlotFieldOutOfRange),
    (Slot(6, deposit=1), errors.AccountNotOpened),
    (Slot(5, charge=1001), errors.BalanceTooLow),
    (Slot(5, withdraw=1001), errors.BalanceTooLow),
    (Slot(5, charge=501, withdraw=500), errors.BalanceTooLow),
    (Slot(5, drain=True), errors.NotDrained),
    (Slot(5, withdraw=999, drain=True), errors.NotDrained),
]


@pytest.mark.parametrize(("slot", "error"), BROKEN)
@pytest.mark.parametrize("proving", [False, True])
def test_a_broken_rule_undoes_the_whole_batch(
    state: RollupState, slot: Slot, error: type[errors.InvalidTransition], proving: bool
) -> None:
    before = (dict(state.accounts), state.root)
    slots = [Slot(2, deposit=9, key_commit=KEY), slot]
    run = (
        partial(state.prove_inputs, 1, slots, {5: authorise(5, 10**9)}, 4)
        if proving
        else partial(state.apply, slots)
    )
    with pytest.raises(error) as caught:
        run()
    assert isinstance(caught.value, errors.InvalidTransition)
    assert (state.accounts, state.root) == before


def test_errors_keep_the_values(state: RollupState) -> None:
    with pytest.raises(errors.BalanceTooLow) as low:
        state.apply([Slot(5, deposit=1, reward=2, charge=3, withdraw=1004)])
    assert (low.value.idx, low.value.available_base, low.value.needed_base) == (5, 1003, 1007)
    with pytest.raises(errors.NotDrained) as kept:
        state.apply([Slot(5, withdraw=990, drain=True)])
    assert kept.value.remaining_base == 10


@pytest.mark.parametrize("second", [5, 4])
def test_indices_rise(state: RollupState, second: int) -> None:
    with pytest.raises(errors.SlotsOutOfOrder) as caught:
        state.apply([Slot(5), Slot(second, key_commit=KEY)])
    assert (caught.value.previous_idx, caught.value.idx) == (5, second)


def test_balance_and_spending_stay_below_2_to_the_64(state: RollupState) -> None:
    state.accounts[5] = AccountState(KEY, MAX_BALANCE_BASE - 1, MAX_BALANCE_BASE - 1)
    with pytest.raises(errors.BalanceTooHigh) as high:
        state.apply([Slot(5, deposit=1, reward=1)])
    assert high.value.balance_base == MAX_BALANCE_BASE + 1
    with pytest.raises(errors.SpentTooHigh) as spent:
        state.apply([Slot(5, charge=2)])
    assert spent.value.spent_base == MAX_BALANCE_BASE + 1
    state.apply([Slot(5, charge=1, deposit=1, reward=1)])
    assert state.accounts[5] == AccountState(KEY, MAX_BALANCE_BASE, MAX_BALANCE_BASE)


def test_a_drained_account_lives_on(state: RollupState) -> None:
    state.apply([Slot(5, withdraw=1000, drain=True)])
    state.apply([Slot(5, deposit=7)])
    assert state.accounts[5] == AccountState(KEY, 7, 100)


def prove(state: RollupState, slot: Slot, auth: Authorisation | None) -> None:
    state.prove_inputs(1, [slot], {} if auth is None else {slot.idx: auth}, 1)


UNSOUND = [
    (None, errors.MissingAuthorisation),
    (authorise(5, 149), errors.CeilingExceeded),
    (authorise(5, 10**9, NEW_SECRET), errors.WrongKey),
    (authorise(6, 10**9), errors.InvalidCeilingSignature),
    (replace(authorise(5, 150), ceiling_base=151), errors.InvalidCeilingSignature),
    (replace(authorise(5, 150), ceiling_base=MAX_BALANCE_BASE + 1), errors.CeilingTooHigh),
    (replace(authorise(5, 150), key=(1, 1)), errors.InvalidKey),
    (replace(authorise(5, 150), key=IDENTITY), errors.InvalidKey),
    (replace(authorise(5, 150), signature=sign(SECRET, 1)), errors.InvalidCeilingSignature),
    (
        replace(authorise(5, 150), signature=sign(SECRET, ceiling_message(DOMAIN + 1, 5, 150))),
        errors.InvalidCeilingSignature,
    ),
]


@pytest.mark.parametrize(("auth", "error"), UNSOUND)
def test_a_charge_needs_a_sound_ceiling(
    state: RollupState, auth: Authorisation | None, error: type[errors.InvalidTransition]
) -> None:
    before = (dict(state.accounts), state.root)
    with pytest.raises(error):
        prove(state, Slot(5, charge=50), auth)
    assert (state.accounts, state.root) == before


def test_a_ceiling_is_cumulative(state: RollupState) -> None:
    prove(state, Slot(5, charge=30), authorise(5, 150))
    prove(state, Slot(5, charge=20), authorise(5, 150))
    with pytest.raises(errors.CeilingExceeded) as caught:
        prove(state, Slot(5, charge=1), authorise(5, 150))
    assert (caught.value.ceiling_base, caught.value.spent_base) == (150, 151)


def test_a_key_change_is_charged_under_the_old_key(state: RollupState) -> None:
    slot = Slot(5, charge=1, key_commit=NEW_KEY)
    with pytest.raises(errors.WrongKey):
        prove(state, slot, authorise(5, 10**9, NEW_SECRET))
    prove(state, slot, authorise(5, 10**9))
    prove(state, Slot(5, charge=1), authorise(5, 10**9, NEW_SECRET))


def test_a_fresh_account_is_charged_under_the_key_it_gets(state: RollupState) -> None:
    slot = Slot(6, deposit=10, charge=10, key_commit=NEW_KEY)
    with pytest.raises(errors.WrongKey):
        prove(state, slot, authorise(6, 10))
    prove(state, slot, authorise(6, 10, NEW_SECRET))


def test_a_commitment_that_nobody_can_open_blocks_no_batch(state: RollupState) -> None:
    prove(state, Slot(5, key_commit=1), None)
    prove(state, Slot(5, withdraw=1000, drain=True), None)
    assert state.accounts[5] == AccountState(1, 0, 100)


def test_a_batch_has_room_for_its_size_only(state: RollupState) -> None:
    root = state.root
    with pytest.raises(errors.TooManySlots):
        state.prove_inputs(1, [Slot(5), Slot(6, key_commit=KEY)], {}, 1)
    assert state.root == root


def test_the_witness_has_one_row_per_slot_and_padding(state: RollupState) -> None:
    before, paths, top = state.root, [state.tree.path(5)], state.tree.node(4, 0)
    auth = authorise(5, 500)
    slots = [Slot(5, charge=50), Slot(9, deposit=3, key_commit=NEW_KEY)]
    witness = state.prove_inputs(1, slots, {5: auth}, 4)
    inputs = witness.circuit_inputs
    assert (
        (inputs["oldRoot"], inputs["newRoot"]) == (before, state.root) == (witness.old_root, witness.new_root)
    )
    assert witness.public == (inputs["C"], inputs["r"], inputs["y"])
    assert evaluate(witness.words, inputs["r"]) == inputs["y"]
    pairs = zip(inputs["w0"], inputs["w1"], strict=True)
    assert [decode_slot(w0, w1) for w0, w1 in pairs] == [*slots, None, None]
    assert inputs["used"] == [1, 0, 0, 0]
    assert inputs["keyCommit"] == [KEY, 0, 0, 0]
    assert inputs["balance"] == [1000, 0, 0, 0]
    assert inputs["spent"] == [100, 0, 0, 0]
    assert inputs["key"] == [list(auth.key), *[list(BASE8)] * 3]
    assert inputs["ceiling"] == [500, 0, 0, 0]
    assert inputs["r8"] == [list(auth.signature.r8), *[list(IDENTITY)] * 3]
    assert inputs["s"] == [auth.signature.s, 0, 0, 0]
    assert inputs["children"][0] == paths[0][:4]
    assert inputs["children"][2] == inputs["children"][3] == list(EMPTY_PATH[:4])
    assert inputs["unitRegion"] == [0, 0]
    assert inputs["unitOld"] == [top, state.tree.node(4, 0)]
    assert inputs["unitNew"] == [state.tree.node(4, 0)] * 2
    assert inputs["unitChildren"] == [paths[0][4:], state.tree.path(0)[4:]]


def test_slots_of_one_region_share_a_unit(state: RollupState) -> None:
    old_root = state.root
    far = [(7 << 12) + 1, (7 << 12) + 4095, MAX_IDX]
    slots = [Slot(idx, deposit=1, key_commit=KEY) for idx in far]
    after_first = state.copy()
    after_first.apply(slots[:2])
    inputs = state.prove_inputs(1, slots, {}, 10).circuit_inputs
    assert inputs["unitRegion"] == [7, 4095, 0]
    assert inputs["unitOld"] == [EMPTY_PATH[4][0], EMPTY_PATH[4][0], state.tree.node(4, 0)]
    assert inputs["unitNew"] == [state.tree.node(4, 7), state.tree.node(4, 4095), state.tree.node(4, 0)]
    assert inputs["unitChildren"][1] == after_first.tree.path(MAX_IDX)[4:]
    assert inputs["oldRoot"] == old_root


def test_a_batch_has_room_for_its_regions_only(state: RollupState) -> None:
    root = state.root
    slots = [Slot(region << 12 | 1, key_commit=KEY) for region in (1, 2, 4)]
    with pytest.raises(errors.TooManyRegions) as refusal:
        state.prove_inputs(1, slots, {}, 4)
    assert (refusal.value.count, refusal.value.limit) == (3, 2)
    assert state.root == root
    state.prove_inputs(1, slots, {}, 10)


def test_an_uncharged_slot_states_its_spending_as_ceiling(state: RollupState) -> None:
    witness = state.prove_inputs(1, [Slot(5, deposit=1)], {5: authorise(5, 10**9)}, 1)
    assert witness.circuit_inputs["ceiling"] == [100]
    assert witness.circuit_inputs["s"] == [0]


def test_copies_are_independent(state: RollupState) -> None:
    copy = state.copy()
    copy.apply([Slot(5, deposit=1)])
    assert state.accounts[5].balance == 1000
    assert copy.root != state.root
    state.apply([Slot(5, deposit=1)])
    assert copy.root == state.root

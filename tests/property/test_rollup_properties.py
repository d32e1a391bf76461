"""Codecs round-trip, value is conserved, and every batch applies whole or not at all, for arbitrary input."""

from dataclasses import fields

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bridge.rollup.batch import (
    SLOT_BITS,
    Slot,
    decode_partner_word,
    decode_slot,
    encode_partner_word,
    encode_slot,
    evaluate,
)
from bridge.rollup.errors import InvalidTransition, NonCanonicalWord
from bridge.rollup.transition import RollupState, leaf
from bridge.rollup.tree import AccountTree
from mini_llm.wallet import babyjub, poseidon
from mini_llm.wallet.babyjub import BASE8, SUBORDER
from mini_llm.wallet.ceiling import SignedCeiling, sign_ceiling, verify_ceiling
from mini_llm.wallet.field import P
from mini_llm.wallet.limits import MAX_AMOUNT_BASE, MAX_BALANCE_BASE, MAX_IDX
from mini_llm.wallet.receipts_tree import inclusion_proof, receipts_tree, verify_inclusion

elements = st.integers(0, P - 1)
scalars = st.integers(0, SUBORDER - 1)
secrets = st.integers(1, SUBORDER - 1)
amounts = st.integers(0, MAX_AMOUNT_BASE)
slots = st.builds(
    Slot,
    idx=st.integers(1, MAX_IDX),
    charge=amounts,
    reward=amounts,
    deposit=amounts,
    withdraw=amounts,
    drain=st.booleans(),
    key_commit=elements,
)
# Small numbers make valid and invalid batches alike.
small = st.integers(0, 9)
small_slots = st.builds(
    Slot,
    idx=st.integers(1, 4),
    charge=small,
    reward=small,
    deposit=small.map(lambda amount: 3 * amount),
    withdraw=small,
    drain=st.booleans(),
    key_commit=st.integers(0, 1),
)
sorted_batches = st.lists(small_slots, max_size=3, unique_by=lambda slot: slot.idx).map(
    lambda batch: sorted(batch, key=lambda slot: slot.idx)
)
leaves = st.lists(st.tuples(st.binary(min_size=32, max_size=32), amounts), max_size=20)


@given(slots)
def test_slot_words_round_trip(slot: Slot) -> None:
    w0, w1 = encode_slot(slot)
    assert 0 < w0 < 1 << SLOT_BITS
    assert decode_slot(w0, w1) == slot


@given(st.integers(0, (1 << SLOT_BITS + 1) - 1), elements)
def test_every_canonical_pair_of_words_is_one_slot(w0: int, w1: int) -> None:
    try:
        slot = decode_slot(w0, w1)
    except NonCanonicalWord:
        assert w0 >= 1 << SLOT_BITS or w0 & MAX_IDX == 0
    else:
        assert (encode_slot(slot) if slot else (0, 0)) == (w0, w1)


@given(st.integers(0, 2**16 - 1), st.integers(1, MAX_BALANCE_BASE))
def test_partner_words_round_trip(partner_id: int, gross: int) -> None:
    assert decode_partner_word(encode_partner_word(partner_id, gross)) == (partner_id, gross)


@given(st.lists(elements, max_size=30), elements)
def test_evaluation_equals_the_sum_of_powers(words: list[int], r: int) -> None:
    assert evaluate(words, r) == sum(word * pow(r, j, P) for j, word in enumerate(words)) % P


@given(st.lists(elements, min_size=1, max_size=12))
@settings(max_examples=60)
def test_poseidon_is_the_same_in_rust_and_python(inputs: list[int]) -> None:
    assert poseidon.poseidon(inputs) == poseidon._hash(inputs)


@given(scalars, scalars)
@settings(max_examples=25)
def test_multiples_of_the_base_point_form_a_group(left: int, right: int) -> None:
    total = babyjub.add(babyjub.mul(BASE8, left), babyjub.mul(BASE8, right))
    assert total == babyjub.mul(BASE8, (left + right) % SUBORDER)
    assert babyjub.is_on_curve(total)


@given(secrets, elements, elements)
@settings(max_examples=25)
def test_signatures_hold_for_their_message_only(secret: int, message: int, other: int) -> None:
    key, signature = babyjub.public_key(secret), babyjub.sign(secret, message)
    assert babyjub.verify(key, message, signature)
    assume(other != message)
    assert not babyjub.verify(key, other, signature)


@given(secrets, elements, st.integers(1, MAX_IDX), st.integers(0, MAX_BALANCE_BASE))
@settings(max_examples=25)
def test_ceilings_round_trip(secret: int, domain: int, idx: int, ceiling_base: int) -> None:
    signed = SignedCeiling.from_json(sign_ceiling(secret, domain, idx, ceiling_base).to_json())
    assert (signed.idx, signed.ceiling_base) == (idx, ceiling_base)
    assert verify_ceiling(domain, signed)


@given(leaves)
def test_every_receipt_is_proved_and_the_total_is_the_sum(batch: list[tuple[bytes, int]]) -> None:
    root, total = receipts_tree(batch)
    assert total == sum(charge for _, charge in batch)
    for index, item in enumerate(batch):
        proof = inclusion_proof(batch, index)
        assert verify_inclusion(root, total, item, proof)
        assert not verify_inclusion(root, total, (item[0], item[1] ^ 1), proof)


@given(st.dictionaries(st.integers(1, MAX_IDX), elements, max_size=6))
@settings(max_examples=40)
def test_paths_hash_up_to_the_root(accounts: dict[int, int]) -> None:
    tree = AccountTree()
    for idx, value in accounts.items():
        tree.set_leaf(idx, value)
    for idx, value in accounts.items():
        node = value
        for level, children in enumerate(tree.path(idx)):
            assert children[idx // 8**level % 8] == node
            node = poseidon.poseidon(children)
        assert node == tree.root


@given(st.lists(sorted_batches, max_size=6))
@settings(max_examples=60)
def test_value_is_conserved_and_batches_are_all_or_nothing(history: list[list[Slot]]) -> None:
    state = RollupState(domain=1)
    for batch in history:
        before, root = dict(state.accounts), state.root
        held = sum(account.balance for account in before.values())
        spent = sum(account.spent for account in before.values())
        try:
            state.apply(batch)
        except InvalidTransition:
            assert (state.accounts, state.root) == (before, root)
            continue
        moved = {field.name: sum(getattr(slot, field.name) for slot in batch) for field in fields(Slot)}
        gained = moved["deposit"] + moved["reward"] - moved["charge"] - moved["withdraw"]
        assert sum(account.balance for account in state.accounts.values()) - held == gained
        assert sum(account.spent for account in state.accounts.values()) - spent == moved["charge"]
        assert all(0 <= account.balance <= MAX_BALANCE_BASE for account in state.accounts.values())
        assert all(state.tree.leaf(idx) == leaf(account) for idx, account in state.accounts.items())
        untouched = before.keys() - {slot.idx for slot in batch}
        assert all(state.accounts[idx] == before[idx] for idx in untouched)


@given(st.lists(small_slots, min_size=2, max_size=4))
def test_unsorted_batches_are_refused(batch: list[Slot]) -> None:
    indices = [slot.idx for slot in batch]
    assume(indices != sorted(set(indices)))
    with pytest.raises(InvalidTransition):
        RollupState(domain=1).apply(batch)

"""The Python specification against vectors that circomlibjs and js-sha3 made (hardhat-local/golden.cjs)."""

import json
from pathlib import Path
from typing import Any

import pytest

from bridge.rollup import batch, tree
from bridge.rollup.batch import Slot
from bridge.rollup.exit import exit_inputs
from bridge.rollup.transition import AccountState, Authorisation, RollupState, leaf
from mini_llm.wallet import babyjub, ceiling, poseidon, receipts_tree
from mini_llm.wallet.babyjub import Signature


def golden(name: str) -> Any:
    """A vector file with its decimal strings read as numbers."""
    return _numbers(json.loads((Path(__file__).parent / f"{name}.json").read_text()))


def _numbers(value: Any) -> Any:
    if isinstance(value, str) and value.isdigit():
        return int(value)
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    if isinstance(value, dict):
        return {name: _numbers(item) for name, item in value.items()}
    return value


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def _slot(vector: dict[str, Any]) -> Slot:
    fields = ("idx", "charge", "reward", "deposit", "withdraw", "drain", "key_commit")
    return Slot(**{field: vector[field] for field in fields})


@pytest.mark.parametrize("vector", golden("poseidon"), ids=lambda v: f"{len(v['inputs'])} inputs")
@pytest.mark.parametrize("in_rust", [True, False], ids=["rust", "python"])
def test_poseidon(vector: dict[str, Any], in_rust: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if in_rust and poseidon._RustHasher is None:
        pytest.skip("light-poseidon has no wheel for this platform")
    if not in_rust:
        monkeypatch.setattr(poseidon, "_RustHasher", None)
    assert poseidon.poseidon(vector["inputs"]) == vector["hash"]


def test_babyjub_constants() -> None:
    vectors = golden("babyjub")
    assert tuple(vectors["base8"]) == babyjub.BASE8
    assert vectors["suborder"] == babyjub.SUBORDER


@pytest.mark.parametrize("vector", golden("babyjub")["add"])
def test_babyjub_add(vector: dict[str, Any]) -> None:
    assert babyjub.add(tuple(vector["left"]), tuple(vector["right"])) == tuple(vector["sum"])


@pytest.mark.parametrize("vector", golden("babyjub")["mul"])
def test_babyjub_mul(vector: dict[str, Any]) -> None:
    assert babyjub.mul(tuple(vector["point"]), vector["scalar"]) == tuple(vector["product"])


def test_babyjub_point_classes() -> None:
    vectors = golden("babyjub")
    for point in vectors["small_order"]:
        assert babyjub.is_on_curve(tuple(point))
        assert babyjub.has_small_order(tuple(point))
    for point in vectors["not_small_order"]:
        assert babyjub.is_on_curve(tuple(point))
        assert not babyjub.has_small_order(tuple(point))
    for point in vectors["off_curve"]:
        assert not babyjub.is_on_curve(tuple(point))


@pytest.mark.parametrize("kind", ["circomlibjs", "deterministic"])
def test_eddsa_verifies_what_circomlibjs_verifies(kind: str) -> None:
    for vector in golden("eddsa")[kind]:
        signature = Signature(tuple(vector["r8"]), vector["s"])
        assert babyjub.verify(tuple(vector["key"]), vector["message"], signature)
        assert not babyjub.verify(tuple(vector["key"]), vector["message"] ^ 1, signature)


def test_eddsa_makes_the_signatures_that_circomlibjs_verified() -> None:
    for vector in golden("eddsa")["deterministic"]:
        assert babyjub.public_key(vector["secret"]) == tuple(vector["key"])
        expected = Signature(tuple(vector["r8"]), vector["s"])
        assert babyjub.sign(vector["secret"], vector["message"]) == expected


def test_ceilings() -> None:
    vectors = golden("ceiling")
    for place in vectors["domains"]:
        assert ceiling.settlement_domain(place["chain_id"], place["settlement"]) == place["domain"]
    for pair in vectors["key_commitments"]:
        assert ceiling.key_commitment(tuple(pair["key"])) == pair["key_commit"]
    for vector in vectors["ceilings"]:
        domain, idx, limit = vector["domain"], vector["idx"], vector["ceiling_base"]
        signed = ceiling.sign_ceiling(vector["secret"], domain, idx, limit)
        assert ceiling.ceiling_message(domain, idx, limit) == vector["message"]
        assert signed.key == tuple(vector["key"])
        assert signed.signature == Signature(tuple(vector["r8"]), vector["s"])
        assert ceiling.verify_ceiling(domain, signed)


def test_session_secret() -> None:
    vector = golden("ceiling")["session_secret"]
    assert ceiling.derive_session_secret(_bytes(vector["wallet_signature"])) == vector["secret"]


def test_account_tree() -> None:
    vectors = golden("tree")
    accounts = tree.AccountTree()
    assert vectors["genesis_root"] == tree.GENESIS_ROOT == accounts.root
    for level, children in enumerate(accounts.path(0)):
        assert children == [vectors["empty_nodes"][level]] * 8
    for vector in vectors["leaves"]:
        state = AccountState(vector["key_commit"], vector["balance"], vector["spent"])
        assert leaf(state) == vector["leaf"]
        accounts.set_leaf(vector["idx"], leaf(state))
    assert accounts.root == vectors["root"]
    for vector in vectors["paths"]:
        assert accounts.path(vector["idx"]) == vector["children"]


def test_exit_inputs() -> None:
    vectors = golden("tree")
    states = {
        item["idx"]: AccountState(item["key_commit"], item["balance"], item["spent"])
        for item in vectors["leaves"]
    }
    accounts = tree.AccountTree()
    accounts.set_leaves({item["idx"]: item["leaf"] for item in vectors["leaves"]})
    for vector in vectors["paths"]:
        idx = vector["idx"]
        if idx in states:
            witness = exit_inputs(accounts, idx, states[idx])
            assert witness.public == (vectors["root"], idx, states[idx].balance)
            assert witness.circuit_inputs["children"] == vector["children"]


def test_slot_words() -> None:
    for vector in golden("batch")["slots"]:
        assert batch.encode_slot(_slot(vector)) == (vector["w0"], vector["w1"])
        assert batch.decode_slot(vector["w0"], vector["w1"]) == _slot(vector)


def test_partner_words() -> None:
    for vector in golden("batch")["partner_words"]:
        pair = (vector["partner_id"], vector["gross_base"])
        assert batch.encode_partner_word(*pair) == vector["word"]
        assert batch.decode_partner_word(vector["word"]) == pair


def test_public_inputs() -> None:
    for vector in golden("batch")["bound"]:
        commitment = batch.commit_words(vector["words"])
        r = batch.challenge(vector["batch_number"], vector["words"], commitment)
        assert (commitment, r) == (vector["commitment"], vector["r"])
        assert batch.evaluate(vector["words"], r) == vector["y"]


def test_receipts_tree() -> None:
    for vector in golden("receipts"):
        leaves = [(_bytes(item["digest"]), item["charge_base"]) for item in vector["leaves"]]
        assert receipts_tree.receipts_tree(leaves) == (_bytes(vector["root"]), vector["total"])
        for index, proof in enumerate(vector["proofs"]):
            siblings = tuple((_bytes(node_hash), amount) for node_hash, amount in proof["siblings"])
            assert receipts_tree.inclusion_proof(leaves, index) == receipts_tree.InclusionProof(
                index, siblings
            )


def test_transition_history() -> None:
    vectors = golden("transition")
    proving, following = RollupState(vectors["domain"]), RollupState(vectors["domain"])
    for vector in vectors["batches"]:
        slots = [_slot(item) for item in vector["slots"]]
        auths = {
            item["idx"]: Authorisation(
                item["ceiling_base"], tuple(item["key"]), Signature(tuple(item["r8"]), item["s"])
            )
            for item in vector["ceilings"]
        }
        witness = proving.prove_inputs(vector["batch_number"], slots, auths, vector["size"])
        following.apply(slots)
        assert (witness.old_root, witness.new_root) == (vector["old_root"], vector["new_root"])
        assert list(witness.words) == vector["words"]
        assert witness.public == (vector["commitment"], vector["r"], vector["y"])
        inputs = witness.circuit_inputs
        signals = ("unitRegion", "unitOld", "unitNew", "unitChildren")
        for position, unit in enumerate(vector["units"]):
            expected_unit = [unit[name] for name in ("region", "old_top", "new_top", "children")]
            assert [inputs[name][position] for name in signals] == expected_unit
        expected = {
            item["idx"]: AccountState(item["key_commit"], item["balance"], item["spent"])
            for item in vector["accounts"]
        }
        assert proving.accounts == following.accounts == expected
        assert following.root == vector["new_root"]

"""The session key as the browser makes it, against golden vectors and the Python specification."""

from __future__ import annotations

import json
import secrets
from typing import Any

import pytest
from support.anvil import ROOT
from support.page_scripts import STATIC, run_script
from support.stack import labelled_account

from mini_llm.wallet import ceiling
from mini_llm.wallet.babyjub import SUBORDER, public_key, sign
from mini_llm.wallet.ceiling import SignedCeiling, sign_ceiling, verify_ceiling
from mini_llm.wallet.field import P
from mini_llm.wallet.poseidon import poseidon

PLACE = (31337, "0x5FbDB2315678afecb367f032d93F642f64180aa3")


def golden(name: str) -> Any:
    return json.loads((ROOT / "tests" / "golden" / f"{name}.json").read_text())


TOOLS = """
const { publicKey, sign } = await load("babyjub.js");
const { commitment, secretOf, settlementDomain, signCeiling, typedData } = await load("session_key.js");
const { poseidon } = await load("poseidon.js");
const big = (one) => Array.isArray(one) ? one.map(big) : BigInt(one);
const refusal = (work) => {
  try { work(); return null; } catch (error) { return error.message; }
};
BigInt.prototype.toJSON = function () { return String(this); };
"""


def browser(script: str, given: Any) -> Any:
    """What a script returns that has the modules' functions; big numbers are decimal strings."""
    return run_script(TOOLS + script, given)


def test_poseidon_is_circomlibs() -> None:
    vectors = [vector for vector in golden("poseidon") if len(vector["inputs"]) <= 5]
    assert {len(vector["inputs"]) for vector in vectors} >= {1, 2, 5}
    hashes = browser("return given.map(({ inputs }) => poseidon(big(inputs)));", vectors)
    assert hashes == [vector["hash"] for vector in vectors]


def test_poseidon_is_the_specifications_for_every_width() -> None:
    inputs = [[secrets.randbelow(P) for _ in range(count)] for count in (1, 2, 3, 4, 5)]
    hashes = browser(
        "return given.map((one) => poseidon(big(one)));", [[str(x) for x in one] for one in inputs]
    )
    assert hashes == [str(poseidon(one)) for one in inputs]


def test_signatures_are_those_that_circomlibjs_verified() -> None:
    vectors = golden("eddsa")["deterministic"]
    made = browser("return given.map((one) => sign(BigInt(one.secret), BigInt(one.message)));", vectors)
    assert made == [{name: vector[name] for name in ("key", "r8", "s")} for vector in vectors]


def test_keys_and_signatures_are_the_specifications() -> None:
    given = [
        (secret, message)
        for secret in (1, 2, SUBORDER - 1, 1 + secrets.randbelow(SUBORDER - 1))
        for message in (0, P - 1, secrets.randbelow(P))
    ]
    made = browser(
        "return given.map(([secret, message]) => sign(BigInt(secret), BigInt(message)));",
        [[str(secret), str(message)] for secret, message in given],
    )
    for (secret, message), told in zip(given, made, strict=True):
        expected = sign(secret, message)
        assert told["key"] == [str(value) for value in public_key(secret)]
        assert (told["r8"], told["s"]) == ([str(value) for value in expected.r8], str(expected.s))


def test_ceilings_are_byte_for_byte_the_specifications() -> None:
    vectors = golden("ceiling")
    made = browser(
        """
        const { domains, ceilings, session_secret: drawn } = given;
        const one = (c) =>
          signCeiling(BigInt(c.secret), BigInt(c.domain), Number(c.idx), BigInt(c.ceiling_base));
        return {
          domains: domains.map((at) => settlementDomain(Number(at.chain_id), at.settlement)),
          ceilings: ceilings.map((c) => JSON.stringify(one(c))),
          secret: secretOf(drawn.wallet_signature),
        };""",
        vectors,
    )
    assert made["domains"] == [place["domain"] for place in vectors["domains"]]
    assert made["secret"] == vectors["session_secret"]["secret"]
    assert len(made["ceilings"]) > 1
    for text, vector in zip(made["ceilings"], vectors["ceilings"], strict=True):
        domain, idx, limit = (int(vector[name]) for name in ("domain", "idx", "ceiling_base"))
        assert text == sign_ceiling(int(vector["secret"]), domain, idx, limit).to_json()
        assert verify_ceiling(domain, SignedCeiling.from_json(text))


@pytest.mark.parametrize("index", [0, 7])
def test_a_wallet_s_signature_makes_the_same_key_as_in_python(index: int) -> None:
    wallet = labelled_account(f"browser {index}")
    typed = ceiling.session_key_typed_data(*PLACE, index)
    signature = bytes(wallet.sign_typed_data(full_message=typed).signature)
    low = signature[:64] + bytes((signature[64] - 27,))  # as some wallets write v
    told = browser(
        """
        const secrets = given.signatures.map(secretOf);
        return {
          typed: typedData(given.chainId, given.settlement, given.index),
          secrets, commits: secrets.map(commitment), keys: secrets.map(publicKey),
        };""",
        {
            "chainId": PLACE[0],
            "settlement": PLACE[1],
            "index": index,
            "signatures": ["0x" + signature.hex(), "0x" + low.hex().upper()],
        },
    )
    secret = ceiling.derive_session_secret(signature)
    key = public_key(secret)
    assert told["typed"] == typed
    assert told["secrets"] == [str(secret)] * 2
    assert told["keys"] == [[str(value) for value in key]] * 2
    assert told["commits"] == [str(ceiling.key_commitment(key))] * 2


def test_what_makes_no_key_or_ceiling_is_refused() -> None:
    refusals = browser(
        """
        const [secret, domain, order, p] = [5n, 7n, BigInt(given.order), BigInt(given.p)];
        return [
          () => secretOf("0x" + "11".repeat(64)), () => secretOf("0x" + "11".repeat(66)),
          () => secretOf("zz"),
          () => publicKey(0n), () => publicKey(order), () => sign(secret, p), () => sign(secret, -1n),
          () => signCeiling(secret, domain, 0, 1n), () => signCeiling(secret, domain, 2 ** 24, 1n),
          () => signCeiling(secret, domain, 1.5, 1n), () => signCeiling(secret, domain, 1, 2n ** 64n),
          () => signCeiling(secret, domain, 1, -1n), () => signCeiling(secret, p, 1, 1n),
          () => poseidon([]), () => poseidon([1n, 2n, 3n, 4n, 5n, 6n]), () => poseidon([p]),
        ].map(refusal);""",
        {"order": str(SUBORDER), "p": str(P)},
    )
    assert len(refusals) == 16
    assert all(refusals)


def test_nothing_of_the_key_is_kept_or_told() -> None:
    """The modules that handle the secret reach neither storage, network, nor the console."""
    ways_out = ("Storage", "indexedDB", "cookie", "fetch", "console", "postMessage", "XMLHttp", "sendBeacon")
    for name in ("babyjub", "poseidon", "session_key", "keccak"):
        source = (STATIC / f"{name}.js").read_text()
        assert [word for word in ways_out if word in source] == [], name

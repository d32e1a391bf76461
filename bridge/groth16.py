"""Groth16 over BN254 in the word order of `IVerifier`: verifying keys of 22 words, proofs of 8.

The arithmetic is arkworks' (package `groth16py`).

Source: J. Groth, "On the Size of Pairing-Based Non-interactive Arguments", EUROCRYPT 2016; EIP-196, EIP-197.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import groth16py

from mini_llm.wallet.field import is_canonical

Q: Final = 21888242871839275222246405745257275088696311157297823662689037894645226208583
"""Order of BN254's base field, in which the coordinates of its points lie."""

EXIT_SLOTS: Final = 0
"""What the exit circuit answers where batch circuits tell their number of slots."""

KEY_WORDS: Final = 22
PROOF_WORDS: Final = 8
WORD_BYTES: Final = 32


def circuit_name(circuit: int | str) -> str:
    """Name of a circuit, of its folder and of its `main` file, for its number of slots (or its name)."""
    if isinstance(circuit, str):
        return circuit
    return "exit" if circuit == EXIT_SLOTS else f"batch{circuit}"


def verifier_name(slots: int) -> str:
    """Name of the circuit's generated verifier contract."""
    return "ExitVerifier" if slots == EXIT_SLOTS else f"BatchVerifier{slots}"


def _twist_words(point: Sequence[Sequence[str]]) -> list[int]:
    """A G2 point of snarkjs, (x0, x1), (y0, y1), as x1, x0, y1, y0."""
    (x0, x1), (y0, y1) = point[0], point[1]
    return [int(x1), int(x0), int(y1), int(y0)]


def key_words(snarkjs_key: str) -> tuple[int, ...]:
    """The words of a verifying key in the order of `IVerifier.verifyingKey`.

    Raises:
        ValueError: the key is not for three public inputs.
    """
    key = json.loads(snarkjs_key)
    words = [int(coordinate) for coordinate in key["vk_alpha_1"][:2]]
    for name in ("vk_beta_2", "vk_gamma_2", "vk_delta_2"):
        words += _twist_words(key[name])
    for point in key["IC"]:
        words += [int(coordinate) for coordinate in point[:2]]
    if len(words) != KEY_WORDS:
        raise ValueError(f"a verifying key has {KEY_WORDS} words, this one {len(words)}")
    return tuple(words)


def snarkjs_key(words: Sequence[int]) -> str:
    """The inverse of `key_words`: a snarkjs `verification_key.json`."""

    def point(start: int) -> list[str]:
        return [str(words[start]), str(words[start + 1]), "1"]

    def twist(start: int) -> list[list[str]]:
        x1, x0, y1, y0 = (str(word) for word in words[start : start + 4])
        return [[x0, x1], [y0, y1], ["1", "0"]]

    key: dict[str, Any] = {
        "protocol": "groth16",
        "curve": "bn128",
        "nPublic": 3,
        "vk_alpha_1": point(0),
        "vk_beta_2": twist(2),
        "vk_gamma_2": twist(6),
        "vk_delta_2": twist(10),
        "IC": [point(start) for start in range(14, KEY_WORDS, 2)],
    }
    return json.dumps(key)


def solidity_words(blob: bytes) -> tuple[int, ...]:
    """A proof of `groth16py` as [a.x, a.y, b.x1, b.x0, b.y1, b.y0, c.x, c.y]."""
    if len(blob) != PROOF_WORDS * WORD_BYTES:
        raise ValueError(f"a proof has {PROOF_WORDS * WORD_BYTES} bytes, this one {len(blob)}")
    return tuple(int.from_bytes(blob[i : i + WORD_BYTES], "big") for i in range(0, len(blob), WORD_BYTES))


@lru_cache(maxsize=16)
def _verifier(words: tuple[int, ...]) -> groth16py.Verifier:
    return groth16py.Verifier(groth16py.VerifyingKey.from_snarkjs(snarkjs_key(words)))


def verify_proof(key: Sequence[int], proof: Sequence[int], public: tuple[int, int, int]) -> bool:
    """True if the proof holds; False for a false, malformed or non-canonical one, like the verifier contract.

    Args:
        key: 22 words as `IVerifier.verifyingKey` gives them.
        proof: 8 words, each below Q.
        public: (C, r, y) of a batch, (root, idx, balance) of an exit; each below the scalar field.

    Raises:
        ValueError: the key is malformed (a wrong key is the caller's mistake, not a false proof).
    """
    if len(key) != KEY_WORDS or not all(0 <= word < Q for word in key):
        raise ValueError(f"a verifying key has {KEY_WORDS} words below q")
    if len(proof) != PROOF_WORDS or not all(0 <= word < Q for word in proof):
        return False
    if not all(is_canonical(value) for value in public):
        return False
    try:
        verifier = _verifier(tuple(key))
    except groth16py.EncodingError as error:
        raise ValueError(f"malformed verifying key: {error}") from error
    blob = b"".join(word.to_bytes(WORD_BYTES, "big") for word in proof)
    try:
        return bool(verifier.verify(blob, list(public)))
    except (groth16py.EncodingError, groth16py.VerificationError):  # a coordinate that is on no curve
        return False

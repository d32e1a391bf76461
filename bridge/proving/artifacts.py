"""Built circuits: where their files lie, and who may use their keys."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bridge.errors import BridgeError
from bridge.groth16 import circuit_name, key_words

DEVELOPMENT_CHAIN_IDS: Final = frozenset({31337, 31338})
"""Chains on which a single-party key may be used: nobody's money is there."""

BUILD_COMMAND: Final = "make setup"

EXIT: Final = "exit"
"""Name of the circuit that proves what one account holds."""

CEREMONY_KEY: Final = "circuit.zkey"
DEVELOPMENT_KEY: Final = "proving.pk"

_BATCH_PUBLIC: Final = ("C", "r", "y")
_EXIT_PUBLIC: Final = ("root", "idx", "balance")


class ArtifactsMissing(BridgeError):
    """A circuit's proving artefacts are not there or not complete."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(f"{path} is missing: run `{BUILD_COMMAND}`")

    def __reduce__(self) -> tuple[Any, ...]:  # crosses from the worker
        return type(self), (self.path,)


class ArtifactsDiffer(BridgeError):
    """A worker has another circuit or key than the one whose proofs are wanted."""

    def __init__(self, circuit: str, expected: str, actual: str) -> None:
        self.circuit, self.expected, self.actual = circuit, expected, actual
        super().__init__(f"the worker's {circuit} has hash {actual}, wanted is {expected}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.circuit, self.expected, self.actual)


class DevelopmentKeyRefused(BridgeError):
    """Proofs by a single-party development key are worth nothing: whoever made the key can forge them."""

    def __init__(self, chain_id: int) -> None:
        self.chain_id = chain_id
        super().__init__(
            f"development proving keys are refused on chain {chain_id}, only local chains may use them"
        )


@dataclass(frozen=True)
class Artifacts:
    """What `scripts/build_circuits.py`, or a ceremony, made for one circuit.

    circuit: its folder, `batch{N}` or `exit`.
    slots: batch size, 0 for the exit circuit.
    proving_key: `circuit.zkey` of a ceremony, else `proving.pk` of the development setup.
    circuit_hash: sha256 of the r1cs, hex without 0x.
    key_hash: sha256 of the verifying key's 22 words of 32 bytes, hex without 0x.
    constraints: number of constraints, for reports.
    development: True if the key is from a single-party setup.
    """

    circuit: str
    slots: int
    wasm: Path
    proving_key: Path
    verifying_key: tuple[int, ...]
    circuit_hash: str
    key_hash: str
    constraints: int
    development: bool

    @classmethod
    def load(cls, directory: Path, circuit: int | str) -> Artifacts:
        """Read the manifest and verifying key of a batch size, or of a circuit by its name.

        Raises:
            ArtifactsMissing: a file is not there.
        """
        name = circuit_name(circuit)
        folder = Path(directory) / name
        wasm = folder / "circuit.wasm"
        manifest_file, key_file = folder / "manifest.json", folder / "verifying_key.json"
        for file in (manifest_file, key_file, wasm):
            if not file.is_file():
                raise ArtifactsMissing(file)
        manifest = json.loads(manifest_file.read_text())
        development = bool(manifest["development"])
        proving_key = folder / (DEVELOPMENT_KEY if development else CEREMONY_KEY)
        if not proving_key.is_file():
            raise ArtifactsMissing(proving_key)
        return cls(
            circuit=name,
            slots=circuit if isinstance(circuit, int) else 0,
            wasm=wasm,
            proving_key=proving_key,
            verifying_key=key_words(key_file.read_text()),
            circuit_hash=str(manifest["circuit_hash"]),
            key_hash=str(manifest["key_hash"]),
            constraints=int(manifest["constraints"]),
            development=development,
        )

    def public_inputs(self, inputs: dict[str, Any]) -> tuple[int, int, int]:
        """What a proof for these circuit inputs is verified with, in the circuit's order.

        Raises:
            KeyError: one of them is not given.
        """
        names: Sequence[str] = _EXIT_PUBLIC if self.circuit == EXIT else _BATCH_PUBLIC
        first, second, third = (int(inputs[name]) for name in names)
        return first, second, third

"""Built circuits as a deployment needs them: their verifiers, and whether a chain may have them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from ape_deployer import LOCAL_CHAIN_IDS

from bridge.groth16 import circuit_name, key_words, verifier_name

GENERATED = Path(__file__).resolve().parents[1] / "contracts" / "src" / "generated"


class DeployRefused(Exception):
    """The deployment would be wrong or unsafe; nothing was sent."""


@dataclass(frozen=True)
class Circuit:
    """A built circuit: slots (0 for exits), sha256 of its r1cs, and whether its key is a development key."""

    slots: int
    circuit_hash: str
    development: bool

    @property
    def verifier(self) -> str:
        """Name of the generated verifier contract."""
        return verifier_name(self.slots)


def built_circuits(directory: Path, chain_id: int, rehearsal: bool = False) -> list[Circuit]:
    """The exit circuit and the batch sizes under `directory`, smallest first.

    Raises:
        DeployRefused: one kind is missing, one has a development key and the chain is not a local one (unless
            this is a rehearsal), or its generated verifier is of another circuit.
    """
    paths = [directory / "exit" / "manifest.json", *directory.glob("batch*/manifest.json")]
    manifests = [json.loads(path.read_text()) for path in paths if path.exists()]
    circuits = [Circuit(m["slots"], m["circuit_hash"], m["development"]) for m in manifests]
    if len(circuits) < 2 or not any(circuit.slots == 0 for circuit in circuits):
        raise DeployRefused(f"no exit and batch circuits under {directory}: run `make setup`")
    unsafe = sorted(circuit.verifier for circuit in circuits if circuit.development)
    if unsafe and chain_id not in LOCAL_CHAIN_IDS and not rehearsal:
        raise DeployRefused(
            f"the keys of {', '.join(unsafe)} are development keys: whoever made them can forge proofs. "
            f"They are for the local chains {LOCAL_CHAIN_IDS} only, this is chain {chain_id}"
        )
    for circuit in circuits:
        check_verifier(circuit, directory)
    return sorted(circuits, key=lambda circuit: circuit.slots)


def check_verifier(circuit: Circuit, directory: Path) -> None:
    """Raises DeployRefused if the generated verifier has another circuit or key than the built one."""
    source = GENERATED / f"{circuit.verifier}.sol"
    text = source.read_text() if source.exists() else ""
    key = key_words((directory / circuit_name(circuit.slots) / "verifying_key.json").read_text())
    wanted = [circuit.circuit_hash, f"DEVELOPMENT = {str(circuit.development).lower()};", *map(str, key)]
    if any(part not in text for part in wanted):
        raise DeployRefused(f"{source} is not the verifier of the built circuit: run `make setup`")

#!/usr/bin/env python3
"""Deploys token, timelock, registry, verifiers and settlement with ape, and writes the deployment record.

    scripts/deploy.py --rpc-url URL --key-file FILE --config FILE --out FILE [--network NAME] [--dry-run]

The configuration is JSON; addresses are 0x hex, amounts whole base units:

    {"treasury": "0x…", "guardian": "0x…", "operator": "0x…", "receipt_signer": "0x…",
     "owner": "0x…",                                      (optional: default the deployer)
     "policy": {"fee_bps": 1500, "burn_bps": 500, …},     (optional: see Policy)
     "partners": [{"name": "pithy-labs", "payout": "0x…", "bps": 3000}],
     "mint": [{"to": "0x…", "amount_base": 1000000}]}     (optional: demo money, local chains only)

The owner proposes and cancels changes, which pass the timelock, and mints the token. Constructors fix
everything: the deployer keeps no role, and no step is left that somebody else could take first.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ape_deployer import (
    LOCAL_CHAIN_IDS,
    ApeFailed,
    Deployer,
    Report,
    connected,
    prepare_ape,
    scratch_chain,
)
from web3 import HTTPProvider, Web3

ROOT = Path(__file__).resolve().parents[1]
GENERATED = ROOT / "contracts" / "src" / "generated"
# Public networks need an RPC URL of one's own; the profile makes sure that it is the network one meant.
# Settlement.EXIT_PERIOD, and the time that users have on top to see a change coming.
EXIT_PERIOD_S = 3 * 86_400
NOTICE_S = 2 * 86_400
NETWORKS = {"anvil": 31337, "hardhat": 31338, "polygon-amoy": 80002}


class DeployRefused(Exception):
    """The deployment would be wrong or unsafe; nothing was sent."""


@dataclass(frozen=True)
class Policy:
    """What the contracts fix for good: shares in basis points of gross, seconds, base units."""

    fee_bps: int = 1_500
    burn_bps: int = 500
    pool_bps: int = 1_000
    max_partner_bps: int = 5_000
    service_deadline_s: int = 7 * 86_400
    min_first_deposit_base: int = 1_000_000
    timelock_delay_s: int = 0
    """0 for what leaving takes (service deadline and exit period) and two days."""

    def delay_s(self) -> int:
        """Seconds that every change of the rules waits. Raises DeployRefused if leaving takes longer."""
        leaving_s = self.service_deadline_s + EXIT_PERIOD_S
        if self.timelock_delay_s and self.timelock_delay_s < leaving_s:
            raise DeployRefused(
                f"a timelock of {self.timelock_delay_s} s is shorter than leaving takes, {leaving_s} s"
            )
        return self.timelock_delay_s or leaving_s + NOTICE_S


@dataclass(frozen=True)
class Plan:
    """One deployment as the configuration file describes it."""

    treasury: str
    guardian: str
    operator: str
    receipt_signer: str
    owner: str | None = None
    policy: Policy = field(default_factory=Policy)
    partners: tuple[dict[str, Any], ...] = ()
    mint: tuple[dict[str, Any], ...] = ()

    @classmethod
    def read(cls, path: Path) -> Plan:
        """Raises DeployRefused if the file is not JSON or a field is missing, unknown or no address."""
        try:
            values = json.loads(path.read_text())
            policy = Policy(**values.pop("policy", {}))
            partners, mint = tuple(values.pop("partners", ())), tuple(values.pop("mint", ()))
            plan = cls(policy=policy, partners=partners, mint=mint, **values)
            addresses = [plan.treasury, plan.guardian, plan.operator, plan.receipt_signer]
            addresses += filter(None, [plan.owner])
            addresses += [entry["payout"] for entry in plan.partners] + [entry["to"] for entry in plan.mint]
        except (OSError, TypeError, KeyError, ValueError) as error:
            raise DeployRefused(f"{path}: {error}") from error
        if wrong := [address for address in addresses if not Web3.is_address(address)]:
            raise DeployRefused(f"{path}: not an address: {wrong[0]!r}")
        policy.delay_s()
        return plan


@dataclass(frozen=True)
class Circuit:
    """A built circuit: slots (0 for exits), sha256 of its r1cs, and whether its key is a development key."""

    slots: int
    circuit_hash: str
    development: bool

    @property
    def verifier(self) -> str:
        """Name of the generated verifier contract."""
        return f"BatchVerifier{self.slots}" if self.slots else "ExitVerifier"


def built_circuits(directory: Path, chain_id: int) -> list[Circuit]:
    """The exit circuit and the batch sizes under `directory`, smallest first.

    Raises:
        DeployRefused: one kind is missing, one has a development key and the chain is not a local one, or its
            generated verifier is of another circuit.
    """
    paths = [directory / "exit" / "manifest.json", *directory.glob("batch*/manifest.json")]
    manifests = [json.loads(path.read_text()) for path in paths if path.exists()]
    circuits = [Circuit(m["slots"], m["circuit_hash"], m["development"]) for m in manifests]
    if len(circuits) < 2 or not any(circuit.slots == 0 for circuit in circuits):
        raise DeployRefused(f"no exit and batch circuits under {directory}: run `make setup`")
    unsafe = sorted(circuit.verifier for circuit in circuits if circuit.development)
    if unsafe and chain_id not in LOCAL_CHAIN_IDS:
        raise DeployRefused(
            f"the keys of {', '.join(unsafe)} are development keys: whoever made them can forge proofs. "
            f"They are for the local chains {LOCAL_CHAIN_IDS} only, this is chain {chain_id}"
        )
    for circuit in circuits:
        source = GENERATED / f"{circuit.verifier}.sol"
        if not source.exists() or circuit.circuit_hash not in source.read_text():
            raise DeployRefused(f"{source} is not the verifier of the built circuit: run `make setup`")
    return sorted(circuits, key=lambda circuit: circuit.slots)


def deploy(deployer: Deployer, plan: Plan, circuits: list[Circuit], chain_id: int) -> dict[str, Any]:
    """Deploys everything and returns the deployment record."""
    owner = plan.owner or deployer.address
    token = deployer.deploy("VibesToken", owner, [(grant["to"], grant["amount_base"]) for grant in plan.mint])
    timelock = deployer.deploy("PolicyTimelock", plan.policy.delay_s(), owner)
    partners = [(partner["name"], partner["payout"], partner["bps"]) for partner in plan.partners]
    maximum = plan.policy.max_partner_bps
    registry = deployer.deploy("PartnerRegistry", timelock.address, maximum, partners)
    verifiers = {circuit.slots: deployer.deploy(circuit.verifier).address for circuit in circuits}
    addresses = {
        "token": token.address,
        "registry": registry.address,
        "timelock": timelock.address,
        "exit_verifier": verifiers.pop(0),
    }
    settlement = deployer.deploy("Settlement", settlement_config(plan, addresses, list(verifiers.values())))
    return {
        "chain_id": chain_id,
        **addresses,
        "settlement": settlement.address,
        "owner": owner,
        "treasury": plan.treasury,
        "guardian": plan.guardian,
        "operator": plan.operator,
        "receipt_signer": plan.receipt_signer,
        "verifiers": {str(slots): address for slots, address in verifiers.items()},
        "start_block": token.creation_metadata.block,
        "partners": [
            {"id": number, "name": name, "payout": payout, "bps": bps}
            for number, (name, payout, bps) in enumerate(partners, 1)
        ],
    }


def settlement_config(plan: Plan, addresses: dict[str, str], batch_verifiers: list[str]) -> tuple[Any, ...]:
    """Settlement.Config in its order."""
    policy = plan.policy
    return (
        addresses["token"],
        addresses["registry"],
        plan.treasury,
        addresses["timelock"],
        plan.guardian,
        plan.operator,
        plan.receipt_signer,
        policy.fee_bps,
        policy.burn_bps,
        policy.pool_bps,
        policy.service_deadline_s,
        policy.min_first_deposit_base,
        addresses["exit_verifier"],
        batch_verifiers,
    )


def run(arguments: argparse.Namespace, report: Report) -> None:
    """Does what the command line asks for. Raises DeployRefused."""
    plan = Plan.read(arguments.config)
    private_key = arguments.key_file.read_text().strip()
    web3 = Web3(HTTPProvider(arguments.rpc_url))
    if not web3.is_connected():
        raise DeployRefused(f"no node answers at {arguments.rpc_url}")
    chain_id = web3.eth.chain_id
    if arguments.network and chain_id != NETWORKS[arguments.network]:
        raise DeployRefused(
            f"{arguments.network} is chain {NETWORKS[arguments.network]}, the node serves {chain_id}"
        )
    circuits = built_circuits(arguments.circuits, chain_id)
    if plan.mint and chain_id not in LOCAL_CHAIN_IDS:
        raise DeployRefused(
            f"demo money is for the local chains {LOCAL_CHAIN_IDS} only, this is chain {chain_id}"
        )
    address = web3.eth.account.from_key(private_key).address
    report(f"compiling; deploying to chain {chain_id} from {address}")
    project = prepare_ape()
    if arguments.dry_run:
        # The same deployment on a chain of its own: later steps need what earlier ones deployed, so a node
        # cannot estimate them one by one.
        with (
            scratch_chain(chain_id, address) as url,
            connected(url, project, private_key, report) as deployer,
        ):
            deploy(deployer, plan, circuits, chain_id)
        gas, price = deployer.gas_used, web3.eth.gas_price
        report(f"dry run: nothing was sent. {gas:,} gas at {price:,} wei would cost {gas * price:,} wei;")
        report(f"{address} has {web3.eth.get_balance(address):,} wei")
        return
    with connected(arguments.rpc_url, project, private_key, report) as deployer:
        record = deploy(deployer, plan, circuits, chain_id)
    out = arguments.out or ROOT / "build" / "deployments" / f"{chain_id}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(record, indent=2) + "\n")
    report(f"deployed with {deployer.gas_used:,} gas; record in {out}")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rpc-url", default=os.environ.get("VIBES_RPC_URL"), help="default: VIBES_RPC_URL")
    parser.add_argument("--network", choices=sorted(NETWORKS), help="refuse a node of any other network")
    parser.add_argument("--key-file", type=Path, required=True, help="0x hex private key of the deployer")
    parser.add_argument("--config", type=Path, required=True, help="JSON, see above")
    parser.add_argument("--circuits", type=Path, default=ROOT / "build" / "circuits")
    parser.add_argument("--out", type=Path, help="the record; default build/deployments/CHAIN_ID.json")
    parser.add_argument("--dry-run", action="store_true", help="send nothing; show steps, gas and cost")
    arguments = parser.parse_args()
    if not arguments.rpc_url:
        parser.error("--rpc-url or VIBES_RPC_URL is needed")
    try:
        run(arguments, lambda line: print(f"deploy: {line}", file=sys.stderr, flush=True))
    except (DeployRefused, OSError) as error:
        print(f"deploy: refused: {error}", file=sys.stderr)
        return 1
    except ApeFailed as error:
        print(f"deploy: failed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

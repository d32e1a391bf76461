#!/usr/bin/env python3
"""Deploys token, timelock, registry, verifiers and settlement with ape, and writes the deployment record.

    scripts/deploy.py --rpc-url URL --key-file FILE --config FILE --out FILE [--network NAME] [--dry-run]

The configuration is JSON; addresses are 0x hex, amounts whole base units:

    {"treasury": "0x…", "guardian": "0x…", "operator": "0x…", "receipt_signer": "0x…",
     "owner": "0x…",                                      (default on a local chain: the deployer)
     "policy": {"fee_bps": 1500, "burn_bps": 500, …},     (optional: see Policy)
     "partners": [{"name": "pithy-labs", "payout": "0x…", "bps": 3000}],
     "mint": [{"to": "0x…", "amount_base": 1000000}]}     (optional: demo money, local chains only)

The owner proposes and cancels changes, which pass the timelock; minting is one of them. Constructors fix
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
    LIVE_CONFIRMATIONS,
    LOCAL_CHAIN_IDS,
    ApeFailed,
    Deployer,
    Report,
    Sending,
    connected,
    prepare_ape,
    scratch_chain,
)
from deployable import Circuit, DeployRefused, built_circuits
from networks import CUSTOM, NETWORKS, Network, NetworkRefused, network_for
from web3 import HTTPProvider, Web3
from web3.middleware import ExtraDataToPOAMiddleware

CONTRACTS = ("VibesToken", "PolicyTimelock", "PartnerRegistry", "Settlement")
ROOT = Path(__file__).resolve().parents[1]
# As Roles.sol has them, and the time that users have on top to see a change coming.
DEADLINES_TO_LEAVE = 3
EXIT_PERIOD_S = 3 * 86_400
NOTICE_S = 2 * 86_400


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
    """0 for what leaving takes (three service deadlines and the exit period) and two days."""

    def delay_s(self) -> int:
        """Seconds that every change of the rules waits. Raises DeployRefused if leaving takes longer."""
        leaving_s = DEADLINES_TO_LEAVE * self.service_deadline_s + EXIT_PERIOD_S
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
        roles = [plan.guardian, plan.operator, plan.receipt_signer, *filter(None, [plan.owner])]
        if len({role.lower() for role in roles}) < len(roles):
            raise DeployRefused(f"{path}: owner, guardian, operator, receipt signer must be four addresses")
        policy.delay_s()
        return plan


def deploy(deployer: Deployer, plan: Plan, circuits: list[Circuit], chain_id: int) -> dict[str, Any]:
    """Deploys everything and returns the deployment record."""
    owner = plan.owner or deployer.address
    timelock = deployer.deploy("PolicyTimelock", plan.policy.delay_s(), owner)
    grants = [(grant["to"], grant["amount_base"]) for grant in plan.mint]
    token = deployer.deploy("VibesToken", timelock.address, grants)
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
    """Does what the command line asks for. Raises DeployRefused, NetworkRefused, ApeFailed."""
    plan = Plan.read(arguments.config)
    private_key = arguments.key_file.read_text().strip()
    web3 = Web3(HTTPProvider(arguments.rpc_url))
    web3.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)  # Polygon's blocks
    if not web3.is_connected():
        raise DeployRefused(f"no node answers at {arguments.rpc_url}")
    chain_id = web3.eth.chain_id
    network = network_for(arguments.network, chain_id, os.environ)
    local = chain_id in LOCAL_CHAIN_IDS
    if network.note:
        report(f"{network.name}: {network.note}")
    circuits = built_circuits(arguments.circuits, chain_id, rehearsal=arguments.dry_run)
    if plan.mint and not local:
        raise DeployRefused(
            f"demo money is for the local chains {LOCAL_CHAIN_IDS} only, this is chain {chain_id}"
        )
    if plan.owner is None and not local:
        raise DeployRefused("name the owner, who proposes changes: off the local chains not the deployer")
    address = web3.eth.account.from_key(private_key).address
    report(f"compiling; deploying to {network.name}, chain {chain_id}, from {address}")
    project = prepare_ape()
    check_code(project, network, circuits)
    price_wei, legacy = network.gas_price_wei(web3), network.is_legacy(web3)

    def cost(gas: int) -> str:
        return network.amount(gas * price_wei)

    if arguments.dry_run or not local:
        # On a chain of its own: later steps need what earlier ones deployed, so a node cannot estimate them.
        said = report if arguments.dry_run else lambda _: None
        with (
            scratch_chain(chain_id, address) as url,
            connected(url, project, private_key, said, Sending(legacy, 0, cost)) as rehearsed,
        ):
            deploy(rehearsed, plan, circuits, chain_id)
        needed_wei, balance_wei = rehearsed.gas_used * price_wei, web3.eth.get_balance(address)
        summary = (
            f"{rehearsed.gas_used:,} gas at {price_wei:,} wei a unit cost {network.amount(needed_wei)}; "
            f"{address} has {network.amount(balance_wei)}"
        )
        if arguments.dry_run:
            if not local and any(circuit.development for circuit in circuits):
                report("the real deployment will be refused: the keys are development keys")
            report(f"dry run: nothing was sent. {summary}")
            return
        if balance_wei < needed_wei:
            raise DeployRefused(f"not enough for the gas: {summary}")
    elif not web3.eth.get_balance(address):
        raise DeployRefused(f"{address} has no {network.native} to pay for gas")
    out = writable(arguments.out or ROOT / "build" / "deployments" / f"{chain_id}.json")
    sending = Sending(legacy, 0 if local else LIVE_CONFIRMATIONS, cost)
    with connected(arguments.rpc_url, project, private_key, report, sending) as deployer:
        record = deploy(deployer, plan, circuits, chain_id)
    record |= {"network": network.name, "explorer": network.explorer}
    out.write_text(json.dumps(record, indent=2) + "\n")
    report(f"deployed with {deployer.gas_used:,} gas, about {cost(deployer.gas_used)}; record in {out}")
    for name, value in network.bridge_environment.items():
        report(f"the bridge wants {name}={value}")


def writable(record: Path) -> Path:
    """The record's file. Raises OSError if it could not be written after all is deployed and paid for."""
    record.parent.mkdir(parents=True, exist_ok=True)
    is_new = not record.exists()
    record.open("a").close()
    if is_new:
        record.unlink()
    return record


def check_code(project: Any, network: Network, circuits: list[Circuit]) -> None:
    """Raises NetworkRefused if a contract, or its constructor, has an opcode that the network lacks."""
    for name in (*CONTRACTS, *(circuit.verifier for circuit in circuits)):
        compiled = project.get_contract(name).contract_type
        for code in (compiled.deployment_bytecode, compiled.runtime_bytecode):
            network.check_code(name, bytes.fromhex(code.bytecode.removeprefix("0x")))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rpc-url", default=os.environ.get("VIBES_RPC_URL"), help="default: VIBES_RPC_URL")
    parser.add_argument("--network", choices=[*NETWORKS, CUSTOM], help="refuse any other (see networks.py)")
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
    except (DeployRefused, NetworkRefused, OSError) as error:
        print(f"deploy: refused: {error}", file=sys.stderr)
        return 1
    except ApeFailed as error:
        print(f"deploy: failed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

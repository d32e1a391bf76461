"""scripts/deploy.py, as an operator runs it, on both local chains and against a public chain id."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from support.anvil import ROOT, artifact, circuits, running_anvil
from web3 import HTTPProvider, Web3

# The first account of the mnemonic that anvil and Hardhat give ether to.
RICH_KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"  # gitleaks:allow
ROLES = ("treasury", "guardian", "operator", "receipt_signer")


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "owner.key").write_text(RICH_KEY)
    return {
        **{role: Account.create().address for role in ROLES},
        "owner": Account.create().address,
        "policy": {"max_partner_bps": 4_000},
        "partners": [{"name": "pithy-labs", "payout": Account.create().address, "bps": 3_000}],
        "mint": [{"to": Account.create().address, "amount_base": 123}],
    }


def deploy(
    url: str, config: dict[str, Any], folder: Path, *options: str
) -> tuple[int, str, dict[str, Any] | None]:
    """Exit code, what was said, and the record."""
    circuits()
    (folder / "config.json").write_text(json.dumps(config))
    files = ("--key-file", folder / "owner.key", "--config", folder / "config.json")
    command = [sys.executable, ROOT / "scripts" / "deploy.py", "--rpc-url", url, *files]
    out = folder / "out" / "record.json"
    done = subprocess.run([*command, "--out", out, *options], capture_output=True, text=True, timeout=240)
    return done.returncode, done.stderr, json.loads(out.read_text()) if out.exists() else None


def check_record(url: str, config: dict[str, Any], record: dict[str, Any], chain_id: int) -> None:
    """The contracts behind the record are what the configuration asked for."""
    web3 = Web3(HTTPProvider(url))

    def at(name: str, address: str) -> Any:
        return web3.eth.contract(Web3.to_checksum_address(address), abi=artifact(name)[0]).functions

    settlement, token = at("Settlement", record["settlement"]), at("VibesToken", record["token"])
    registry = at("PartnerRegistry", record["registry"])
    assert record["chain_id"] == chain_id == web3.eth.chain_id
    for role, view in zip(ROLES, ("treasury", "guardian", "operator", "receiptSigner"), strict=True):
        assert record[role] == config[role] == getattr(settlement, view)().call()
    assert settlement.token().call() == Web3.to_checksum_address(record["token"])
    assert settlement.registry().call() == Web3.to_checksum_address(record["registry"])
    assert set(record["verifiers"]) >= {"4", "10"}
    assert settlement.exitVerifier().call() == Web3.to_checksum_address(record["exit_verifier"])
    for slots, address in record["verifiers"].items():
        assert settlement.verifierOf(int(slots)).call() == Web3.to_checksum_address(address)
    (partner,) = record["partners"]
    assert partner == {"id": 1, **config["partners"][0]}
    assert registry.terms(1).call() == [partner["payout"], partner["bps"]]
    assert registry.maxBps().call() == config["policy"]["max_partner_bps"]
    assert token.balanceOf(config["mint"][0]["to"]).call() == config["mint"][0]["amount_base"]
    check_roles(web3, config, record)
    assert not web3.eth.get_code(Web3.to_checksum_address(record["token"]), record["start_block"] - 1)
    assert web3.eth.get_code(Web3.to_checksum_address(record["token"]), record["start_block"])


def check_roles(web3: Web3, config: dict[str, Any], record: dict[str, Any]) -> None:
    """The timelock owns everything, the configured owner proposes to it, the deployer has no role."""

    def at(name: str, address: str) -> Any:
        return web3.eth.contract(Web3.to_checksum_address(address), abi=artifact(name)[0]).functions

    timelock = at("PolicyTimelock", record["timelock"])
    named = {"VibesToken": "token", "Settlement": "settlement", "PartnerRegistry": "registry"}
    owned = [at(name, record[key]) for name, key in named.items()]
    assert {contract.owner().call() for contract in owned} == {Web3.to_checksum_address(record["timelock"])}
    assert record["owner"] == config["owner"]
    assert timelock.getMinDelay().call() == (3 * 7 + 3 + 2) * 86_400
    deployer = Account.from_key(RICH_KEY).address
    for role, holders in {
        "PROPOSER_ROLE": [config["owner"]],
        "CANCELLER_ROLE": [config["owner"]],
        "EXECUTOR_ROLE": ["0x" + "00" * 20],  # anyone, once the delay is over
        "DEFAULT_ADMIN_ROLE": [Web3.to_checksum_address(record["timelock"])],
    }.items():
        role_id = getattr(timelock, role)().call()
        assert all(timelock.hasRole(role_id, holder).call() for holder in holders)
        assert not timelock.hasRole(role_id, deployer).call()


def test_deploys_on_anvil(config: dict[str, Any], tmp_path: Path) -> None:
    with running_anvil() as node:
        code, said, record = deploy(node.url, config, tmp_path, "--network", "anvil")
        assert code == 0, said
        assert record is not None
        check_record(node.url, config, record, 31337)


def test_dry_run_sends_nothing(config: dict[str, Any], tmp_path: Path) -> None:
    with running_anvil() as node:
        code, said, record = deploy(node.url, config, tmp_path, "--dry-run")
        assert (code, record) == (0, None)
        assert "Settlement at" in said
        assert "dry run: nothing was sent" in said
        assert re.search(r"Settlement at 0x\w+ \([\d,]+ gas, 0\.\d{9} ETH\)", said), said
        assert node.web3.eth.block_number == 0


def test_a_record_that_cannot_be_written_is_refused_before_anything_is_sent(
    config: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with running_anvil() as node:
        code, said, record = deploy(
            node.url, config, tmp_path, "--out", str(tmp_path / "file" / "record.json")
        )
        assert (code, record, node.web3.eth.block_number) == (1, None, 0)
    assert "refused" in said
    assert "record.json" in said or str(tmp_path / "file") in said


def test_development_keys_are_refused_off_the_local_chains(config: dict[str, Any], tmp_path: Path) -> None:
    with running_anvil("--chain-id", "80002") as node:
        code, said, record = deploy(node.url, config, tmp_path, "--network", "polygon-amoy")
        assert (code, record) == (1, None)
        assert "ExitVerifier are development keys" in said
        assert "chain 80002" in said
        assert node.web3.eth.block_number == 0


def test_a_node_of_another_network_is_refused(config: dict[str, Any], tmp_path: Path) -> None:
    with running_anvil() as node:
        code, said, _ = deploy(node.url, config, tmp_path, "--network", "polygon-amoy")
    assert code == 1
    assert "polygon-amoy is chain 80002, the node serves 31337" in said


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"treasury": "0x12"}, "not an address: '0x12'"),
        ({"treasurer": "0x12"}, "treasurer"),
        ({"policy": {"fee": 1}}, "fee"),
        ({"partners": [{"name": "no payout"}]}, "payout"),
        ({"policy": {"timelock_delay_s": 2_073_599}}, "shorter than leaving takes, 2073600 s"),
        ({"guardian": "0x" + "ab" * 20, "operator": "0x" + "AB" * 20}, "must be four addresses"),
    ],
)
def test_bad_configurations_are_refused(
    config: dict[str, Any], tmp_path: Path, change: dict[str, Any], complaint: str
) -> None:
    code, said, record = deploy("http://127.0.0.1:9", config | change, tmp_path)
    assert (code, record) == (1, None)
    assert complaint in said
    assert "Traceback" not in said


def test_an_unreachable_node_is_named(config: dict[str, Any], tmp_path: Path) -> None:
    code, said, _ = deploy("http://127.0.0.1:9", config, tmp_path)
    assert code == 1
    assert "no node answers at http://127.0.0.1:9" in said


def test_a_deployer_without_ether_is_told(config: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "owner.key").write_text(Account.create().key.to_0x_hex())
    with running_anvil() as node:
        code, said, record = deploy(node.url, config, tmp_path)
    assert (code, record) == (1, None)
    assert "deploy: refused:" in said
    assert "has no ETH to pay for gas" in said
    assert "Traceback" not in said

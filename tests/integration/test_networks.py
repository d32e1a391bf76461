"""Networks besides anvil: a second local chain with a settled batch, legacy fees, what is refused where."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from support.anvil import ROOT, running_anvil
from support.hardhat import running_hardhat
from web3 import HTTPProvider, Web3

from bridge.config import read_settings
from bridge.prover import Prover
from bridge.rollup.batch import Slot, encode_partner_word
from bridge.rollup.transition import Authorisation, RollupState
from mini_llm.wallet.babyjub import public_key
from mini_llm.wallet.ceiling import key_commitment, settlement_domain, sign_ceiling

sys.path.insert(0, str(ROOT / "scripts"))

from networks import (
    NETWORKS,
    ZKEVM_FORBIDDEN,
    Network,
    NetworkRefused,
    network_for,
    opcodes,
)

# The first account of the mnemonic that anvil and Hardhat give ether to.
RICH_KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"  # gitleaks:allow
RICH = Account.from_key(RICH_KEY).address
DEPOSIT_BASE, CHARGE_BASE = 5_000_000, 1_234_567
SECRET = 4242

PRETENDING_CEREMONY_KEYS = """
import sys
sys.path.insert(0, "scripts")
import deploy
built = deploy.built_circuits
deploy.built_circuits = lambda directory, chain, rehearsal=False: built(directory, chain, rehearsal=True)
sys.exit(deploy.main())
"""


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "owner.key").write_text(RICH_KEY)
    roles = {role: Account.create().address for role in ("treasury", "guardian", "receipt_signer", "owner")}
    partners = [{"name": "pithy-labs", "payout": Account.create().address, "bps": 3_000}]
    return {**roles, "operator": RICH, "partners": partners}


def deploy(
    url: str, config: dict[str, Any], folder: Path, *options: str, code: str = "", **environment: str
) -> tuple[int, str, dict[str, Any]]:
    """Exit code, what was said, and the record (empty if there is none)."""
    (folder / "config.json").write_text(json.dumps(config))
    script = ["-c", code] if code else [str(ROOT / "scripts" / "deploy.py")]
    files = ["--key-file", str(folder / "owner.key"), "--config", str(folder / "config.json")]
    out = folder / "record.json"
    done = subprocess.run(
        [sys.executable, *script, "--rpc-url", url, *files, "--out", str(out), *options],
        capture_output=True,
        text=True,
        timeout=240,
        cwd=ROOT,
        env=os.environ | environment,
    )
    return done.returncode, done.stderr, json.loads(out.read_text()) if out.exists() else {}


def test_hardhat_settles_a_batch(config: dict[str, Any], tmp_path: Path, circuits_dir: Path) -> None:
    config["mint"] = [{"to": RICH, "amount_base": DEPOSIT_BASE}]
    with running_hardhat() as url:
        code, said, record = deploy(url, config, tmp_path, "--network", "hardhat")
        assert code == 0, said
        assert "the bridge wants VIBES_CHAIN_ID=31338" in said
        assert (record["network"], record["chain_id"]) == ("hardhat", 31338)
        settle_one_batch(Web3(HTTPProvider(url)), record, circuits_dir)


def settle_one_batch(web3: Web3, record: dict[str, Any], circuits_dir: Path) -> None:
    """The deployer deposits and, being the operator too, settles a charge with a real proof."""

    def at(name: str, address: str) -> Any:
        abi = json.loads((ROOT / "bridge" / "chain" / "abi" / f"{name}.json").read_text())
        return web3.eth.contract(Web3.to_checksum_address(address), abi=abi).functions

    token, settlement = at("VibesToken", record["token"]), at("Settlement", record["settlement"])
    sender = {"from": RICH}  # the node has the key
    token.approve(record["settlement"], DEPOSIT_BASE).transact(sender)
    settlement.deposit(DEPOSIT_BASE, key_commitment(public_key(SECRET))).transact(sender)
    state = RollupState(settlement_domain(record["chain_id"], record["settlement"]))
    signed = sign_ceiling(SECRET, state.domain, 1, CHARGE_BASE)
    slot = Slot(1, CHARGE_BASE, deposit=DEPOSIT_BASE, key_commit=key_commitment(signed.key))
    auths = {1: Authorisation(signed.ceiling_base, signed.key, signed.signature)}
    witness = state.prove_inputs(1, [slot], auths, 4)
    with Prover(circuits_dir, [4], record["chain_id"]) as prover:
        proof = prover.prove(4, witness.circuit_inputs)
    header = (witness.old_root, witness.new_root, witness.public[0], bytes(32), CHARGE_BASE)
    arguments = (header, list(witness.words[3:]), [encode_partner_word(1, CHARGE_BASE)], list(proof.words))
    tx_hash = settlement.settleBatch(*arguments).transact(sender)
    assert web3.eth.wait_for_transaction_receipt(tx_hash)["status"] == 1
    assert settlement.stateRoot().call() == witness.new_root
    assert settlement.partnerClaimable(1).call() == CHARGE_BASE * 3_000 // 10_000


def test_legacy_transactions_where_the_network_wants_them(config: dict[str, Any], tmp_path: Path) -> None:
    with running_anvil() as node:
        code, said, record = deploy(
            node.url, config, tmp_path, "--network", "custom", VIBES_TX_TYPE="legacy", VIBES_CONFIRMATIONS="2"
        )
        assert code == 0, said
        assert "the bridge wants VIBES_TX_TYPE=legacy" in said
        assert "the bridge wants VIBES_CONFIRMATIONS=2" in said
        blocks = [node.web3.eth.get_block(n, True) for n in range(1, node.web3.eth.block_number + 1)]
        assert {transaction["type"] for block in blocks for transaction in block["transactions"]} == {0}
        assert record["network"] == "custom"


def test_a_chain_without_base_fees() -> None:
    with running_anvil("--gas-price", "7000000000", hardfork="berlin") as node:
        assert "baseFeePerGas" not in node.web3.eth.get_block("latest")
        assert Network("any", None).is_legacy(node.web3)
        assert Network("any", None).gas_price_wei(node.web3) == 7 * 10**9
        with pytest.raises(NetworkRefused, match="VIBES_TX_TYPE=legacy"):
            Network("any", None, "eip1559").gas_price_wei(node.web3)
        plain = {"to": RICH, "value": 1, "gas": 21_000, "gasPrice": 7 * 10**9, "nonce": 0, "chainId": 31337}
        raw = Account.from_key(RICH_KEY).sign_transaction(plain).raw_transaction
        receipt = node.web3.eth.wait_for_transaction_receipt(node.web3.eth.send_raw_transaction(raw))
        assert (receipt["status"], receipt["type"]) == (1, 0)
    with running_anvil() as node:
        assert not Network("any", None).is_legacy(node.web3)
        assert Network("any", None, "legacy").is_legacy(node.web3)


def test_dry_run_on_the_stopped_zkevm(config: dict[str, Any], tmp_path: Path) -> None:
    """The opcodes of all contracts pass, the cost is told, and that nothing could be deployed there."""
    with running_anvil("--chain-id", "2442") as node:
        code, said, record = deploy(
            node.url, config, tmp_path, "--network", "polygon-zkevm-cardona", "--dry-run"
        )
        assert (code, record) == (0, {}), said
        assert "sequencer stopped on 1 July 2026" in said
        assert "untried" in said
        assert "the real deployment will be refused: the keys are development keys" in said
        assert "dry run: nothing was sent" in said
        assert said.count(" ETH)") >= 7, said  # token, timelock, registry, verifiers, settlement
        assert node.web3.eth.block_number == 0


def test_a_deployer_who_cannot_pay_is_refused_first(config: dict[str, Any], tmp_path: Path) -> None:
    with running_anvil("--chain-id", "80002") as node:
        node.rpc("anvil_setBalance", RICH, hex(10**9))
        code, said, record = deploy(node.url, config, tmp_path, code=PRETENDING_CEREMONY_KEYS)
        assert (code, record) == (1, {}), said
        assert "refused: not enough for the gas" in said
        assert "has 0.000000001 POL" in said
        assert node.web3.eth.block_number == 0


def test_every_profile_names_its_chain() -> None:
    assert {name: network.chain_id for name, network in NETWORKS.items()} == {
        "anvil": 31337,
        "hardhat": 31338,
        "polygon-amoy": 80002,
        "polygon-zkevm": 1101,
        "polygon-zkevm-cardona": 2442,
    }
    for name, network in NETWORKS.items():
        assert network_for(None, network.chain_id or 0, {}) is network
        with pytest.raises(NetworkRefused, match=f"{name} is chain {network.chain_id}, the node serves 5"):
            network_for(name, 5, {})
        if name.startswith("polygon-zkevm"):
            assert network.tx_type == "legacy"
            assert network.forbidden is ZKEVM_FORBIDDEN
            assert "stopped on 1 July 2026" in network.note


@pytest.mark.parametrize("name", NETWORKS)
def test_the_bridge_takes_what_a_profile_tells(name: str) -> None:
    """`scripts/networks.py NAME` prints settings that the bridge reads."""
    told = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "networks.py"), name],
        capture_output=True,
        text=True,
        check=True,
    )
    environment = dict(line.split("=") for line in told.stdout.splitlines())
    basics = {
        "VIBES_RPC_URL": "http://127.0.0.1:1",
        "VIBES_SETTLEMENT": RICH,
        "VIBES_LEDGER_URL": "sqlite://",
        "VIBES_BRIDGE_URL": "sqlite://",
    }
    settings, network = read_settings(basics | environment), NETWORKS[name]
    assert settings.chain_id == network.chain_id
    assert settings.tx_type == network.tx_type
    assert settings.confirmations == network.confirmations
    assert told.stderr.strip("# \n") == network.note


def test_any_other_network_is_described_by_the_environment() -> None:
    described = {
        "VIBES_CHAIN_ID": "5",
        "VIBES_TX_TYPE": "legacy",
        "VIBES_CONFIRMATIONS": "0",
        "VIBES_EXPLORER_URL": "https://scan.example",
        "VIBES_NATIVE_TOKEN": "XYZ",
    }
    network = network_for("custom", 5, described)
    assert network == Network("custom", 5, "legacy", 0, "XYZ", "https://scan.example")
    assert network.bridge_environment.items() <= described.items()
    assert network_for(None, 5, {}) == Network("custom", None)
    with pytest.raises(NetworkRefused, match="custom is chain 5, the node serves 6"):
        network_for("custom", 6, described)
    for name, wrong in (("VIBES_TX_TYPE", "2"), ("VIBES_CHAIN_ID", "five"), ("VIBES_CONFIRMATIONS", "-1")):
        with pytest.raises(NetworkRefused, match=name):
            network_for(None, 5, {name: wrong})


@pytest.mark.parametrize("opcode", ZKEVM_FORBIDDEN)
def test_code_that_a_network_lacks_is_refused(opcode: int) -> None:
    zkevm = NETWORKS["polygon-zkevm"]
    code = bytes([0x5F, 0x60, opcode, 0x7F, *[opcode] * 32, 0xFE, opcode])  # pushed, and behind INVALID
    zkevm.check_code("Harmless", code)
    assert list(opcodes(code)) == [0x5F, 0x60, 0x7F]
    with pytest.raises(NetworkRefused, match=rf"Bad uses {ZKEVM_FORBIDDEN[opcode]}, which polygon-zkevm"):
        zkevm.check_code("Bad", bytes([0x60, 0x00, opcode]))
    NETWORKS["polygon-amoy"].check_code("Bad", bytes([opcode]))


def test_amounts_are_exact_and_rounded_up() -> None:
    network = Network("any", None, native="POL")
    assert network.amount(0) == "0.000000000 POL"
    assert network.amount(1) == "0.000000001 POL"
    assert network.amount(1_234 * 10**18 + 10**9) == "1,234.000000001 POL"

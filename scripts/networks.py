#!/usr/bin/env python3
"""Networks that the contracts can be deployed to, and what each asks for.

    scripts/networks.py            the profiles
    scripts/networks.py NAME       the bridge's settings for one of them, as environment variables

`custom` is any other network, described by the environment: VIBES_RPC_URL, VIBES_CHAIN_ID, VIBES_TX_TYPE
(auto, legacy or eip1559), VIBES_CONFIRMATIONS, VIBES_EXPLORER_URL, VIBES_NATIVE_TOKEN.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from web3 import Web3

CUSTOM = "custom"
TX_TYPES = ("auto", "legacy", "eip1559")
DEFAULT_CONFIRMATIONS = 12
PUSH1, PUSH32, INVALID = 0x60, 0x7F, 0xFE
WEI_PER_GWEI = 10**9
GWEI_PER_TOKEN = 10**9

ZKEVM_FORBIDDEN = {
    0x3F: "EXTCODEHASH",
    0x40: "BLOCKHASH",
    0x43: "NUMBER",
    0x44: "PREVRANDAO",
    0x48: "BASEFEE",
    0x49: "BLOBHASH",
    0x4A: "BLOBBASEFEE",
    0x5C: "TLOAD",
    0x5D: "TSTORE",
    0x5E: "MCOPY",
    0xFF: "SELFDESTRUCT",
}
"""Opcodes after Shanghai, and those that Polygon zkEVM lacks or means otherwise: SELFDESTRUCT is SENDALL,
EXTCODEHASH does not tell empty accounts, DIFFICULTY is 0, BLOCKHASH and NUMBER count transactions; BASEFEE
belongs to fees that its legacy transactions do not have. It has PUSH0 since fork 5 ("Dragon Fruit"), and the
precompiles for BN254 that the verifiers call.

Source: Polygon, "Differences between EVM and zkEVM"; 0xPolygonHermez/zkevm-rom issue 193.
"""

ZKEVM_NOTE = (
    "Polygon zkEVM's sequencer stopped on 1 July 2026: no transaction is mined there any more. This profile "
    "is kept for chains that run the same software, and it is untried"
)


class NetworkRefused(Exception):
    """The network is not the one that was named, or it cannot run what would be deployed."""


@dataclass(frozen=True)
class Network:
    """What a network asks for.

    chain_id: EIP-155 id, None to take the node's.
    tx_type: "legacy" for a plain gas price, "eip1559", or "auto" for what the chain's blocks say.
    confirmations: blocks on top of a block before the bridge counts it.
    native: name of the token that pays for gas, with 18 decimals.
    explorer: where people look transactions up, empty if there is no such place.
    forbidden: opcodes that its virtual machine lacks or means otherwise, by their byte.
    note: what to know before deploying, empty if nothing.
    """

    name: str
    chain_id: int | None
    tx_type: str = "auto"
    confirmations: int = DEFAULT_CONFIRMATIONS
    native: str = "ETH"
    explorer: str = ""
    forbidden: Mapping[int, str] = field(default_factory=dict)
    note: str = ""

    @property
    def bridge_environment(self) -> dict[str, str]:
        """The bridge's settings on this network."""
        found = {"VIBES_CONFIRMATIONS": str(self.confirmations), "VIBES_TX_TYPE": self.tx_type}
        return found if self.chain_id is None else {"VIBES_CHAIN_ID": str(self.chain_id)} | found

    def check_chain(self, chain_id: int) -> None:
        """Raises NetworkRefused if this is another chain."""
        if self.chain_id is not None and self.chain_id != chain_id:
            raise NetworkRefused(f"{self.name} is chain {self.chain_id}, the node serves {chain_id}")

    def check_code(self, name: str, code: bytes) -> None:
        """Raises NetworkRefused if a contract's code has an opcode that this network must not be given."""
        found = sorted({self.forbidden[op] for op in opcodes(code) if op in self.forbidden})
        if found:
            raise NetworkRefused(
                f"{name} uses {', '.join(found)}, which {self.name} lacks or means otherwise"
            )

    def is_legacy(self, web3: Web3) -> bool:
        """True if transactions need a plain gas price.

        Raises:
            NetworkRefused: EIP-1559 fees are asked for on a chain that has none.
        """
        has_base_fee = web3.eth.get_block("latest").get("baseFeePerGas") is not None
        if self.tx_type == "eip1559" and not has_base_fee:
            raise NetworkRefused(f"the blocks of {self.name} have no base fee: VIBES_TX_TYPE=legacy")
        return self.tx_type == "legacy" or not has_base_fee

    def gas_price_wei(self, web3: Web3) -> int:
        """What a unit of gas costs now, wei: the node's suggestion, or the base fee and its suggested tip."""
        if self.is_legacy(web3):
            return web3.eth.gas_price
        return int(web3.eth.get_block("latest")["baseFeePerGas"]) + web3.eth.max_priority_fee

    def amount(self, wei: int) -> str:
        """An amount of the native token, rounded up to its ninth decimal."""
        gwei = -(-wei // WEI_PER_GWEI)
        return f"{gwei // GWEI_PER_TOKEN:,}.{gwei % GWEI_PER_TOKEN:09d} {self.native}"


def _zkevm(name: str, chain_id: int, explorer: str) -> Network:
    return Network(name, chain_id, "legacy", explorer=explorer, forbidden=ZKEVM_FORBIDDEN, note=ZKEVM_NOTE)


NETWORKS = {
    network.name: network
    for network in (
        Network("anvil", 31337, confirmations=0),
        Network("hardhat", 31338, confirmations=0),
        Network(
            "polygon-amoy",
            80002,
            "eip1559",
            native="POL",
            explorer="https://amoy.polygonscan.com",
            note="this profile is untried: it needs an RPC URL of your own and test POL",
        ),
        _zkevm("polygon-zkevm", 1101, "https://zkevm.polygonscan.com"),
        _zkevm("polygon-zkevm-cardona", 2442, "https://cardona-zkevm.polygonscan.com"),
    )
}


def network_for(name: str | None, chain_id: int, environ: Mapping[str, str]) -> Network:
    """The profile to use on the chain that the node serves.

    Args:
        name: a profile's name or "custom"; None for the profile of the chain, if there is one.
        chain_id: what the node says.
        environ: describes a custom network.

    Raises:
        NetworkRefused: the node serves another chain, or the description is malformed.
    """
    if name is None:
        known = (network for network in NETWORKS.values() if network.chain_id == chain_id)
        network = next(known, None) or custom_network(environ)
    else:
        network = custom_network(environ) if name == CUSTOM else NETWORKS[name]
    network.check_chain(chain_id)
    return network


def custom_network(environ: Mapping[str, str]) -> Network:
    """The network that the environment describes. Raises NetworkRefused naming what is malformed."""

    def natural(name: str) -> int | None:
        value = environ.get(name, "")
        if value and not (value.isascii() and value.isdigit()):
            raise NetworkRefused(f"{name} must be a whole number, not {value!r}")
        return int(value) if value else None

    tx_type = environ.get("VIBES_TX_TYPE") or "auto"
    if tx_type not in TX_TYPES:
        raise NetworkRefused(f"VIBES_TX_TYPE must be one of {', '.join(TX_TYPES)}, not {tx_type!r}")
    confirmations = natural("VIBES_CONFIRMATIONS")
    return Network(
        CUSTOM,
        natural("VIBES_CHAIN_ID"),
        tx_type,
        DEFAULT_CONFIRMATIONS if confirmations is None else confirmations,
        environ.get("VIBES_NATIVE_TOKEN") or "ETH",
        environ.get("VIBES_EXPLORER_URL", ""),
    )


def opcodes(code: bytes) -> Iterator[int]:
    """The instructions of `code`, without what they push and the constants that solc puts behind INVALID."""
    at = 0
    while at < len(code) and code[at] != INVALID:
        yield code[at]
        at += 1 + (code[at] - PUSH1 + 1 if PUSH1 <= code[at] <= PUSH32 else 0)


def main() -> int:
    parser = argparse.ArgumentParser(description="Networks to deploy to, and the bridge's settings for one.")
    parser.add_argument(
        "name", nargs="?", choices=[*NETWORKS, CUSTOM], help="print the bridge's settings there"
    )
    name = parser.parse_args().name
    try:
        if name is not None:
            found = NETWORKS.get(name) or custom_network(os.environ)
            print("\n".join(f"{name}={value}" for name, value in found.bridge_environment.items()))
            if found.note:
                print(f"# {found.note}", file=sys.stderr)
            return 0
    except NetworkRefused as error:
        print(f"networks: {error}", file=sys.stderr)
        return 1
    for network in NETWORKS.values():
        print(
            f"{network.name:<22} {network.chain_id:>6}  {network.tx_type:<8} {network.native}  {network.note}"
        )
    print(f"{CUSTOM:<22}      ?  described by the environment, see the top of this file")
    return 0


if __name__ == "__main__":
    sys.exit(main())

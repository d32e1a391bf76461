"""Settings of the bridge, read from the environment once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from eth_typing import ChecksumAddress
from eth_utils.address import is_address, to_checksum_address

from bridge.errors import ConfigError

LOCAL_CHAIN_IDS = (31337, 31338)
DEFAULT_CONFIRMATIONS = 12


@dataclass(frozen=True)
class BridgeSettings:
    """Where the bridge reads and writes.

    rpc_url: HTTP(S) JSON-RPC endpoint of an Ethereum node.
    chain_id: expected chain id, None to take the node's.
    settlement: checksum address of the Settlement contract.
    ledger_url, store_url: SQLAlchemy URLs of the router's ledger and of the bridge's own store.
    operator_key_file: file with the operator's 0x hex private key, None for read-only commands.
    circuits_dir: folder with one `batch{N}` folder of proving artifacts per size.
    confirmations: blocks on top of a block before it counts, None for 0 on a local chain and 12 elsewhere.
    start_block: block of the deployment; nothing before it is read.
    timeout_s: longest wait for one RPC answer, seconds.
    mining_timeout_s: longest wait for a sent batch, seconds.
    """

    rpc_url: str
    settlement: ChecksumAddress
    ledger_url: str
    store_url: str
    chain_id: int | None = None
    operator_key_file: Path | None = None
    circuits_dir: Path = field(default_factory=lambda: Path("build/circuits"))
    confirmations: int | None = None
    start_block: int = 0
    timeout_s: int = 20
    mining_timeout_s: int = 180

    def confirmations_on(self, chain_id: int) -> int:
        """Blocks that must lie on top of a block before its events count."""
        if self.confirmations is not None:
            return self.confirmations
        return 0 if chain_id in LOCAL_CHAIN_IDS else DEFAULT_CONFIRMATIONS

    def operator_key(self) -> str:
        """The operator's private key. Raises ConfigError if the file is not set, not there or no key."""
        name = "VIBES_OPERATOR_KEY_FILE"
        if self.operator_key_file is None:
            raise ConfigError(name, "is not set: settling needs the operator's key")
        try:
            key = self.operator_key_file.read_text().strip()
        except OSError as error:
            raise ConfigError(name, f"cannot be read: {error.strerror}") from error
        digits = key.removeprefix("0x")
        if len(digits) != 64 or any(digit not in "0123456789abcdefABCDEF" for digit in digits):
            raise ConfigError(name, "does not hold a 32-byte hex private key")
        return "0x" + digits


def _required(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name, "")
    if not value:
        raise ConfigError(name, "is not set")
    return value


def _natural(environ: Mapping[str, str], name: str) -> int | None:
    value = environ.get(name, "")
    if not value:
        return None
    if not (value.isascii() and value.isdigit()):
        raise ConfigError(name, f"must be a whole number, not {value!r}")
    return int(value)


def read_settings(environ: Mapping[str, str]) -> BridgeSettings:
    """Settings from `VIBES_*` variables. Raises ConfigError naming the first bad one."""
    rpc_url = _required(environ, "VIBES_RPC_URL")
    if not rpc_url.startswith(("http://", "https://")):
        raise ConfigError("VIBES_RPC_URL", "must start with http:// or https://")
    settlement = _required(environ, "VIBES_SETTLEMENT")
    if not is_address(settlement):
        raise ConfigError("VIBES_SETTLEMENT", f"is not an address: {settlement!r}")
    key_file = environ.get("VIBES_OPERATOR_KEY_FILE", "")
    return BridgeSettings(
        rpc_url=rpc_url,
        settlement=to_checksum_address(settlement),
        ledger_url=_required(environ, "VIBES_LEDGER_URL"),
        store_url=_required(environ, "VIBES_BRIDGE_URL"),
        chain_id=_natural(environ, "VIBES_CHAIN_ID"),
        operator_key_file=Path(key_file) if key_file else None,
        circuits_dir=Path(environ.get("VIBES_CIRCUITS_DIR", "") or "build/circuits"),
        confirmations=_natural(environ, "VIBES_CONFIRMATIONS"),
        start_block=_natural(environ, "VIBES_START_BLOCK") or 0,
    )

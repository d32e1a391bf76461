"""Settings of the bridge, read from the environment once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from eth_account import Account
from eth_typing import ChecksumAddress
from eth_utils.address import is_address, to_checksum_address

from mini_llm.errors import ConfigError

LOCAL_CHAIN_IDS = (31337, 31338)
DEFAULT_CONFIRMATIONS = 12
DEFAULT_MAX_FEE_GWEI = 500
WEI_PER_GWEI = 10**9


class TxType(StrEnum):
    """Which transactions the chain takes; AUTO asks whether its blocks have a base fee."""

    AUTO = "auto"
    LEGACY = "legacy"
    EIP1559 = "eip1559"


@dataclass(frozen=True)
class HealthLimits:
    """Beyond these the bridge is unhealthy.

    lag_s: seconds that the last block read may be behind the newest. queue_age_s: seconds that a charge or
    request may wait. deadline_s: seconds that must be left until a request's deadline. batch_age_s: seconds
    from sealing to final. operator_gwei: ether that the operator must have, in gwei.
    """

    lag_s: int = 300
    queue_age_s: int = 3_600
    deadline_s: int = 21_600
    batch_age_s: int = 1_800
    operator_gwei: int = 10_000_000


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
    mining_timeout_s: longest wait of `settle --once` for a sent batch, seconds.
    max_fee_wei: most that the operator pays per gas. stuck_s: seconds after which a transaction that is not
        mined is replaced by one that offers more. tx_type: which transactions the chain takes.
    prover_workers: batches proved at a time. prover_scheduler: address of a Dask scheduler, None for
        processes on this machine. health: thresholds of `vibes status`.
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
    max_fee_wei: int = DEFAULT_MAX_FEE_GWEI * WEI_PER_GWEI
    stuck_s: int = 60
    tx_type: TxType = TxType.AUTO
    prover_workers: int = 1
    prover_scheduler: str | None = None
    health: HealthLimits = field(default_factory=HealthLimits)

    def built_sizes(self) -> list[int]:
        """Batch sizes with a folder of artefacts, rising."""
        return sorted(int(folder.name[5:]) for folder in self.circuits_dir.glob("batch[0-9]*"))

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

    def operator_address(self) -> str | None:
        """Address of the operator's key, None if no key file is set. Raises ConfigError."""
        if self.operator_key_file is None:
            return None
        return str(Account.from_key(self.operator_key()).address)


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
        max_fee_wei=_positive(environ, "VIBES_MAX_FEE_GWEI", DEFAULT_MAX_FEE_GWEI) * WEI_PER_GWEI,
        stuck_s=_positive(environ, "VIBES_STUCK_S", BridgeSettings.stuck_s),
        mining_timeout_s=_positive(environ, "VIBES_MINING_TIMEOUT_S", BridgeSettings.mining_timeout_s),
        tx_type=_tx_type(environ),
        prover_workers=_positive(environ, "VIBES_PROVER_WORKERS", 1),
        prover_scheduler=environ.get("VIBES_PROVER_SCHEDULER") or None,
        health=HealthLimits(
            lag_s=_positive(environ, "VIBES_MAX_LAG_S", HealthLimits.lag_s),
            queue_age_s=_positive(environ, "VIBES_MAX_QUEUE_AGE_S", HealthLimits.queue_age_s),
            deadline_s=_positive(environ, "VIBES_MIN_DEADLINE_S", HealthLimits.deadline_s),
            batch_age_s=_positive(environ, "VIBES_MAX_BATCH_AGE_S", HealthLimits.batch_age_s),
            operator_gwei=_positive(environ, "VIBES_MIN_OPERATOR_GWEI", HealthLimits.operator_gwei),
        ),
    )


def _positive(environ: Mapping[str, str], name: str, default: int) -> int:
    value = _natural(environ, name)
    if value == 0:
        raise ConfigError(name, "must be above zero")
    return default if value is None else value


def _tx_type(environ: Mapping[str, str]) -> TxType:
    name = "VIBES_TX_TYPE"
    try:
        return TxType(environ.get(name, "") or TxType.AUTO)
    except ValueError as error:
        raise ConfigError(name, f"must be one of {', '.join(TxType)}") from error

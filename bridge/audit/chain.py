"""Reads everything the audit needs from a node: the events, the calldata and the contract's own views.

All reads are pinned to the block that was the newest when the audit began, so a chain that goes on settling
does not disturb it. Nothing is believed: what is read here is only compared elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final
from urllib.parse import urlsplit

from eth_utils.address import to_checksum_address
from requests import HTTPError, RequestException
from web3 import HTTPProvider, Web3
from web3.exceptions import TransactionNotFound, Web3RPCError

from bridge.progress import Progress

TIMEOUT_S: Final = 30


class CannotAudit(Exception):
    """The audit could not be made: node unreachable, no such contract, or an answer that is no answer."""


@dataclass(frozen=True)
class Log:
    """One decoded event.

    Args:
        source: "settlement", "registry", "token" or "timelock".
        args: arguments by ABI name; integers as int, addresses with checksum, bytes32 as bytes.
        tx_hash: 0x hex.
        tx_place: of the transaction in its block.
    """

    source: str
    name: str
    args: Mapping[str, Any]
    block: int
    index: int
    tx_hash: str
    tx_place: int


DEADLINES_TO_LEAVE: Final = 3
"""Service deadlines that leaving can be drawn out to. Source: docs/protocol.md (pausing and changing)."""

_TIMELOCK_ABI: Final = [
    {
        "type": "function", "name": "getMinDelay", "stateMutability": "view", "inputs": [],
        "outputs": [{"type": "uint256", "name": ""}],
    },
    {
        "type": "event", "name": "MinDelayChange", "anonymous": False,
        "inputs": [
            {"type": "uint256", "name": name, "indexed": False} for name in ("oldDuration", "newDuration")
        ],
    },
]  # fmt: skip
"""What the audit asks of a timelock. Source: OpenZeppelin's TimelockController."""


@dataclass(frozen=True)
class Facts:
    """What the contract says about itself at the audited block; shares in basis points, times in seconds."""

    chain_id: int
    settlement: str
    token: str
    registry: str
    treasury: str
    domain: int
    state_root: int
    batch_number: int
    next_idx: int
    fee_bps: int
    burn_bps: int
    pool_bps: int
    receipt_signer: str
    operator: str
    guardian: str
    owner: str
    exit_verifier: str
    service_deadline_s: int
    exit_period_s: int
    paused: bool
    any_frozen: bool

    @property
    def leaving_s(self) -> int:
        """What leaving takes at most, seconds: the timelock must wait longer."""
        return DEADLINES_TO_LEAVE * self.service_deadline_s + self.exit_period_s


def _abi(name: str) -> list[dict[str, Any]]:
    return json.loads((files("bridge.chain") / "abi" / f"{name}.json").read_text())  # type: ignore[no-any-return]


class Chain:
    """A node, the settlement contract on it, and the block that is audited.

    Args:
        rpc: the node's HTTP URL.
        settlement: address of the settlement contract.

    Raises:
        CannotAudit: if the node does not answer or has no contract there.
    """

    def __init__(self, rpc: str, settlement: str) -> None:
        self._host = urlsplit(rpc).netloc or rpc  # the path of a node's URL is often its password
        self._w3 = Web3(HTTPProvider(rpc, request_kwargs={"timeout": TIMEOUT_S}))
        self._w3.middleware_onion.remove("validation")  # asks for the chain id before every call
        self._times_s: dict[int, int] = {}
        address = to_checksum_address(settlement)
        with self._reading():
            self.head = int(self._w3.eth.block_number)
            if not self._w3.eth.get_code(address, self.head):
                raise CannotAudit(f"no contract at {address} in block {self.head} of {self._host}")
        self._settlement = self._w3.eth.contract(address, abi=_abi("Settlement"), decode_tuples=True)
        self.facts = self._read_facts(address)
        self._registry = self._w3.eth.contract(self.facts.registry, abi=_abi("PartnerRegistry"))  # type: ignore[call-overload]
        self._token = self._w3.eth.contract(self.facts.token, abi=_abi("VibesToken"))  # type: ignore[call-overload]
        self._timelock = self._w3.eth.contract(self.facts.owner, abi=_TIMELOCK_ABI)  # type: ignore[call-overload]

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except CannotAudit:
            raise
        except RequestException as error:
            status = "" if error.response is None else f" {error.response.status_code}"
            raise CannotAudit(f"no answer from {self._host}: {type(error).__name__}{status}") from error
        except Exception as error:  # a malformed answer can raise anything in web3 and eth_abi
            raise CannotAudit(
                f"unusable answer from {self._host}: {type(error).__name__}: {error}"
            ) from error

    def view(self, name: str, *args: object) -> Any:
        """A view of the settlement at the audited block."""
        with self._reading():
            return self._settlement.functions[name](*args).call(block_identifier=self.head)

    def balance(self) -> int:
        """Tokens that the settlement holds, base units."""
        with self._reading():
            holder = self.facts.settlement
            return int(self._token.functions.balanceOf(holder).call(block_identifier=self.head))

    def delay_s(self) -> int:
        """Seconds that the owner, a timelock, waits before anything that it does."""
        with self._reading():
            return int(self._timelock.functions.getMinDelay().call(block_identifier=self.head))

    def registry_owner(self) -> str:
        """Who may change partners and their shares."""
        with self._reading():
            owner = self._registry.functions.owner().call(block_identifier=self.head)
            return to_checksum_address(owner)

    def time_s(self, block: int) -> int:
        """Unix seconds at which a block was made."""
        if block not in self._times_s:
            with self._reading():
                self._times_s[block] = int(self._w3.eth.get_block(block)["timestamp"])
        return self._times_s[block]

    def verifier(self, address: str) -> dict[str, Any]:
        """`slots`, `circuitHash`, `isDevelopment` and `verifyingKey` (22 words) of a verifier contract."""
        contract = self._w3.eth.contract(to_checksum_address(address), abi=_abi("Verifier"))
        names = ("slots", "circuitHash", "isDevelopment", "verifyingKey")
        with self._reading():
            return {name: contract.functions[name]().call(block_identifier=self.head) for name in names}

    def transaction(self, log: Log) -> Mapping[str, Any] | None:
        """The transaction of a log; None if the node does not have it.

        By its place in the block: nodes find only the latest transactions by hash.
        """
        with self._reading():
            try:
                found: Mapping[str, Any] = self._w3.eth.get_transaction_by_block(log.block, log.tx_place)
            except TransactionNotFound:
                return None
            if not {"to", "input"} <= set(found):
                raise ValueError(f"a transaction without recipient or input for {log.tx_hash}")
            return found

    def decode_call(self, data: bytes) -> tuple[str, dict[str, Any]]:
        """Function name and arguments of calldata for the settlement.

        Raises:
            ValueError: the data is not a call of the contract.
        """
        try:
            function, args = self._settlement.decode_function_input(data)
        except Exception as error:  # web3 and eth_abi raise a dozen types for malformed calldata
            raise ValueError(str(error)) from error
        return function.fn_name, args

    def logs(self, from_block: int, progress: Progress) -> list[Log]:
        """Events of settlement, registry and timelock, and token transfers in or out, in chain order."""
        transfer = self._token.events.Transfer()
        holder = "0x" + self.facts.settlement[2:].lower().rjust(64, "0")
        found: dict[tuple[int, int], Log] = {}
        queries: list[tuple[str, Any, list[Any] | None]] = [
            ("settlement", self._settlement, None),
            ("registry", self._registry, None),
            ("timelock", self._timelock, None),
            ("token", self._token, [transfer.topic, holder]),
            ("token", self._token, [transfer.topic, None, holder]),
        ]
        for step, (source, contract, topics) in enumerate(queries):
            progress("events", step, len(queries))
            for log in self._decoded(source, contract, topics, from_block):
                found[log.block, log.index] = log
        progress("events", len(queries), len(queries))
        return [found[key] for key in sorted(found)]

    def _decoded(self, source: str, contract: Any, topics: list[Any] | None, start: int) -> Iterator[Log]:
        events = {event.topic: event for event in (kind() for kind in contract.events)}
        with self._reading():
            for raw in self._raw_logs(contract.address, topics, start, self.head):
                event = events.get("0x" + bytes(raw["topics"][0]).hex()) if raw["topics"] else None
                if event is None or raw["address"] != contract.address:
                    continue  # events of parents such as EIP-712 and Ownable are of no concern here
                log = event.process_log(raw)
                yield Log(
                    source, log["event"], log["args"], log["blockNumber"], log["logIndex"],
                    "0x" + bytes(log["transactionHash"]).hex(), log["transactionIndex"],
                )  # fmt: skip

    def _raw_logs(self, address: str, topics: list[Any] | None, start: int, end: int) -> list[Any]:
        """Logs of a block range; nodes limit ranges by rules of their own, so halve until it fits."""
        if start > end:
            return []
        query: dict[str, Any] = {"address": address, "fromBlock": start, "toBlock": end}
        if topics:
            query["topics"] = topics
        try:
            return list(self._w3.eth.get_logs(query))  # type: ignore[arg-type]
        except (Web3RPCError, HTTPError):
            if start == end:
                raise
        middle = (start + end) // 2
        left = self._raw_logs(address, topics, start, middle)
        return left + self._raw_logs(address, topics, middle + 1, end)

    def _read_facts(self, address: str) -> Facts:
        with self._reading():
            chain_id = int(self._w3.eth.chain_id)
        return Facts(
            chain_id=chain_id,
            settlement=address,
            token=to_checksum_address(self.view("token")),
            registry=to_checksum_address(self.view("registry")),
            treasury=to_checksum_address(self.view("treasury")),
            domain=self.view("domain"),
            state_root=self.view("stateRoot"),
            batch_number=self.view("batchNumber"),
            next_idx=self.view("nextIdx"),
            fee_bps=self.view("feeBps"),
            burn_bps=self.view("burnBps"),
            pool_bps=self.view("poolBps"),
            receipt_signer=to_checksum_address(self.view("receiptSigner")),
            operator=to_checksum_address(self.view("operator")),
            guardian=to_checksum_address(self.view("guardian")),
            owner=to_checksum_address(self.view("owner")),
            exit_verifier=to_checksum_address(self.view("exitVerifier")),
            service_deadline_s=self.view("serviceDeadline"),
            exit_period_s=self.view("EXIT_PERIOD"),
            paused=self.view("paused"),
            any_frozen=self.view("anyFrozen"),
        )

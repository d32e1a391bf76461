"""JSON-RPC client: synchronous, with timeouts, and errors that say what to do.

Nothing here knows the contract; see `bridge.chain.settlement`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from json import JSONDecodeError
from typing import cast

from eth_typing import ChecksumAddress, HexStr
from hexbytes import HexBytes
from requests import Response
from requests.exceptions import ConnectionError, HTTPError, RequestException
from web3 import Web3
from web3.exceptions import (
    BadFunctionCallOutput,
    BadResponseFormat,
    BlockNotFound,
    ContractLogicError,
    TransactionNotFound,
    Web3RPCError,
)
from web3.middleware import ExtraDataToPOAMiddleware
from web3.providers.rpc.utils import ExceptionRetryConfiguration
from web3.types import BlockIdentifier, FilterParams, LogReceipt, TxData, TxParams, TxReceipt

from bridge.errors import RpcRefused, RpcUnavailable, WrongChain

NO_ANSWER = (RequestException, BadResponseFormat, TimeoutError)
"""No answer, or none of the kind that was asked for: a gateway's error page."""

PASSING = (408, 429)
"""HTTP statuses of 400 and above, below 500, that say nothing against the question: asked again it may do."""


def hex0x(value: bytes) -> str:
    """Bytes as 0x hex; `HexBytes.hex()` has no prefix."""
    return "0x" + bytes(value).hex()


class ChainClient:
    """One node of one chain.

    Every method raises RpcUnavailable if the node does not answer in time, RpcRefused if it answers an error.
    """

    def __init__(self, rpc_url: str, timeout_s: int, expected_chain_id: int | None = None) -> None:
        """Connects. Raises WrongChain if the node's chain id is not the expected one."""
        # A broken connection is worth another try at once; a node that hung for the whole timeout is not.
        retries = ExceptionRetryConfiguration(errors=(ConnectionError,), retries=3, backoff_factor=0.1)
        self.web3 = Web3(
            Web3.HTTPProvider(rpc_url, {"timeout": timeout_s}, exception_retry_configuration=retries)
        )
        # Proof-of-authority chains (Polygon) put more than 32 bytes into extraData.
        self.web3.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)
        with self.answering("eth_chainId"):
            self.chain_id = self.web3.eth.chain_id
        if expected_chain_id is not None and expected_chain_id != self.chain_id:
            raise WrongChain(expected_chain_id, self.chain_id)

    @contextmanager
    def answering(self, method: str) -> Iterator[None]:
        """Turns transport and node errors into the bridge's; a contract's revert passes through."""
        try:
            yield
        except ContractLogicError:
            raise
        except Web3RPCError as error:
            details = (error.rpc_response or {}).get("error", {})
            if not isinstance(details, dict):
                raise RpcRefused(method, None, str(details)) from error
            raise RpcRefused(method, details.get("code"), details.get("message", str(error))) from error
        except HTTPError as error:
            status, words = error.response.status_code, _words(error.response)
            if status < 500 and status not in PASSING:
                raise RpcRefused(method, status, words) from error
            raise RpcUnavailable(method, f"HTTP {status}: {words}") from error
        except BadFunctionCallOutput as error:
            raise RpcUnavailable(method, "the contract is not there (yet) in that block") from error
        except (*NO_ANSWER, JSONDecodeError) as error:
            # The exception's text may hold the node's URL and with it an API key; its type says enough.
            raise RpcUnavailable(method, type(error).__name__) from error

    def head(self) -> int:
        """Number of the newest block."""
        with self.answering("eth_blockNumber"):
            return self.web3.eth.block_number

    def block_hash(self, number: int) -> str | None:
        """Hash of the block at a height, None if the chain is not that long."""
        with self.answering("eth_getBlockByNumber"):
            try:
                return hex0x(self.web3.eth.get_block(number)["hash"])
            except BlockNotFound:
                return None

    def block_transactions(self, number: int) -> tuple[str, list[str]] | None:
        """Hash of the block at a height and hashes of its transactions, None if there is no such block."""
        with self.answering("eth_getBlockByNumber"):
            try:
                block = self.web3.eth.get_block(number)
            except BlockNotFound:
                return None
        return hex0x(block["hash"]), [hex0x(cast(HexBytes, one)) for one in block["transactions"]]

    def block_time(self, number: int) -> int | None:
        """Unix seconds of the block at a height, None if the chain is not that long."""
        with self.answering("eth_getBlockByNumber"):
            try:
                return self.web3.eth.get_block(number)["timestamp"]
            except BlockNotFound:
                return None

    def require_chain(self) -> None:
        """Asks for the chain id once more. Raises WrongChain if the node moved to another chain."""
        with self.answering("eth_chainId"):
            actual = self.web3.eth.chain_id
        if actual != self.chain_id:
            raise WrongChain(self.chain_id, actual)

    def balance_wei(self, address: ChecksumAddress) -> int:
        """Ether of an address in wei, at the newest block."""
        with self.answering("eth_getBalance"):
            return self.web3.eth.get_balance(address)

    def base_fee(self) -> int | None:
        """Base fee of the next block in wei per gas, None on a chain without EIP-1559.

        Of the newest block, on a node that makes no pending one.
        """
        with self.answering("eth_getBlockByNumber"):
            try:
                block = self.web3.eth.get_block("pending")
            except BlockNotFound:
                block = self.web3.eth.get_block("latest")
            return cast("int | None", block.get("baseFeePerGas"))

    def gas_price(self) -> int:
        """The node's suggestion for a legacy transaction, wei per gas."""
        with self.answering("eth_gasPrice"):
            return self.web3.eth.gas_price

    def priority_fee(self) -> int:
        """The node's suggestion for the tip, wei per gas."""
        with self.answering("eth_maxPriorityFeePerGas"):
            return self.web3.eth.max_priority_fee

    def code(self, address: ChecksumAddress) -> bytes:
        """Code at an address."""
        with self.answering("eth_getCode"):
            return bytes(self.web3.eth.get_code(address))

    def nonce(self, address: ChecksumAddress, block: BlockIdentifier) -> int:
        """Transactions sent by an address up to a block ("latest" or "pending")."""
        with self.answering("eth_getTransactionCount"):
            return self.web3.eth.get_transaction_count(address, block)

    def logs(
        self, address: ChecksumAddress, first_block: int, last_block: int, topics: Sequence[HexStr] = ()
    ) -> list[LogReceipt]:
        """Logs of a contract in a range of blocks, both ends included, in chain order.

        A range that the node refuses is halved until it fits: nodes limit ranges, or what is in them, by
        rules of their own.
        """
        if first_block > last_block:
            return []
        query: FilterParams = {
            "address": address, "fromBlock": first_block, "toBlock": last_block, "topics": list(topics),
        }  # fmt: skip
        try:
            with self.answering("eth_getLogs"):
                found = self.web3.eth.get_logs(query)
        except RpcRefused:
            if first_block == last_block:
                raise
            middle = (first_block + last_block) // 2
            before = self.logs(address, first_block, middle, topics)
            return before + self.logs(address, middle + 1, last_block, topics)
        return sorted(found, key=lambda log: (log["blockNumber"], log["logIndex"]))

    def transaction(self, tx_hash: str) -> TxData | None:
        """A transaction, mined or waiting, None if the node does not know it."""
        with self.answering("eth_getTransactionByHash"):
            try:
                return self.web3.eth.get_transaction(cast(HexStr, tx_hash))
            except TransactionNotFound:
                return None

    def transaction_in(self, block_hash: HexBytes, place: int) -> TxData | None:
        """The transaction at a place of a block, None if the node has no such.

        Unlike `transaction` it needs no index of transactions, which nodes keep for their latest blocks only
        (geth: 2,350,000).
        """
        with self.answering("eth_getTransactionByBlockHashAndIndex"):
            try:
                return self.web3.eth.get_transaction_by_block(block_hash, place)
            except TransactionNotFound:
                return None

    def receipt(self, tx_hash: str) -> TxReceipt | None:
        """The receipt of a mined transaction, None if it is not mined."""
        with self.answering("eth_getTransactionReceipt"):
            try:
                return self.web3.eth.get_transaction_receipt(cast(HexStr, tx_hash))
            except TransactionNotFound:
                return None

    def receipt_in(self, block: int, tx_hash: str) -> TxReceipt | None:
        """The same of a transaction in a certain block; like `transaction_in` it needs no index."""
        with self.answering("eth_getBlockReceipts"):
            try:
                found = self.web3.eth.get_block_receipts(block)
            except BlockNotFound:
                return None
        return next((one for one in found if hex0x(one["transactionHash"]) == tx_hash), None)

    def estimate_gas(self, transaction: TxParams) -> int:
        """Gas that the transaction would use now. Raises ContractLogicError if it would revert."""
        with self.answering("eth_estimateGas"):
            return self.web3.eth.estimate_gas(transaction)

    def send_raw(self, raw_tx: str) -> None:
        """Hands a signed transaction to the node."""
        with self.answering("eth_sendRawTransaction"):
            self.web3.eth.send_raw_transaction(HexBytes(raw_tx))


def _words(answer: Response) -> str:
    """What the node says in an answer whose HTTP status is an error's; never the URL."""
    try:
        return str(answer.json()["error"]["message"])
    except (LookupError, TypeError, ValueError):
        return answer.reason

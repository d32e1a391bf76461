"""Receipts, taken only if they agree with the block that they claim to be in."""

from __future__ import annotations

from web3.types import TxReceipt

from bridge.chain.client import ChainClient, hex0x
from bridge.errors import FalseReceipt


def checked_receipt(client: ChainClient, tx_hash: str, said_block: int | None = None) -> TxReceipt | None:
    """The receipt of a mined transaction, None if it is not mined.

    said_block: where it is said to be; there it is looked up if the node does not find it by its hash.

    It must be of this transaction, its block must be the chain's at that height and list the transaction at
    that place. Raises FalseReceipt, unless a reorg between two questions explains the difference. None also
    if the block is not there (yet): behind one address there may be a node that lags.
    """
    receipt = client.receipt(tx_hash)
    if receipt is None and said_block is not None:
        receipt = client.receipt_in(said_block, tx_hash)
    if receipt is None:
        return None
    if hex0x(receipt["transactionHash"]) != tx_hash:
        raise FalseReceipt(tx_hash, "transaction", tx_hash, hex0x(receipt["transactionHash"]))
    number, block_hash = receipt["blockNumber"], hex0x(receipt["blockHash"])
    block = client.block_transactions(number)
    if block is not None and block[0] != block_hash:
        if client.receipt(tx_hash) != receipt:  # a reorg: the next look finds the new place
            return None
        block = client.block_transactions(number)
    if block is None:
        return None
    if block[0] != block_hash:
        raise FalseReceipt(tx_hash, "block", block[0], block_hash)
    place = receipt["transactionIndex"]
    found = block[1][place] if place < len(block[1]) else None
    if found != tx_hash:
        raise FalseReceipt(tx_hash, f"transaction {place} of block {number}", tx_hash, found)
    return receipt

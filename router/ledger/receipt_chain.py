"""Are the receipts those that were signed? Each holds the hash of the one before, its account the last."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from sqlalchemy import Connection, func, select

from mini_llm.wallet.receipt import ReceiptDomain
from mini_llm.wallet.signature import InvalidSignature, recover_address
from router.ledger import read
from router.ledger.call_models import CALL
from router.ledger.models import ACCOUNT

STEP: Final = 1000
"""Receipts after which the progress is told."""


def receipt_count(connection: Connection) -> int:
    """How many receipts there are to check."""
    return int(connection.execute(select(func.count(CALL.c.account_sequence))).scalar_one())


def receipt_errors(
    connection: Connection,
    domain: ReceiptDomain,
    signers: Collection[str] = (),
    checked: Callable[[int], object] = lambda count: None,
) -> list[str]:
    """What is wrong with the chain of each account's receipts, its first fault in words; empty if nothing is.

    Args:
        connection: a reading transaction.
        domain: where the receipts are valid.
        signers: checksum addresses of the router's present and former receipt keys; with none, any will do.
        checked: is told from time to time of how many more receipts were looked at.
    """
    remembered = connection.execute(select(ACCOUNT.c.idx, ACCOUNT.c.last_receipt))
    heads: dict[int, bytes] = {row.idx: row.last_receipt for row in remembered}
    ends: dict[int, bytes] = {}
    found: dict[int, str] = {}
    for count, signed in enumerate(read.iter_receipts(connection), 1):
        idx, sequence = signed.receipt.account, signed.receipt.account_sequence
        digest = signed.receipt.digest(domain)
        if idx not in found:
            if signed.receipt.previous_receipt != ends.get(idx, bytes(32)):
                found[idx] = f"account {idx}: receipt {sequence} does not follow the one before it"
            elif fault := _signature_fault(digest, signed.signature, signers):
                found[idx] = f"account {idx}: receipt {sequence} {fault}"
        ends[idx] = digest
        if not count % STEP:
            checked(STEP)
    for idx, head in heads.items():
        if idx not in found and ends.get(idx, bytes(32)) != head:
            found[idx] = f"account {idx}: its last receipt is not the one that it remembers"
    return [found[idx] for idx in sorted(found)]


def _signature_fault(digest: bytes, signature: bytes, signers: Collection[str]) -> str | None:
    try:
        signer = recover_address(digest, signature)
    except InvalidSignature as error:
        return f"has no valid signature ({error.reason})"
    return f"is signed by {signer}" if signers and signer not in signers else None

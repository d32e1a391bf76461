"""The receipts of settled batches as leaves of their tree: digest, charge, and whose they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, bindparam, select

from mini_llm.wallet.receipts_tree import Leaf
from router.ledger.call_models import CALL
from router.ledger.models import ACCOUNT

_AFTER: Final = (
    select(CALL.c.partner_id, CALL.c.charge_base, CALL.c.account_total_base, CALL.c.previous_receipt)
    .where(CALL.c.account_idx == bindparam("account_idx"), CALL.c.account_total_base > bindparam("after"))
    .order_by(CALL.c.account_total_base)
    .limit(bindparam("count"))
)
_LAST_RECEIPT: Final = select(ACCOUNT.c.last_receipt).where(ACCOUNT.c.idx == bindparam("account_idx"))


@dataclass(frozen=True)
class ReceiptLeaf:
    """A receipt of an account.

    Args:
        partner_id: who served the call.
        leaf: the receipt's digest, 32 bytes, and its charge, base units.
        account_total_base: the account's charges up to this one.
    """

    partner_id: int
    leaf: Leaf
    account_total_base: int


def leaves_between(
    connection: Connection, idx: int, after_total_base: int, upto_total_base: int, limit: int
) -> list[ReceiptLeaf]:
    """An account's first receipts with a total in (`after_total_base`, `upto_total_base`], in order.

    No receipt is hashed for it: each one carries the digest of the one before, the account that of its last.

    Args:
        connection: a reading transaction.
        idx: the account.
        after_total_base: total of the last receipt that is left out, base units.
        upto_total_base: total of the last receipt that is wanted, base units.
        limit: most receipts.
    """
    where = {"account_idx": idx, "after": after_total_base, "count": limit + 1}
    rows = connection.execute(_AFTER, where).all()
    if not rows:
        return []
    digests = [row.previous_receipt for row in rows[1:]]
    if len(rows) <= limit:
        digests += connection.execute(_LAST_RECEIPT, {"account_idx": idx}).scalars()
    return [
        ReceiptLeaf(row.partner_id, (digest, row.charge_base), row.account_total_base)
        for row, digest in zip(rows[:limit], digests, strict=True)
        if row.account_total_base <= upto_total_base
    ]

"""The receipts of batches as leaves of their tree: digest, charge, and whose they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, bindparam, func, select

from mini_llm.wallet.receipts_tree import Leaf
from router.ledger.call_models import CALL
from router.ledger.models import ACCOUNT

_OF_ACCOUNT: Final = CALL.c.account_idx == bindparam("account_idx")
_BETWEEN: Final = (
    select(CALL.c.partner_id, CALL.c.charge_base, CALL.c.account_total_base, CALL.c.previous_receipt)
    .where(
        _OF_ACCOUNT,
        CALL.c.account_total_base > bindparam("after"),
        CALL.c.account_total_base <= bindparam("upto"),
    )
    .order_by(CALL.c.account_total_base)
    .limit(bindparam("count"))
)
_NEXT: Final = (
    select(CALL.c.previous_receipt)
    .where(_OF_ACCOUNT, CALL.c.account_total_base > bindparam("total"))
    .order_by(CALL.c.account_total_base)
    .limit(1)
)
_DIGEST: Final = select(func.coalesce(_NEXT.scalar_subquery(), ACCOUNT.c.last_receipt)).where(
    ACCOUNT.c.idx == bindparam("account_idx")
)
"""Digest of the receipt with a total."""


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

    @property
    def charge_base(self) -> int:
        """What the call was charged, base units."""
        return self.leaf[1]


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
    where = {"account_idx": idx, "after": after_total_base, "upto": upto_total_base, "count": limit}
    rows = connection.execute(_BETWEEN, where).all()
    if not rows:
        return []
    last = {"account_idx": idx, "total": rows[-1].account_total_base}
    digests = [row.previous_receipt for row in rows[1:]] + [connection.execute(_DIGEST, last).scalar_one()]
    return [
        ReceiptLeaf(row.partner_id, (digest, row.charge_base), row.account_total_base)
        for row, digest in zip(rows, digests, strict=True)
    ]

"""What somebody looks for in the explorer: a batch, an account, a wallet, a receipt or a transaction."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from mini_llm.wallet.address import to_checksum_address
from router.ledger import batches, read
from router.ledger.batches import BatchView
from router.ledger.models import Status
from router.ledger.views import AccountView, CallView

LONGEST: Final = 100
"""Characters of a query; nothing that can be found is longer."""
_NUMBER: Final = re.compile(r"(?:(batch|account)\s*)?#?\s*([0-9]{1,18})", re.IGNORECASE)
_ADDRESS: Final = re.compile(r"0x[0-9a-f]{40}", re.IGNORECASE)
_HASH: Final = re.compile(r"(?:0x)?([0-9a-f]{64})", re.IGNORECASE)


@dataclass(frozen=True)
class FoundReceipt:
    """A receipt that somebody knows the id of.

    Attributes:
        request_id: 64 hex digits.
        batch: what settled it, None as long as it waits.
        call: all of it, None unless it is the visitor's own.
    """

    request_id: str
    batch: BatchView | None
    call: CallView | None


@dataclass(frozen=True)
class Found:
    """All that a query may mean.

    Attributes:
        understood: False if it has the form of nothing that there is.
        batch: number of a batch.
        accounts: indices.
        receipt: by its request id.
    """

    understood: bool = True
    batch: int | None = None
    accounts: tuple[int, ...] = ()
    receipt: FoundReceipt | None = None

    @property
    def address(self) -> str | None:
        """The page of the only thing that was found, if it has one of its own."""
        pages = [f"/explorer/accounts/{idx}" for idx in self.accounts]
        if self.batch is not None:
            pages.append(f"/explorer/batches/{self.batch}")
        return pages[0] if len(pages) == 1 and self.receipt is None else None


def number_of(text: str) -> int | None:
    """A number in an address or a query, None if it is none that a batch or an account can have."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None


def find(connection: Connection, query: str, own: Collection[int]) -> Found:
    """What a query may mean.

    Args:
        connection: a reading transaction.
        query: as it was typed.
        own: accounts of the visitor, whose receipts are shown whole.
    """
    query = query.strip()
    if len(query) > LONGEST:
        return Found(understood=False)
    if (typed := _NUMBER.fullmatch(query)) is not None:
        return _of_number(connection, (typed[1] or "").lower(), int(typed[2]))
    if _ADDRESS.fullmatch(query):
        return Found(accounts=tuple(read.accounts_of(connection, to_checksum_address(query))))
    if (typed := _HASH.fullmatch(query)) is not None:
        return _of_hash(connection, typed[1].lower(), own)
    return Found(understood=False)


def account_on_chain(connection: Connection, idx: int) -> AccountView | None:
    """An account that the chain has, None if there is none."""
    found = next(iter(read.accounts(connection, idx, 1)), None)
    return found if found is not None and found.idx == idx and found.status != Status.DROPPED else None


def _of_number(connection: Connection, kind: str, number: int) -> Found:
    batch = None if kind == "account" else batches.batch(connection, number)
    account = None if kind == "batch" else account_on_chain(connection, number)
    return Found(
        batch=None if batch is None else batch.number, accounts=() if account is None else (account.idx,)
    )


def _of_hash(connection: Connection, digits: str, own: Collection[int]) -> Found:
    batch = batches.batch_of_tx(connection, f"0x{digits}")
    call = read.find_call(connection, digits)
    if call is None or call.receipt is None:
        return Found(batch=None if batch is None else batch.number)
    settled = batches.batch_of_total(connection, call.account_idx, call.receipt.receipt.account_total_base)
    return Found(receipt=FoundReceipt(digits, settled, call if call.account_idx in own else None))

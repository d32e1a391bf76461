"""What the ledger hands out: plain values, no database rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Protocol

from sqlalchemy import Row

from mini_llm.wallet.receipt import Receipt, ReceiptDomain, SignedReceipt


class Sums(Protocol):
    """What an account's rules rest on: in a view, or in the writer's own copy of the row."""

    @property
    def balance_base(self) -> int: ...
    @property
    def reserved_base(self) -> int: ...
    @property
    def cancelling_base(self) -> int: ...
    @property
    def withdraw_requested_base(self) -> int: ...
    @property
    def ceiling_base(self) -> int: ...
    @property
    def spent_base(self) -> int: ...
    @property
    def key_commit(self) -> object | None: ...
    @property
    def requested_key_commit(self) -> object | None: ...


def available_base(account: Sums) -> int:
    """What a new call may reserve, never negative."""
    covered = min(account.balance_base - account.cancelling_base, account.ceiling_base - account.spent_base)
    return max(0, covered - account.reserved_base - account.withdraw_requested_base)


def is_paused(account: Sums) -> bool:
    """True while a key change waits for its batch: a charge could be proved under neither key."""
    return account.key_commit is not None and account.requested_key_commit is not None


@dataclass(frozen=True)
class AccountView:
    """A user's account; all amounts in base units.

    Args:
        idx: index in the account tree.
        owner: wallet address that controls the account.
        status: one of `models.Status`; only an open account is served.
        balance_base: deposits + rewards + deficit − posted charges − what left for the wallet.
        deficit_base: used of money that the chain took away again; service stops until deposits cover it.
        reserved_base: quotes of the calls that run now.
        pending_deposit_base: deposits that no batch has consumed.
        cancelling_base: the part of them that the owner announced to take back.
        withdraw_requested_base: requested, not yet served by a batch.
        ceiling_base: cumulative spending that the session key has signed for.
        spent_base: posted charges since ever.
        settled_spent_base: the part of `spent_base` that batches have settled.
        written_off_base: the part that no batch can settle any more, the operator's loss.
        key_commit: session key commitment in the tree, None before the first batch.
        requested_key_commit: commitment that the owner asked for and no batch has served, None if none.
        sequence: number of the last receipt, 0 if there is none.
    """

    idx: int
    owner: str
    status: str
    balance_base: int
    deficit_base: int
    reserved_base: int
    pending_deposit_base: int
    cancelling_base: int
    withdraw_requested_base: int
    ceiling_base: int
    spent_base: int
    settled_spent_base: int
    written_off_base: int
    key_commit: int | None
    requested_key_commit: int | None
    sequence: int

    @property
    def paused(self) -> bool:
        """True while a key change waits for its batch: a charge could be proved under neither key."""
        return is_paused(self)

    @property
    def usable_key_commit(self) -> int | None:
        """The commitment whose key may sign ceilings now: the settled one, else the first requested one."""
        return self.key_commit if self.key_commit is not None else self.requested_key_commit

    @property
    def billable_base(self) -> int:
        """What all batches together may charge up to now: the posted charges that are not written off."""
        return self.spent_base - self.written_off_base

    @property
    def unsettled_base(self) -> int:
        """Posted charges that a batch can still settle."""
        return self.billable_base - self.settled_spent_base

    @property
    def available_base(self) -> int:
        """What a new call may reserve, never negative."""
        return available_base(self)


@dataclass(frozen=True)
class StoredAnswer:
    """The answer to a call with an idempotency key, as the client got it.

    Args:
        status: HTTP status.
        content_type: media type of the body.
        body: the bytes; what depends on the receipt (header, stream comment) is made anew from the receipt.
    """

    status: int
    content_type: str
    body: bytes


@dataclass(frozen=True)
class CallView:
    """A finished call: usage, charge and its receipt.

    Args:
        entry_id: 64 hex digits, the request id.
        account_idx: paying account.
        charge_base: what the account paid.
        lost_base: what was used and not charged (operator's loss).
        estimated: True if the router counted the tokens because the provider reported none.
        provider: name of the provider that served the call.
        model: the model's public name.
        prompt_tokens: tokens read.
        completion_tokens: tokens written.
        time_s: unix seconds of the charge.
        receipt: None if nothing was charged.
    """

    entry_id: str
    account_idx: int
    charge_base: int
    lost_base: int
    estimated: bool
    provider: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    time_s: int
    receipt: SignedReceipt | None


@dataclass(frozen=True)
class Unsettled:
    """An account with charges that no batch has settled.

    Args:
        idx: the account.
        posted_total_base: all its posted charges (`spent` after the batch that settles them).
        oldest_time_s: unix seconds of its oldest unsettled charge.
    """

    idx: int
    posted_total_base: int
    oldest_time_s: int


@dataclass(frozen=True)
class ReceiptSigner:
    """What signs receipts: where they are valid, and the 32-byte private key."""

    domain: ReceiptDomain
    private_key: bytes

    def __repr__(self) -> str:
        return f"ReceiptSigner(domain={self.domain!r})"


def _field_element(packed: bytes | None) -> int | None:
    return None if packed is None else int.from_bytes(packed, "big")


def account_of(row: Row[Any]) -> AccountView:
    """The account in a row of `account`."""
    values = {name: getattr(row, name) for name in AccountView.__annotations__}
    keys = {name: _field_element(values[name]) for name in ("key_commit", "requested_key_commit")}
    return AccountView(**values | keys)


_OF_RECEIPT: Final = Receipt.__annotations__.keys() - {"request_id", "account", "partner", "time"}
"""Fields of a receipt that `call` has under the same names."""
_OF_CALL: Final = CallView.__annotations__.keys() - {"entry_id", "receipt"}


def receipt_of(row: Any) -> SignedReceipt | None:
    """The receipt in a row of `call` joined with its entry's id, None if nothing was charged."""
    if row.signature is None:
        return None
    receipt = Receipt(
        request_id=bytes.fromhex(row.id),
        account=row.account_idx,
        partner=row.partner_id,
        time=row.time_s,
        **{name: getattr(row, name) for name in _OF_RECEIPT},
    )
    return SignedReceipt(receipt, row.signature)


def call_of(row: Any) -> CallView:
    """The call in a row of `call` joined with its entry's id."""
    values = {name: getattr(row, name) for name in _OF_CALL}
    return CallView(entry_id=row.id, receipt=receipt_of(row), **values)

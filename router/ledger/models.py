"""The ledger's tables. Amounts are base units of VIBES (6 decimals), times unix seconds.

Rows of `entry` and `posting` are history, as are those of `call_models`: database triggers let only an
entry's state and lease change. `account` and `share` are running sums of
that history; `books.book_errors` ties them to it.
"""

from __future__ import annotations

from typing import Final, cast

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, LargeBinary, Table, text
from sqlmodel import Field, SQLModel

from router.db import LedgerTable, RowNumber

ENTRY_ID_DIGITS: Final = 64
"""An entry id is this many lower-case hex digits; its 32 bytes are the receipt's requestId."""


class State:
    """States of an entry: pending, then exactly one of the others."""

    PENDING: Final = "pending"
    POSTED: Final = "posted"
    VOIDED: Final = "voided"
    EXPIRED: Final = "expired"


class Status:
    """What the chain made of an account; only an open one is served."""

    OPEN: Final = "open"
    FROZEN: Final = "frozen"  # its leaf cannot change any more; the owner exits with it
    EXITED: Final = "exited"
    DROPPED: Final = "dropped"  # a reorganisation took its opening away, and it has not come back
    REASSIGNED: Final = "reassigned"  # and the chain then gave the index to another wallet, after charges


class Kind:
    """What an entry records."""

    CALL: Final = "call"
    ACCOUNT: Final = "account"
    DEPOSIT: Final = "deposit"
    CANCEL_ANNOUNCED: Final = "cancel_announced"
    CANCELLED: Final = "cancelled"
    KEY_REQUEST: Final = "key_request"
    WITHDRAWAL_REQUEST: Final = "withdrawal_request"
    BATCH: Final = "batch"
    WITHDRAWN: Final = "withdrawn"
    FREEZE: Final = "freeze"
    EXIT: Final = "exit"
    PARTNER_CLAIM: Final = "partner_claim"
    FEE_CLAIM: Final = "fee_claim"
    TREASURY_CLAIM: Final = "treasury_claim"
    COVER: Final = "cover"  # money that became free pays back a deficit
    REVERSAL: Final = "reversal"  # takes back what a reorganisation dropped


def entry_number_column() -> Column[int]:
    """A primary key that is an entry's row number."""
    return Column(RowNumber, ForeignKey("entry.number"), primary_key=True, autoincrement=False)


class Account(LedgerTable, table=True):
    """A user's account and its running sums.

    `balance_base` − `deficit_base` = deposits + rewards − posted charges − what left for the wallet. The
    deficit is what the account used of money that the chain then took away; while there is one, the balance
    is no more than `reserved_base`, the quotes of pending calls. `spent_base` = all posted charges, of which
    batches settled `settled_spent_base` and the operator bears `written_off_base`. `pending_deposit_base` =
    deposits that no batch has consumed, of which `cancelling_base` is announced to be taken back.
    `counted_base` = the part of `spent_base` that epochs of rewards have counted; of those rewards
    `vested_base` have vested, and batches paid `rewarded_base`.
    """

    __table_args__ = (
        CheckConstraint("reserved_base >= 0", name="account_reserved"),
        CheckConstraint("balance_base >= reserved_base", name="account_never_negative"),
        CheckConstraint("withdraw_requested_base >= 0", name="account_withdraw_requested"),
        CheckConstraint("ceiling_base >= 0", name="account_ceiling"),
        CheckConstraint("deficit_base >= 0", name="account_deficit"),
        CheckConstraint(
            "cancelling_base >= 0 AND cancelling_base <= pending_deposit_base", name="account_cancelling"
        ),
        CheckConstraint(
            "settled_spent_base >= 0 AND written_off_base >= 0"
            " AND settled_spent_base + written_off_base <= spent_base",
            name="account_settled",
        ),
    )

    idx: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    owner: str = Field(max_length=42, index=True)  # sign-in looks for a wallet's accounts
    status: str  # one of `Status`
    key_commit: bytes | None = Field(sa_type=LargeBinary)  # the key that a batch put into the tree
    requested_key_commit: bytes | None = Field(sa_type=LargeBinary)  # the key that the owner asked for
    balance_base: int = Field(sa_type=BigInteger)
    deficit_base: int = Field(sa_type=BigInteger)
    reserved_base: int = Field(sa_type=BigInteger)
    pending_deposit_base: int = Field(sa_type=BigInteger)
    cancelling_base: int = Field(sa_type=BigInteger)
    withdraw_requested_base: int = Field(sa_type=BigInteger)
    ceiling_base: int = Field(sa_type=BigInteger)
    spent_base: int = Field(sa_type=BigInteger)
    settled_spent_base: int = Field(sa_type=BigInteger)
    written_off_base: int = Field(sa_type=BigInteger)
    counted_base: int = Field(sa_type=BigInteger)
    vested_base: int = Field(sa_type=BigInteger)
    rewarded_base: int = Field(sa_type=BigInteger)
    sequence: int = Field(sa_type=BigInteger)  # number of the last receipt
    last_receipt: bytes = Field(sa_type=LargeBinary)  # its digest


class Ceiling(LedgerTable, table=True):
    """The highest ceiling that each of an account's keys signed, as `SignedCeiling.to_json` writes it.

    A replaced key's ceiling is kept: if the batch that replaced it is dropped, its charges are proved anew.
    """

    account_idx: int = Field(
        sa_column=Column(BigInteger, ForeignKey("account.idx"), primary_key=True, autoincrement=False)
    )
    key_commit: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    ceiling_base: int = Field(sa_type=BigInteger)
    signed: str


class Entry(LedgerTable, table=True):
    """One thing that happened to money: balanced, immutable, idempotent by `id`.

    A call opens as pending with a quote and a lease; everything else opens and posts in one transaction.
    `origin_key` = hash(account, endpoint, client key) binds a client's idempotency key, hash(kind, reference)
    a chain event; `attempt` counts the entries under it (a new one opens only after the last was voided,
    expired or reversed). A reversal's `origin_key` is the id of the entry that it takes back.
    """

    __table_args__ = (
        CheckConstraint("state IN ('pending', 'posted', 'voided', 'expired')", name="entry_state"),
        CheckConstraint("quote_base >= 0", name="entry_quote"),
        Index("entry_id", "id", unique=True),
        Index(
            "entry_origin",
            "origin_key",
            "attempt",
            unique=True,
            sqlite_where=text("origin_key IS NOT NULL"),
            postgresql_where=text("origin_key IS NOT NULL"),
        ),
        Index(
            "entry_lease",
            "lease_until_s",
            sqlite_where=text("state = 'pending'"),
            postgresql_where=text("state = 'pending'"),
        ),
        Index(
            "entry_user",
            "user_idx",
            "opened_s",
            "number",
            sqlite_where=text("user_idx IS NOT NULL"),
            postgresql_where=text("user_idx IS NOT NULL"),
        ),
    )

    number: int = Field(sa_column=Column(RowNumber, primary_key=True))
    id: str = Field(max_length=ENTRY_ID_DIGITS)
    kind: str
    state: str
    account_idx: int | None = Field(sa_type=BigInteger, foreign_key="account.idx")
    origin_key: str | None = Field(max_length=ENTRY_ID_DIGITS)
    attempt: int
    body_hash: bytes = Field(sa_type=LargeBinary)  # sha256 of what the id was first used with
    quote_base: int = Field(sa_type=BigInteger)
    lease_until_s: int | None = Field(sa_type=BigInteger)
    opened_s: int = Field(sa_type=BigInteger)
    reason: str | None  # why it was voided
    key_id: str | None  # the API key that called
    user_idx: int | None = Field(sa_type=BigInteger)  # who called, if another account pays


class Posting(LedgerTable, table=True):
    """One signed leg of an entry. Positive: owed to the ledger account; negative: taken from it.

    Ledger accounts: `custody` (minus the tokens that the contract holds), `user:{idx}`, `withdrawable:{idx}`,
    `partner:{id}`, `fee`, `burn`, `pool`, `treasury`; and two that are never above zero: `deficit:{idx}`
    (what a user owes) and `loss` (charges that no batch can settle any more, borne by the operator).
    """

    __table_args__ = (
        CheckConstraint("amount_base <> 0", name="posting_amount"),
        {"sqlite_with_rowid": False},
    )

    entry_number: int = Field(sa_column=entry_number_column())
    leg: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    account: str
    amount_base: int = Field(sa_type=BigInteger)


class AccountChange(LedgerTable, table=True):
    """What an entry about the chain did to an account beside its money, so that it can be taken back.

    The sums are differences; `before` holds, as JSON, what the entry replaced: {column: value, keys in hex}.
    """

    __tablename__ = "account_change"

    entry_number: int = Field(sa_column=entry_number_column())
    account_idx: int = Field(
        sa_column=Column(BigInteger, ForeignKey("account.idx"), primary_key=True, autoincrement=False)
    )
    pending_base: int = Field(sa_type=BigInteger)
    settled_base: int = Field(sa_type=BigInteger)
    written_off_base: int = Field(sa_type=BigInteger)
    rewarded_base: int = Field(sa_type=BigInteger)
    before: str


class Share(LedgerTable, table=True):
    """What one receiver earned of charges: `partner:{id}` of its own gross; fee, burn and pool of all gross.

    Earned = `accrued_base` + floor((`gross_base` − `checkpoint_gross_base`) × `bps` / 10000), as on chain.
    """

    __table_args__ = (CheckConstraint("bps >= 0 AND bps <= 10000", name="share_bps"),)

    code: str = Field(primary_key=True)
    bps: int
    gross_base: int = Field(sa_type=BigInteger)
    checkpoint_gross_base: int = Field(sa_type=BigInteger)
    accrued_base: int = Field(sa_type=BigInteger)
    sequence: int = Field(sa_type=BigInteger)  # charged calls; a partner's last receipt number


def table_of(model: type[SQLModel]) -> Table:
    """The table behind a model."""
    return cast(Table, model.__table__)  # type: ignore[attr-defined]


ACCOUNT: Final = table_of(Account)
CEILING: Final = table_of(Ceiling)
ENTRY: Final = table_of(Entry)
POSTING: Final = table_of(Posting)
ACCOUNT_CHANGE: Final = table_of(AccountChange)
SHARE: Final = table_of(Share)

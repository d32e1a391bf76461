"""The ledger's tables. Amounts are base units of VIBES (6 decimals), times unix seconds.

Rows of `entry`, `posting` and `call` are history: database triggers let only an entry's state and lease
change. `account` and `share` are running sums of that history; `books.book_errors` ties them to it.
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


class Kind:
    """What an entry records."""

    CALL: Final = "call"
    DEPOSIT: Final = "deposit"
    KEY_REQUEST: Final = "key_request"
    WITHDRAWAL_REQUEST: Final = "withdrawal_request"
    BATCH: Final = "batch"
    WITHDRAWN: Final = "withdrawn"
    PARTNER_CLAIM: Final = "partner_claim"
    FEE_CLAIM: Final = "fee_claim"
    TREASURY_CLAIM: Final = "treasury_claim"


def _entry_number() -> Column[int]:
    return Column(RowNumber, ForeignKey("entry.number"), primary_key=True, autoincrement=False)


class Account(LedgerTable, table=True):
    """A user's account and its running sums.

    `balance_base` = deposits + rewards − posted charges − served withdrawals; `reserved_base` = quotes of
    pending calls; `spent_base` = all posted charges; `settled_spent_base` = the part that batches settled.
    """

    __table_args__ = (
        CheckConstraint("reserved_base >= 0", name="account_reserved"),
        CheckConstraint("balance_base >= reserved_base", name="account_never_negative"),
        CheckConstraint("withdraw_requested_base >= 0", name="account_withdraw_requested"),
        CheckConstraint("ceiling_base >= 0", name="account_ceiling"),
        CheckConstraint(
            "settled_spent_base >= 0 AND settled_spent_base <= spent_base", name="account_settled"
        ),
    )

    idx: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    owner: str = Field(max_length=42)
    key_commit: bytes | None = Field(sa_type=LargeBinary)  # the key that a batch put into the tree
    requested_key_commit: bytes | None = Field(sa_type=LargeBinary)  # the key that the owner asked for
    balance_base: int = Field(sa_type=BigInteger)
    reserved_base: int = Field(sa_type=BigInteger)
    withdraw_requested_base: int = Field(sa_type=BigInteger)
    ceiling_base: int = Field(sa_type=BigInteger)
    spent_base: int = Field(sa_type=BigInteger)
    settled_spent_base: int = Field(sa_type=BigInteger)
    sequence: int = Field(sa_type=BigInteger)  # number of the last receipt
    last_receipt: bytes = Field(sa_type=LargeBinary)  # its digest


class Ceiling(LedgerTable, table=True):
    """The highest ceiling that the account's present key signed, as `SignedCeiling.to_json` writes it."""

    account_idx: int = Field(
        sa_column=Column(BigInteger, ForeignKey("account.idx"), primary_key=True, autoincrement=False)
    )
    signed: str


class ApiKey(LedgerTable, table=True):
    """An API key, known by its sha256 only."""

    __tablename__ = "api_key"

    key_hash: str = Field(primary_key=True, max_length=64)
    account_idx: int = Field(sa_type=BigInteger, foreign_key="account.idx", index=True)
    label: str
    created_s: int = Field(sa_type=BigInteger)
    revoked_s: int | None = Field(sa_type=BigInteger)


class Entry(LedgerTable, table=True):
    """One thing that happened to money: balanced, immutable, idempotent by `id`.

    A call opens as pending with a quote and a lease; everything else opens and posts in one transaction.
    `call_key` = hash(account, endpoint, client key) binds the client's idempotency key; `attempt` counts the
    entries under it (a new one opens only after the last was voided or expired).
    """

    __table_args__ = (
        CheckConstraint("state IN ('pending', 'posted', 'voided', 'expired')", name="entry_state"),
        CheckConstraint("quote_base >= 0", name="entry_quote"),
        Index("entry_id", "id", unique=True),
        Index("entry_call_key", "call_key", "attempt", unique=True),
        Index(
            "entry_lease",
            "lease_until_s",
            sqlite_where=text("state = 'pending'"),
            postgresql_where=text("state = 'pending'"),
        ),
    )

    number: int = Field(sa_column=Column(RowNumber, primary_key=True))
    id: str = Field(max_length=ENTRY_ID_DIGITS)
    kind: str
    state: str
    account_idx: int | None = Field(sa_type=BigInteger, foreign_key="account.idx")
    call_key: str | None = Field(max_length=ENTRY_ID_DIGITS)
    attempt: int
    body_hash: bytes = Field(sa_type=LargeBinary)  # sha256 of what the id was first used with
    quote_base: int = Field(sa_type=BigInteger)
    lease_until_s: int | None = Field(sa_type=BigInteger)
    opened_s: int = Field(sa_type=BigInteger)
    reason: str | None  # why it was voided


class Posting(LedgerTable, table=True):
    """One signed leg of an entry. Positive: owed to the ledger account; negative: taken from it.

    Ledger accounts: `custody` (minus the tokens that the contract holds), `user:{idx}`, `withdrawable:{idx}`,
    `partner:{id}`, `fee`, `burn`, `pool`, `treasury`.
    """

    __table_args__ = (
        CheckConstraint("amount_base <> 0", name="posting_amount"),
        {"sqlite_with_rowid": False},
    )

    entry_number: int = Field(sa_column=_entry_number())
    leg: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    account: str
    amount_base: int = Field(sa_type=BigInteger)


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


class Call(LedgerTable, table=True):
    """Usage of one call, and its receipt if it was charged (the receipt columns are null otherwise)."""

    __table_args__ = (
        CheckConstraint("charge_base >= 0 AND lost_base >= 0", name="call_amounts"),
        CheckConstraint("(charge_base = 0) = (signature IS NULL)", name="call_receipt"),
        Index("call_account_sequence", "account_idx", "account_sequence", unique=True),
        Index("call_account_total", "account_idx", "account_total_base", unique=True),
        Index("call_partner_sequence", "partner_id", "partner_sequence", unique=True),
    )

    entry_number: int = Field(sa_column=_entry_number())
    account_idx: int = Field(sa_type=BigInteger)
    partner_id: int = Field(sa_type=BigInteger)
    provider: str
    model: str
    prompt_tokens: int = Field(sa_type=BigInteger)
    completion_tokens: int = Field(sa_type=BigInteger)
    estimated: bool  # tokens counted by the router, because the provider reported none
    prompt_price_base_per_mtok: int = Field(sa_type=BigInteger)
    completion_price_base_per_mtok: int = Field(sa_type=BigInteger)
    vibes_per_usd: int = Field(sa_type=BigInteger)
    charge_base: int = Field(sa_type=BigInteger)
    lost_base: int = Field(sa_type=BigInteger)  # used but not charged: the operator's loss
    time_s: int = Field(sa_type=BigInteger)
    prompt_salt: bytes = Field(sa_type=LargeBinary)
    prompt_hash: bytes = Field(sa_type=LargeBinary)
    account_sequence: int | None = Field(sa_type=BigInteger)
    partner_sequence: int | None = Field(sa_type=BigInteger)
    account_total_base: int | None = Field(sa_type=BigInteger)
    partner_total_base: int | None = Field(sa_type=BigInteger)
    previous_receipt: bytes | None = Field(sa_type=LargeBinary)
    signature: bytes | None = Field(sa_type=LargeBinary)


class Answer(LedgerTable, table=True):
    """The answer to a call that came with an idempotency key, for replays. It may be erased."""

    entry_number: int = Field(sa_column=_entry_number())
    status: int
    content_type: str
    body: bytes = Field(sa_type=LargeBinary)


def _table(model: type[SQLModel]) -> Table:
    return cast(Table, model.__table__)  # type: ignore[attr-defined]


ACCOUNT: Final = _table(Account)
CEILING: Final = _table(Ceiling)
API_KEY: Final = _table(ApiKey)
ENTRY: Final = _table(Entry)
POSTING: Final = _table(Posting)
SHARE: Final = _table(Share)
CALL: Final = _table(Call)
ANSWER: Final = _table(Answer)

"""Posting a finished call: charge, split, usage row and signed receipt in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, insert, select, update

from mini_llm.wallet.receipt import Receipt, SignedReceipt
from mini_llm.wallet.signature import sign_digest
from router.ledger import post
from router.ledger.errors import EntryClosed, UnknownEntry
from router.ledger.models import ACCOUNT, ANSWER, CALL, ENTRY, Kind, State
from router.ledger.record import cover
from router.ledger.shares import Terms, split_charge
from router.ledger.views import ReceiptSigner, StoredAnswer, receipt_of

_FIND_CALL: Final = (
    select(CALL, ENTRY.c.id)
    .join(ENTRY, ENTRY.c.number == CALL.c.entry_number)
    .where(CALL.c.entry_number == bindparam("number"))
)
_FIND_OPEN: Final = (
    select(
        ENTRY.c.number,
        ENTRY.c.id,
        ENTRY.c.state,
        ENTRY.c.account_idx,
        ENTRY.c.quote_base,
        ENTRY.c.origin_key,
        ACCOUNT.c.spent_base,
        ACCOUNT.c.sequence,
        ACCOUNT.c.last_receipt,
        ACCOUNT.c.deficit_base,
    )
    .join(ACCOUNT, ACCOUNT.c.idx == ENTRY.c.account_idx)
    .where(ENTRY.c.id == bindparam("entry_id"), ENTRY.c.kind == Kind.CALL)
)
_CHARGE: Final = (
    update(ACCOUNT)
    .where(ACCOUNT.c.idx == bindparam("account_idx"))
    .values(
        balance_base=ACCOUNT.c.balance_base - bindparam("charge"),
        reserved_base=ACCOUNT.c.reserved_base - bindparam("quote"),
        spent_base=ACCOUNT.c.spent_base + bindparam("charge"),
        sequence=bindparam("last_sequence"),
        last_receipt=bindparam("digest"),
    )
)
_HOLD: Final = (
    update(ACCOUNT)
    .where(ACCOUNT.c.idx == bindparam("account_idx"))
    .values(reserved_base=ACCOUNT.c.reserved_base + bindparam("quote"))
)
_INSERT_CALL: Final = insert(CALL)
_INSERT_ANSWER: Final = insert(ANSWER)


@dataclass(frozen=True)
class CallFacts:
    """What a finished call used and costs.

    Args:
        provider: name of the provider that served it.
        model: the model's public name.
        prompt_tokens: tokens read.
        completion_tokens: tokens written.
        estimated: True if the router counted the tokens.
        prompt_price_base_per_mtok: price of a million tokens read, base units.
        completion_price_base_per_mtok: price of a million tokens written, base units.
        vibes_per_usd: the rate behind the prices.
        actual_base: price of the usage, base units, rounded up once; the charge is at most the reservation.
        time_s: unix seconds.
        prompt_salt: the call's salt.
        prompt_hash: keccak256(salt ‖ body), 32 bytes.
        answer: kept for replays if the client sent an idempotency key, dropped otherwise.
    """

    provider: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    estimated: bool
    prompt_price_base_per_mtok: int
    completion_price_base_per_mtok: int
    vibes_per_usd: int
    actual_base: int
    time_s: int
    prompt_salt: bytes
    prompt_hash: bytes
    answer: StoredAnswer | None = None


@dataclass(frozen=True)
class PostedCharge:
    """Outcome of posting a call.

    Args:
        charge_base: what the account paid: min(actual, reserved), 0 if the lease had been swept.
        lost_base: used and not charged, the operator's loss.
        receipt: None if nothing was charged.
        late: True if the lease had lapsed and was swept before the post came.
    """

    charge_base: int
    lost_base: int
    receipt: SignedReceipt | None
    late: bool


def post_charge(
    connection: Connection, entry_id: str, facts: CallFacts, terms: Terms, signer: ReceiptSigner
) -> PostedCharge:
    """Charges a finished call, splits the charge, stores usage and receipt; a repeat gets the first outcome.

    Raises:
        UnknownEntry: no such call.
        EntryClosed: it was voided.
        AmountOutOfRange: actual price below 0 or past 2^54 − 1.
    """
    post.check_amount("actual price", facts.actual_base, minimum_base=0)
    entry = call_entry(connection, entry_id)
    if entry.state == State.VOIDED:
        raise EntryClosed(entry_id, entry.state)
    known = finished_call(connection, entry.number)
    if known is not None:
        late = entry.state == State.EXPIRED
        return PostedCharge(known.charge_base, known.lost_base, receipt_of(known), late)
    if entry.state == State.EXPIRED:
        _insert_call(connection, entry, facts, terms, charge_base=0)
        return PostedCharge(0, facts.actual_base, None, late=True)
    charge_base = min(facts.actual_base, entry.quote_base)
    receipt = None
    if charge_base:
        receipt = _charge(connection, entry, entry_id, facts, terms, charge_base, signer)
    else:
        _insert_call(connection, entry, facts, terms, charge_base=0)
        hold(connection, entry.account_idx, -entry.quote_base)
        post.post_entry(connection, entry.number, Kind.CALL, ())
    if entry.deficit_base:
        cover(connection, entry.account_idx, entry_id)
    if facts.answer is not None and entry.origin_key is not None:
        connection.execute(_INSERT_ANSWER, {"entry_number": entry.number} | vars(facts.answer))
    return PostedCharge(charge_base, facts.actual_base - charge_base, receipt, late=False)


def _charge(
    connection: Connection,
    entry: Row[Any],
    entry_id: str,
    facts: CallFacts,
    terms: Terms,
    charge_base: int,
    signer: ReceiptSigner,
) -> SignedReceipt:
    split = split_charge(connection, terms, charge_base)
    receipt = Receipt(
        request_id=bytes.fromhex(entry_id),
        account=entry.account_idx,
        partner=terms.partner_id,
        model=facts.model,
        prompt_tokens=facts.prompt_tokens,
        completion_tokens=facts.completion_tokens,
        prompt_price_base_per_mtok=facts.prompt_price_base_per_mtok,
        completion_price_base_per_mtok=facts.completion_price_base_per_mtok,
        vibes_per_usd=facts.vibes_per_usd,
        charge_base=charge_base,
        account_sequence=entry.sequence + 1,
        partner_sequence=split.partner_sequence,
        account_total_base=entry.spent_base + charge_base,
        partner_total_base=split.partner_total_base,
        previous_receipt=entry.last_receipt,
        time=facts.time_s,
        prompt_hash=facts.prompt_hash,
    )
    digest = receipt.digest(signer.domain)
    signed = SignedReceipt(receipt, sign_digest(digest, signer.private_key))
    _insert_call(connection, entry, facts, terms, charge_base, signed)
    charged = {"charge": charge_base, "quote": entry.quote_base, "last_sequence": receipt.account_sequence}
    connection.execute(_CHARGE, charged | {"account_idx": entry.account_idx, "digest": digest})
    payer = (post.user(entry.account_idx), -charge_base)
    post.post_entry(connection, entry.number, Kind.CALL, (payer, *split.legs))
    return signed


def _insert_call(
    connection: Connection,
    entry: Row[Any],
    facts: CallFacts,
    terms: Terms,
    charge_base: int,
    signed: SignedReceipt | None = None,
) -> None:
    receipt = signed.receipt if signed else None
    values = {name: value for name, value in vars(facts).items() if name not in ("answer", "actual_base")}
    values |= {
        "entry_number": entry.number,
        "account_idx": entry.account_idx,
        "partner_id": terms.partner_id,
        "charge_base": charge_base,
        "lost_base": facts.actual_base - charge_base,
        "account_sequence": receipt and receipt.account_sequence,
        "partner_sequence": receipt and receipt.partner_sequence,
        "account_total_base": receipt and receipt.account_total_base,
        "partner_total_base": receipt and receipt.partner_total_base,
        "previous_receipt": receipt and receipt.previous_receipt,
        "signature": signed and signed.signature,
    }
    connection.execute(_INSERT_CALL, values)


def call_entry(connection: Connection, entry_id: str) -> Row[Any]:
    """The entry of a call with what its account needs for the next receipt.

    Raises:
        UnknownEntry: no such call.
    """
    entry = connection.execute(_FIND_OPEN, {"entry_id": entry_id}).one_or_none()
    if entry is None:
        raise UnknownEntry(entry_id)
    return entry


def finished_call(connection: Connection, number: int) -> Row[Any] | None:
    """Usage and receipt of the call whose entry has this row number, None if it has not finished."""
    return connection.execute(_FIND_CALL, {"number": number}).one_or_none()


def hold(connection: Connection, account_idx: int, quote_base: int) -> None:
    """Adds a quote to what the account has reserved, or with a negative one gives it back."""
    connection.execute(_HOLD, {"account_idx": account_idx, "quote": quote_base})

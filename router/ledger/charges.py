"""Posting a finished call: charge, split, usage row and signed receipt in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import Final, NamedTuple

from mini_llm.wallet.receipt import Receipt, SignedReceipt
from mini_llm.wallet.signature import sign_digest
from router.ledger import post
from router.ledger.bulk import Values
from router.ledger.calls import CallOperation
from router.ledger.errors import EntryClosed
from router.ledger.finished import finished_call
from router.ledger.group import OF_FACTS, OF_RECEIPT, AttemptFacts, Group
from router.ledger.models import State
from router.ledger.shares import Terms, split_charge
from router.ledger.sums import CallEntry, Needs
from router.ledger.views import ReceiptSigner, StoredAnswer

_of_facts = attrgetter(*OF_FACTS)
_of_receipt = attrgetter(*OF_RECEIPT)
_NO_RECEIPT: Final = (None,) * (len(OF_RECEIPT) + 1)


class CallFacts(NamedTuple):
    """What a finished call used and costs.

    Args:
        provider: name of the provider that served it.
        deployment: id of the deployment that served it.
        model: the model's public name.
        prompt_tokens: tokens read, in all.
        completion_tokens: tokens written, in all.
        estimated: True if the router counted the tokens.
        prompt_price_base_per_mtok: price of a million tokens read, base units.
        completion_price_base_per_mtok: price of a million tokens written, base units.
        vibes_per_usd: the rate behind the prices.
        actual_base: price of the usage, base units, rounded up once; the charge is at most the reservation.
        time_s: unix seconds.
        prompt_salt: the call's salt.
        prompt_hash: keccak256(salt ‖ body), 32 bytes.
        cached_tokens: the part of `prompt_tokens` that came from the provider's cache.
        cache_write_tokens: the part of them that went into it.
        audio_prompt_tokens: the part of them that was sound.
        reasoning_tokens: the part of `completion_tokens` that the model thought in.
        audio_completion_tokens: the part of them that was sound.
        wholesale_base: what the provider bills for the call.
        retail_base: price of the usage before what the caller's tier takes off, base units.
        tier: whose price it was, in a word.
        attempts: the tries that the call took, in order.
        answer: kept for replays if the client sent an idempotency key, dropped otherwise.
    """

    provider: str
    deployment: str
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
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    audio_prompt_tokens: int = 0
    reasoning_tokens: int = 0
    audio_completion_tokens: int = 0
    wholesale_base: int = 0
    retail_base: int = 0
    tier: str = ""
    attempts: tuple[AttemptFacts, ...] = ()
    answer: StoredAnswer | None = None


class PostedCharge(NamedTuple):
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


@dataclass(frozen=True)
class Charge(CallOperation[PostedCharge]):
    """The end of a finished call: it is charged, the charge is split, usage and receipt are kept.

    Args:
        entry_id: the call's entry.
        facts: what it used.
        terms: how the charge is split.
        signer: signs the receipt.
    """

    entry_id: str
    facts: CallFacts
    terms: Terms
    signer: ReceiptSigner

    def declare(self, needs: Needs) -> None:
        """See `CallOperation`."""
        needs.entry_ids.append(self.entry_id)
        needs.shares.update(self.terms.bps_by_code)

    def decide(self, group: Group) -> PostedCharge:
        """A repeat gets the first outcome.

        Raises:
            UnknownEntry: no such call.
            EntryClosed: it was voided.
            AmountOutOfRange: actual price below 0 or past 2^54 − 1.
        """
        facts = self.facts
        post.check_amount("actual price", facts.actual_base, minimum_base=0)
        entry = group.entry(self.entry_id)
        if entry.state == State.VOIDED:
            raise EntryClosed(self.entry_id, entry.state)
        if entry.state != State.PENDING:
            known = finished_call(group, entry)
            if known is not None:
                late = entry.state == State.EXPIRED
                return PostedCharge(known.charge_base, known.lost_base, known.receipt, late)
        if entry.state == State.EXPIRED:
            self._record(group, entry, 0, _NO_RECEIPT)
            return PostedCharge(0, facts.actual_base, None, late=True)
        charge_base = min(facts.actual_base, entry.quote_base)
        receipt = None
        if charge_base:
            receipt = self._charge(group, entry, charge_base)
        else:
            self._record(group, entry, 0, _NO_RECEIPT)
            group.post(entry, 0, self.terms, {}, ())
        if facts.answer is not None and entry.origin_key is not None:
            group.record_answer(entry, facts.answer)
        return PostedCharge(charge_base, facts.actual_base - charge_base, receipt, late=False)

    def _charge(self, group: Group, entry: CallEntry, charge_base: int) -> SignedReceipt:
        account, facts, terms = group.account(entry.account_idx), self.facts, self.terms
        shares = group.shares_of(terms)
        split = split_charge(shares, terms, charge_base)
        receipt = Receipt(
            request_id=bytes.fromhex(entry.id),
            account=entry.account_idx,
            partner=terms.partner_id,
            model=facts.model,
            prompt_tokens=facts.prompt_tokens,
            completion_tokens=facts.completion_tokens,
            prompt_price_base_per_mtok=facts.prompt_price_base_per_mtok,
            completion_price_base_per_mtok=facts.completion_price_base_per_mtok,
            vibes_per_usd=facts.vibes_per_usd,
            charge_base=charge_base,
            account_sequence=account.sequence + 1,
            partner_sequence=split.partner_sequence,
            account_total_base=account.spent_base + charge_base,
            partner_total_base=split.partner_total_base,
            previous_receipt=account.last_receipt,
            time=facts.time_s,
            prompt_hash=facts.prompt_hash,
        )
        digest = receipt.digest(self.signer.domain)
        signed = SignedReceipt(receipt, sign_digest(digest, self.signer.private_key))
        self._record(group, entry, charge_base, (*_of_receipt(receipt), signed.signature))
        payer = (post.user(entry.account_idx), -charge_base)
        group.post(entry, charge_base, terms, shares, (payer, *split.legs))
        account.sequence, account.last_receipt = receipt.account_sequence, digest
        return signed

    def _record(self, group: Group, entry: CallEntry, charge_base: int, receipt: Values) -> None:
        facts = self.facts
        group.record_call(
            entry,
            (
                entry.number,
                entry.account_idx,
                self.terms.partner_id,
                charge_base,
                facts.actual_base - charge_base,
                *_of_facts(facts),
                *receipt,
            ),
        )
        group.record_attempts(entry, facts.attempts)

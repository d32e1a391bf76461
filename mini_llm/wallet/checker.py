"""Checks what a router charges: each receipt by itself, and all of them together as a chain.

What cannot be known here is how a provider's tokenizer counts, so token counts are compared with a count of
one's own and a tolerance; thoughts that a model does not show are believed as the answer tells of them.

Source: docs/protocol.md (receipts).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from mini_llm.price import TOKENS_PER_PRICE
from mini_llm.request import Need, Request, encode
from mini_llm.surfaces import SURFACES
from mini_llm.tokens import count_tokens, counts_exactly
from mini_llm.wallet.book import MOST_BASE, Book
from mini_llm.wallet.errors import Overcharged
from mini_llm.wallet.page import Link, Page
from mini_llm.wallet.receipt import Receipt, ReceiptDomain, SignedReceipt, recover_signer
from mini_llm.wallet.router_api import Offer, RouterApi
from mini_llm.wallet.signature import InvalidSignature

RULES: Final = (
    *("receipt", "signature", "account", "call", "charge", "price"),
    *("prompt tokens", "completion tokens", "sequence", "total", "previous receipt"),
)
"""What ``Overcharged.rule`` may be."""

SLACK_TOKENS: Final = 64
"""What a chat template may add to any call."""
PART_TOKENS: Final = 16
"""What it may add to each message."""
TOOL_TOKENS: Final = 1024
"""What a provider may add to explain tools or a schema to its model."""
_STRUCTURED: Final = frozenset({Need.TOOLS, Need.JSON_SCHEMA})


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known here of an answered call.

    Attributes:
        request: as it was sent.
        offer: what the router asked for such calls, before this one.
        request_id: as the router names the call.
        charge_base: what its header says, None where there is none.
        text: what was generated, as bytes of the surface; None if it was not kept.
        text_bytes: length of the generated text.
        hidden_tokens: of those written, thought and not shown, as the answer says.
    """

    request: Request
    offer: Offer
    request_id: str | None
    charge_base: int | None
    text: bytes | None
    text_bytes: int
    hidden_tokens: int


class Checker:
    """Checks one account's receipts.

    Args:
        book: what is remembered of the account.
        api: its router.
        domain: chain and contract.
        account: its number.
        tolerance_percent: how far token counts may be above one's own.
    """

    def __init__(
        self, book: Book, api: RouterApi, domain: ReceiptDomain, account: int, tolerance_percent: int
    ) -> None:
        self._book, self._api, self._domain = book, api, domain
        self._account, self._tolerance_percent = account, tolerance_percent

    async def check(self, signed: SignedReceipt | None, seen: Seen) -> None:
        """Checks what a call was charged, and remembers its receipt.

        Raises:
            Overcharged: one of ``RULES`` is broken. The book remembers it.
        """
        try:
            if signed is None:
                if seen.charge_base != 0:
                    raise Overcharged("receipt", "missing", "there for each charge", seen.request_id)
                return
            await asyncio.to_thread(self._check, signed, seen)
        except Overcharged as error:
            self._book.stop(error)
            raise

    async def fill_gaps(self, spent_base: int | None = None) -> Page:
        """Fetches the receipts whose numbers are missing, and returns the page without a gap.

        They belong to calls that still run, were given up, or were made elsewhere; all are checked but for
        what only the caller of each can know.

        Args:
            spent_base: what the router says that was spent; None to ask for what is known to be missing.

        Raises:
            Overcharged: the router cannot show them, or what it shows does not hold.
            RouterRefused, RouterUnreachable: it does not tell.
        """
        page = self._page()
        try:
            while (upto_base := max(page.early_total_base, spent_base or 0)) > page.total_base:
                found = await self._api.receipts(page.total_base, upto_base)
                for signed in found:
                    self._pinned(signed)
                    self._book.take(self._link(signed), fetched=True)
                before, page = page, self._page()
                if page.sequence == before.sequence:
                    raise Overcharged(
                        "sequence", f"nothing to show for {before.sequence + 1}", "every number shown"
                    )
        except Overcharged as error:
            self._book.stop(error)
            raise
        return page

    async def begin(self, spent_base: int, receipts: int, signer: str | None, ceiling_base: int) -> None:
        """Opens the account's page in the book, to go on from its last receipt.

        Args:
            spent_base: what the router says that was spent until now.
            receipts: how many receipts it says there are.
            signer: whose receipts are good, None for the first one's.
            ceiling_base: highest ceiling that is known to be signed.

        Raises:
            Overcharged: the router does not show one that fits what it says was spent.
        """
        last = None
        if self._book.page() is None and (receipts or spent_base):
            found = await self._api.receipts(spent_base - 1, spent_base)
            if len(found) != 1 or found[0].receipt.account_sequence != receipts:
                raise Overcharged("receipt", "missing", f"number {receipts} with a total of {spent_base}")
            signer = self._sound(found[0], signer)
            last = self._link(found[0])
        self._book.open_page(signer, last, ceiling_base)

    def _check(self, signed: SignedReceipt, seen: Seen) -> None:
        """Arithmetic and a transaction: outside the event loop."""
        receipt, call = signed.receipt, seen.request_id
        self._pinned(signed)
        if call is None or receipt.request_id.hex() != call:
            raise Overcharged("call", receipt.request_id.hex(), call, call)
        if seen.charge_base is not None and receipt.charge_base != seen.charge_base:
            raise Overcharged("charge", receipt.charge_base, seen.charge_base, call)
        for told, offered in (
            (receipt.prompt_price_base_per_mtok, seen.offer.prompt_base_per_mtok),
            (receipt.completion_price_base_per_mtok, seen.offer.completion_base_per_mtok),
        ):
            if told > offered:
                raise Overcharged("price", told, f"at most {offered}", call)
        self._check_tokens(receipt, seen)
        self._book.take(self._link(signed))

    def _sound(self, signed: SignedReceipt, pinned: str | None) -> str:
        """Checks signature, account, that the charge follows from the rest and that there can be so much."""
        receipt, call = signed.receipt, signed.receipt.request_id.hex()
        try:
            signer = recover_signer(signed, self._domain)
        except InvalidSignature as error:
            raise Overcharged("signature", error.reason, "a valid one", call) from None
        if pinned is not None and signer.lower() != pinned.lower():
            raise Overcharged("signature", f"by {signer}", f"by {pinned}", call)
        if receipt.account != self._account:
            raise Overcharged("account", receipt.account, self._account, call)
        exact = (
            receipt.prompt_tokens * receipt.prompt_price_base_per_mtok
            + receipt.completion_tokens * receipt.completion_price_base_per_mtok
        )
        most_base = -(-exact // TOKENS_PER_PRICE)
        if receipt.charge_base > most_base:
            raise Overcharged("charge", receipt.charge_base, f"at most {most_base}", call)
        if receipt.account_total_base > MOST_BASE:
            raise Overcharged("total", receipt.account_total_base, f"at most {MOST_BASE}", call)
        if receipt.account_sequence > receipt.account_total_base:  # each receipt is of a base unit at least
            raise Overcharged("sequence", receipt.account_sequence, "at most one for each base unit", call)
        return signer

    def _pinned(self, signed: SignedReceipt) -> None:
        """The same for a receipt of an account that has a page; its first receipt pins the signer."""
        self._book.pin(self._sound(signed, self._page().signer))

    def _check_tokens(self, receipt: Receipt, seen: Seen) -> None:
        request = seen.request
        most = most_prompt_tokens(request, self._tolerance_percent)
        if most is not None and receipt.prompt_tokens > most:
            raise Overcharged("prompt tokens", receipt.prompt_tokens, f"at most {most}", seen.request_id)
        most = most_completion_tokens(seen, self._tolerance_percent)
        if receipt.completion_tokens > most:
            raise Overcharged(
                "completion tokens", receipt.completion_tokens, f"at most {most}", seen.request_id
            )

    def _link(self, signed: SignedReceipt) -> Link:
        receipt = signed.receipt
        return Link(
            receipt.account_sequence,
            receipt.account_total_base,
            receipt.charge_base,
            receipt.previous_receipt,
            receipt.digest(self._domain),
            receipt.request_id.hex(),
        )

    def _page(self) -> Page:
        page = self._book.page()
        if page is None:
            raise LookupError("the page has not begun")
        return page


def most_prompt_tokens(request: Request, tolerance_percent: int) -> int | None:
    """Most tokens that a prompt may be charged for; None where pictures, sound or files say how many.

    Without a tokenizer, and for vectors, the limit is what no byte-level tokenizer exceeds: one per byte.
    """
    if not request.text_only:
        return None
    added = SLACK_TOKENS + PART_TOKENS * request.parts
    if not counts_exactly() or request.surface == "embeddings":
        return request.size_bytes + added
    if request.needs & _STRUCTURED:
        return _with(
            count_tokens([encode(dict(request.fields)).decode()], request.model), tolerance_percent
        ) + (added + TOOL_TOKENS)
    own = count_tokens(SURFACES[request.surface].counted_texts(request), request.model)
    return _with(own, tolerance_percent) + added


def most_completion_tokens(seen: Seen, tolerance_percent: int) -> int:
    """Most tokens that an answer may be charged for: its text, the thoughts that it tells of, and its cap."""
    request = seen.request
    if not counts_exactly() or seen.text is None:
        shown = seen.text_bytes
    else:
        shown = count_tokens([SURFACES[request.surface].answer_text(seen.text)], request.model)
    most = _with(shown, tolerance_percent) + seen.hidden_tokens + SLACK_TOKENS * request.choices
    cap = request.output_cap
    return most if cap is None else min(most, cap * request.choices)


def _with(tokens: int, tolerance_percent: int) -> int:
    return tokens + -(-tokens * tolerance_percent // 100)

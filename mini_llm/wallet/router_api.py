"""What a wallet asks its router beside calls: the account, quotes, receipts, and to keep a ceiling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from mini_llm.errors import ProviderError, UpstreamRefused
from mini_llm.providers.wire import Endpoint
from mini_llm.request import Request, encode
from mini_llm.transport import Timeouts, Transport
from mini_llm.wallet.ceiling import MalformedCeiling, SignedCeiling
from mini_llm.wallet.errors import RouterRefused, RouterUnreachable
from mini_llm.wallet.receipt import InvalidReceipt, SignedReceipt

TIMEOUTS: Final = Timeouts(connect_s=5.0, first_byte_s=15.0, idle_s=15.0, total_s=30.0)


@dataclass(frozen=True, slots=True)
class Standing:
    """The account as the router tells it, base units; ``signed`` is the ceiling in force as signed."""

    idx: int
    balance_base: int
    cancelling_base: int
    spent_base: int
    reserved_base: int
    withdraw_requested_base: int
    ceiling_base: int
    receipts: int
    signed: SignedCeiling | None


@dataclass(frozen=True, slots=True)
class Offer:
    """What a model costs at most, base units per million tokens, and how much it writes if not told."""

    prompt_base_per_mtok: int
    completion_base_per_mtok: int
    most_output_tokens: int


class RouterApi:
    """One router.

    Args:
        name: the provider's name in errors.
        base_url: ends in ``/v1``.
        headers: the key.
        http: stays its maker's to close.
    """

    def __init__(self, name: str, base_url: str, headers: Mapping[str, str], http: Transport) -> None:
        self._base = base_url
        self._endpoint = Endpoint(name, http, headers, TIMEOUTS)

    async def standing(self) -> Standing:
        """The account.

        Raises:
            RouterRefused, RouterUnreachable: it does not tell.
        """
        told = await self._ask("/account")
        try:
            signed = told["signed_ceiling"]
            return Standing(
                idx=int(told["account"]),
                balance_base=int(told["balance_base"]),
                cancelling_base=int(told["cancelling_base"]),
                spent_base=int(told["spent_base"]),
                reserved_base=int(told["reserved_base"]),
                withdraw_requested_base=int(told["withdraw_requested_base"]),
                ceiling_base=int(told["ceiling_base"]),
                receipts=int(told["receipts"]),
                signed=None if signed is None else SignedCeiling.from_json(encode(signed)),
            )
        except (KeyError, TypeError, ValueError, MalformedCeiling):
            raise RouterUnreachable("an account that cannot be read") from None

    async def receipts(self, after_base: int, upto_base: int) -> list[SignedReceipt]:
        """Receipts with a running total in (after, upto], in order; perhaps not all of them.

        Raises:
            RouterRefused, RouterUnreachable: it does not tell.
        """
        query = urlencode({"after_base": after_base, "upto_base": upto_base})
        told = await self._ask(f"/receipts?{query}")
        try:
            found = [SignedReceipt.from_json(one) for one in told["data"]]
        except (KeyError, TypeError, InvalidReceipt):
            raise RouterUnreachable("receipts that cannot be read") from None
        if not all(after_base < one.receipt.account_total_base <= upto_base for one in found):
            raise RouterUnreachable("receipts that were not asked for")  # else there could be no end of them
        return found

    async def receipt(self, request_id: str) -> SignedReceipt | None:
        """The receipt of a call, None if it has none.

        Raises:
            RouterRefused, RouterUnreachable: it does not tell.
        """
        try:
            return SignedReceipt.from_json(await self._ask(f"/receipts/{request_id}"))
        except RouterRefused as error:
            if error.status == 404:
                return None
            raise
        except InvalidReceipt:
            raise RouterUnreachable("a receipt that cannot be read") from None

    async def offer(self, request: Request, model: str) -> Offer:
        """What the router would charge for the tokens of such a request to ``model``.

        Raises:
            RouterRefused, RouterUnreachable: it does not tell.
        """
        body = {"surface": request.surface, "request": dict(request.fields) | {"model": model}}
        told = await self._ask("/quote", encode(body))
        try:
            offers = [(one["price"], one) for one in told["deployments"]]
            prompts = [_dearest(price, _PROMPTS) for price, _ in offers]
            completions = [_dearest(price, _COMPLETIONS) for price, _ in offers]
            most = max(int(one["most_completion_tokens"]) for _, one in offers) // request.choices
            return Offer(max(prompts), max(completions), most)
        except (AttributeError, KeyError, TypeError, ValueError):
            raise RouterUnreachable("a quote that cannot be read") from None

    async def keep_ceiling(self, signed: SignedCeiling) -> None:
        """Gives the router a ceiling.

        Raises:
            RouterRefused, RouterUnreachable: it has not taken it.
        """
        await self._ask("/account/ceiling", signed.to_json().encode())

    async def _ask(self, path: str, body: bytes | None = None) -> Any:
        url = self._base + path
        try:
            asking = self._endpoint.get_json(url) if body is None else self._endpoint.post_json(url, body)
            return await asking or {}
        except UpstreamRefused as error:
            raise RouterRefused(error.status, error.code or "refused", error.detail) from error
        except ProviderError as error:
            raise RouterUnreachable(type(error).__name__) from error


_PROMPTS: Final = (
    *("prompt_base_per_mtok", "cached_base_per_mtok", "cache_write_base_per_mtok"),
    *("cache_write_1h_base_per_mtok", "audio_prompt_base_per_mtok"),
)
_COMPLETIONS: Final = (
    *("completion_base_per_mtok", "reasoning_base_per_mtok", "audio_completion_base_per_mtok"),
)


def _dearest(price: Mapping[str, str | None], names: tuple[str, ...]) -> int:
    return max(int(price.get(name) or 0) for name in names)

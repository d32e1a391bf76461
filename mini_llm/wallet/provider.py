"""The wallet as a provider: a router that is paid, or another address that takes a key."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mini_llm.answer import Billed, Completion, StreamEvent
from mini_llm.deployment import Deployment
from mini_llm.errors import AnswerLost, UpstreamProtocolError, UpstreamRefused, UpstreamUnreachable
from mini_llm.price import Usage
from mini_llm.providers import dialects
from mini_llm.providers.base import Provider, UpstreamStream
from mini_llm.providers.openai import EMBEDDING_PATHS, SERVED_PATHS, OpenAIProvider
from mini_llm.providers.wire import (
    MAX_ANSWER_BYTES,
    TRANSPORT_FAILURES,
    Endpoint,
    WireStream,
    provider_failure,
)
from mini_llm.request import Request
from mini_llm.surfaces import SURFACES
from mini_llm.transport import Timeouts, Transport, UpstreamResponse
from mini_llm.userfile import user_folder
from mini_llm.wallet.config import WalletConfig
from mini_llm.wallet.errors import WalletNotSetUp
from mini_llm.wallet.told import (
    CHARGE_HEADER,
    RECEIPT_COMMENT,
    RECEIPT_HEADER,
    REQUEST_ID_HEADER,
    read_billed,
    split_receipt,
)

if TYPE_CHECKING:  # who checks no receipts needs no cryptography
    from mini_llm.wallet.guard import Entry, Guard

NAME: Final = "wallet"
KEPT_BYTES: Final = 2**20
"""Most bytes of a stream that are kept for counting its tokens; of a longer one the bytes are counted."""
TRIES: Final = 5
"""A ceiling that was raised for a call may be used up by another program's before the call comes again."""
_NO_MONEY: Final = (402, "insufficient_funds")
_NOT_SENT: Final = frozenset({"ConnectError", "no connection in time", "UnsupportedProtocol"})
"""Reasons for which a call cannot have reached the router."""
_SERVER_ERROR: Final = 500


def make_wallet_provider(config: WalletConfig, http: Transport, folder: Path | None = None) -> Provider:
    """Makes the provider of a wallet; ``http`` stays the caller's to close.

    Args:
        config: the wallet's.
        http: what to speak HTTP through.
        folder: where the wallet remembers receipts and limits; the user's own if left out.

    Raises:
        WalletNotSetUp: no endpoint, or receipts are to be checked and the contract is not known.
        WrongSessionKey: the session key is none.
    """
    if config.base_url is None:
        raise WalletNotSetUp("wallet.endpoint", "run mini-llm login --url https://…")
    headers = {}
    if config.api_key is not None:
        headers["authorization"] = f"Bearer {config.api_key.get_secret_value()}"
    if config.type != "vibes" and not config.receipts_required:
        return OpenAIProvider(
            NAME, config.base_url, http, headers=headers, paths=EMBEDDING_PATHS, dialect=dialects.OTHER
        )
    guard = None
    if config.receipts_required:
        guard = _make_guard(config, headers, http, folder or user_folder(os.environ) or Path.cwd())
    return WalletProvider(config.base_url, http, headers, guard)


def _make_guard(config: WalletConfig, headers: dict[str, str], http: Transport, folder: Path) -> Guard:
    try:
        from mini_llm.wallet.guard import Guard
        from mini_llm.wallet.router_api import RouterApi
    except ImportError:
        raise WalletNotSetUp("the extra 'wallet'", "pip install 'mini-llm[wallet]'") from None
    return Guard(config, RouterApi(NAME, str(config.base_url), headers, http), folder)


class WalletProvider(OpenAIProvider):
    """A router of this protocol.

    Args:
        base_url: ends in ``/v1``.
        http: stays its maker's to close.
        headers: the key.
        guard: signs ceilings and checks receipts; None to believe the router.
    """

    def __init__(self, base_url: str, http: Transport, headers: dict[str, str], guard: Guard | None) -> None:
        super().__init__(NAME, base_url, http, headers=headers, paths=SERVED_PATHS, dialect=dialects.ROUTER)
        self._guard = guard
        self._wire = Endpoint(NAME, http, headers, Timeouts(), asks_again=False)  # nothing is paid twice

    async def complete(self, request: Request, deployment: Deployment) -> Completion:
        """See ``Provider.complete``; ``billed`` is what the router charged, checked if there is a guard.

        Raises:
            ProviderError: there is no answer.
            WalletError: it may not be paid, or the router charged what it must not.
        """
        entry = await self._enter(request, deployment)
        try:
            response = await self._send(request, deployment, entry)
            body = await _read(response)
            surface = SURFACES[request.surface]
            completion = surface.read_answer(self.name, body)
            billed = read_billed(response.header(CHARGE_HEADER), response.header(RECEIPT_HEADER))
            if self._guard is not None and entry is not None:
                text_bytes = len(surface.answer_text(body).encode("utf-8", "surrogatepass"))
                await self._check(request, entry, response, billed, body, text_bytes, completion.usage)
            upstream_id = response.header(REQUEST_ID_HEADER)
            return completion._replace(upstream_id=upstream_id, billed=billed)
        finally:
            self._leave(entry)

    async def open_stream(self, request: Request, deployment: Deployment) -> UpstreamStream:
        """See ``Provider.open_stream``; the receipt is checked before the stream's last events are given."""
        entry = await self._enter(request, deployment)
        try:
            response = await self._send(request, deployment, entry)
            if not (response.header("content-type") or "").startswith("text/event-stream"):
                await response.aclose()
                raise UpstreamProtocolError(self.name, "a stream was asked for and something else came")
        except BaseException:
            self._leave(entry)
            raise

        async def settle(stream: WalletStream) -> Billed | None:
            billed = read_billed(None, stream.receipt)
            if self._guard is not None and entry is not None:
                if billed is None and stream.upstream_id is not None:  # free, or its comment was lost
                    signed = await self._guard.receipt(stream.upstream_id)
                    billed = Billed(0 if signed is None else signed.receipt.charge_base, signed)
                text = bytes(stream.kept) if stream.whole else None
                await self._check(request, entry, response, billed, text, stream.text_bytes, stream.usage)
            return billed

        upstream_id = response.header(REQUEST_ID_HEADER)
        inner = WireStream(self.name, response, self._reader(request.surface), upstream_id)
        return WalletStream(inner, request.choices, settle, lambda: self._leave(entry))

    async def aclose(self) -> None:
        """Waits for what goes on beside calls, and closes the wallet's book."""
        if self._guard is not None:
            await self._guard.aclose()

    async def _enter(self, request: Request, deployment: Deployment) -> Entry | None:
        return None if self._guard is None else await self._guard.enter(request, deployment)

    def _leave(self, entry: Entry | None) -> None:
        if self._guard is not None and entry is not None:
            self._guard.leave(entry)

    async def _send(self, request: Request, deployment: Deployment, entry: Entry | None) -> UpstreamResponse:
        url, body = self._call(request, deployment)
        for tries_left in reversed(range(TRIES)):
            try:
                with _losses():
                    return await self._wire.send("POST", url, body, deployment.timeouts, request.headers)
            except UpstreamRefused as error:
                if error.status >= _SERVER_ERROR and error.code is None:  # of a proxy before the router
                    raise AnswerLost(self.name, f"status {error.status}") from error
                if (error.status, error.code) != _NO_MONEY or self._guard is None or entry is None:
                    raise
                if not tries_left or not await self._guard.make_room(entry):
                    raise
        raise RuntimeError("the last try returns or raises")

    async def _check(
        self,
        request: Request,
        entry: Entry,
        response: UpstreamResponse,
        billed: Billed | None,
        text: bytes | None,
        text_bytes: int,
        usage: Usage | None,
    ) -> None:
        from mini_llm.wallet.checker import Seen

        if self._guard is not None:
            hidden = usage.reasoning_tokens if usage is not None else 0
            seen = Seen(
                request=request,
                offer=entry.offer,
                request_id=response.header(REQUEST_ID_HEADER),
                charge_base=0 if billed is None else billed.charge_base,
                text=text,
                text_bytes=text_bytes,
                hidden_tokens=hidden,
            )
            await self._guard.check(billed.receipt if billed else None, seen)


class WalletStream(UpstreamStream):
    """A router's stream: its receipt comes after the last text, so what follows that waits for the check.

    Attributes:
        receipt: as it came, None until then.
        kept: the events, as far as there is room.
        whole: all of them were kept.
        text_bytes: length of the text in them.
        usage: as the stream tells it.
    """

    def __init__(
        self,
        inner: WireStream,
        choices: int,
        settle: Callable[[WalletStream], Awaitable[Billed | None]],
        leave: Callable[[], None],
    ) -> None:
        self._inner, self._settle, self._leave = inner, settle, leave
        self.upstream_id = inner.upstream_id
        self.receipt: str | None = None
        self.kept, self.whole, self.text_bytes = bytearray(), True, 0
        self.usage: Usage | None = None
        self._held: list[StreamEvent] = []
        self._open_choices, self._settled, self._left = choices, False, False

    async def next_batch(self) -> list[StreamEvent]:
        """See ``UpstreamStream.next_batch``.

        Raises:
            Overcharged: after the text, instead of the end.
        """
        while events := await self._next():
            passed: list[StreamEvent] = []
            for event in events:
                if event.raw.startswith(RECEIPT_COMMENT):
                    self.receipt, rest = split_receipt(event.raw)
                    event = replace(event, raw=rest)
                self._note(event)
                (self._held if self._open_choices <= 0 or event.done else passed).append(event)
            if passed:
                return passed
        if not self._settled:
            self._settled = True
            self.billed = await self._settle(self)
        held, self._held = self._held, []
        return held

    async def _next(self) -> list[StreamEvent]:
        with _losses():
            return await self._inner.next_batch()

    async def aclose(self) -> None:
        """See ``UpstreamStream.aclose``."""
        try:
            await self._inner.aclose()
        finally:
            if not self._left:
                self._left = True
                self._leave()

    def _note(self, event: StreamEvent) -> None:
        self.text_bytes += event.text_bytes
        self.usage = event.usage or self.usage
        self._open_choices -= event.finished
        self.whole = self.whole and len(self.kept) + len(event.raw) <= KEPT_BYTES
        if self.whole:
            self.kept += event.raw


async def _read(response: UpstreamResponse) -> bytes:
    try:
        with _losses():
            try:
                return await response.read(MAX_ANSWER_BYTES)
            except TRANSPORT_FAILURES as error:
                raise provider_failure(NAME, error) from error
    finally:
        await response.aclose()


@contextmanager
def _losses() -> Iterator[None]:
    """Tells a connection that broke when the router may have charged for the call from one that never was."""
    try:
        yield
    except UpstreamUnreachable as error:
        if error.reason in _NOT_SENT:
            raise
        raise AnswerLost(error.provider, error.reason) from error

"""The path of a call, on one screen."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

from mini_llm.chat import ChatRequest
from mini_llm.providers.registry import Catalog
from router.auth import ApiKeys
from router.billing import Billing
from router.errors import AnswerGone
from router.ledger.reservations import Replay
from router.metering import completion_usage, quote_call
from router.receipts import REPLAY_HEADER, answer_headers, stream_end
from router.streaming import EVENT_STREAM, LiveAnswer, open_unless_gone

JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class IncomingCall:
    """What the HTTP surface hands over.

    Attributes:
        endpoint: path that was called; idempotency keys are told apart by it.
        authorization: the header of that name.
        client_key: the Idempotency-Key header.
        read_body: reads the body, which happens only for a known API key.
        hung_up: returns when the client is gone. Asked of streams only: a whole answer is made to its end and
            paid for, whoever still listens.
    """

    endpoint: str
    authorization: str | None
    client_key: str | None
    read_body: Callable[[], Awaitable[bytes]]
    hung_up: Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer with the headers that say what it cost."""

    body: bytes
    content_type: str
    headers: dict[str, str]


class Gateway:
    """Serves paid calls from a catalogue of models and a ledger."""

    def __init__(self, api_keys: ApiKeys, catalog: Catalog, billing: Billing) -> None:
        self._api_keys, self._catalog, self._billing = api_keys, catalog, billing

    async def serve(self, call: IncomingCall) -> Answer | LiveAnswer:
        """authenticate → quote → reserve → provider → meter → post → receipt.

        The provider is called between two short writes of the ledger, never inside one.

        Raises:
            GatewayError: the call is refused before it costs anything.
            MiniLLMError: malformed request, unknown model, or failed provider; nothing is charged.
            LedgerError: the account cannot pay, or the idempotency key is taken.
        """
        account_idx = await self._api_keys.account(call.authorization)
        body = await call.read_body()
        request = ChatRequest.parse(body)
        deployment, provider = await self._catalog.find(request.model)
        quote = quote_call(request, deployment)

        ticket = await self._billing.reserve(
            account_idx, call.endpoint, call.client_key, body, request, deployment, quote
        )
        if isinstance(ticket, Replay):
            return replayed(ticket)
        try:
            if request.stream:
                upstream = await open_unless_gone(call.hung_up, provider.open_stream(request, deployment))
                return LiveAnswer(ticket, upstream, self._billing)
            completion = await provider.complete(request, deployment)
        except BaseException as error:  # a cancelled call too: nothing was delivered, nothing is charged
            await self._billing.release(ticket, error)
            raise

        usage = completion_usage(request, completion)
        charged = await self._billing.charge(ticket, usage, completion.body, JSON)
        headers = answer_headers(ticket.request_id, charged.charge_base, charged.receipt)
        return Answer(completion.body, JSON, headers)

    async def account(self, authorization: str | None) -> int:
        """The account that an Authorization header speaks for, for what is not a call.

        Raises:
            UnknownApiKey: for nobody.
        """
        return await self._api_keys.account(authorization)


def replayed(earlier: Replay) -> Answer:
    """The answer that was given to the same idempotency key before, with the same receipt.

    Raises:
        AnswerGone: it was charged, but its answer is no longer kept.
    """
    if earlier.answer is None:
        raise AnswerGone(earlier.entry_id)
    body = earlier.answer.body
    if earlier.answer.content_type == EVENT_STREAM:
        body += stream_end(earlier.receipt)
    headers = answer_headers(earlier.entry_id, earlier.charge_base, earlier.receipt)
    return Answer(body, earlier.answer.content_type, headers | {REPLAY_HEADER: "true"})

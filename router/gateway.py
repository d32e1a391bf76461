"""The path of a call, on one screen."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from mini_llm.errors import MiniLLMError
from mini_llm.metering import completion_usage
from mini_llm.request import Request
from mini_llm.routing.plan import Attempt, Begun, Plan
from mini_llm.routing.routes import Routes
from mini_llm.surfaces.base import Surface
from mini_llm.wallet.limits import BPS
from router.auth import Doors, Header
from router.billing import Billing, Ticket
from router.choosing import affordable, cheaper, no_dearer, plan_call
from router.errors import AccountCannotPay, AnswerGone, ClientGone, StaleRate
from router.learning import Mirror
from router.ledger.errors import AccountInDeficit, BudgetExceeded, InsufficientFunds
from router.ledger.grants import Scope
from router.ledger.reservations import Replay
from router.metering import quote_call, wasted_usage
from router.observe.record import current
from router.pacing import Paced
from router.passing import passed_on
from router.people.byok import blame_own_key
from router.people.callers import Principal
from router.people.limits import Passage, prompt_estimate
from router.receipts import REPLAY_HEADER, answer_headers, ended, route_headers
from router.scoring.scorer import Scorer
from router.streaming import EVENT_STREAM, Client, LiveAnswer, charge_left
from router.x402.errors import PaidCallFailed, PaymentRequired
from router.x402.purchase import PAYMENT_HEADER, Purchase

if TYPE_CHECKING:  # a router that takes no payments does not load what taking them needs
    from router.x402.till import Till

JSON: Final = "application/json"
SCOPES: Final = {"embeddings": Scope.EMBEDDINGS}
"""The scope that a surface needs, if not that of generating."""
CREDENTIALS: Final = ("authorization", "x-api-key", "x-goog-api-key")
NO_CREDENTIALS: Final = frozenset((None, "", "x402", "Bearer x402"))
"""What these headers hold in a call that a payment pays for; official clients cannot leave them out."""


class IncomingCall(NamedTuple):
    """What the HTTP endpoint hands over.

    Attributes:
        surface: the wire format of the call.
        endpoint: path that was called; idempotency keys are told apart by it.
        header: looks up a request header by its lower-case name.
        read_body: reads the body, which happens only for a known caller.
        hung_up: returns when the client is gone. Asked of streams only: a whole answer is made to its end and
            paid for, whoever still listens.
        model: the model, where the path names it.
        stream: whether to stream, where the path says so.
        address: where the call came from.
    """

    surface: Surface
    endpoint: str
    header: Callable[[str], str | None]
    read_body: Callable[[], Awaitable[bytes]]
    hung_up: Callable[[], Coroutine[Any, Any, None]]
    model: str | None = None
    stream: bool | None = None
    address: str = ""


class Answer(NamedTuple):
    """A whole answer with the headers that say what it cost."""

    body: bytes
    content_type: str
    headers: dict[str, str]


class Gateway:
    """Serves paid calls from routes and a ledger."""

    def __init__(
        self,
        doors: Doors,
        routes: Routes,
        billing: Billing,
        till: Till | None = None,
        scorer: Scorer | None = None,
        mirror: Mirror | None = None,
    ) -> None:
        self._doors, self._routes, self._billing, self._till = doors, routes, billing, till
        self._scorer, self._mirror = scorer, mirror

    async def serve(self, call: IncomingCall) -> Answer | LiveAnswer:
        """authenticate → plan → quote → reserve → provider → meter → post → receipt.

        The provider is called between two short writes of the ledger, never inside one.

        Raises:
            GatewayError: the call is refused before it costs anything.
            MiniLLMError: malformed request, unknown model, or failed providers; nothing is charged.
            LedgerError: the account cannot pay, or the idempotency key is taken.
        """
        current().surface = call.surface.name
        if self._till is not None and _anonymous(call):
            principal = self._till.principal
        else:
            principal = await self._doors.admit(call.header, SCOPES.get(call.surface.name, Scope.CHAT))
        passage = self._doors.enter(principal)
        try:
            answer = await self._serve(call, principal, passage)
        except BaseException:
            passage.leave()
            raise
        if isinstance(answer, Answer):  # a stream leaves when it is settled
            passage.leave()
        return answer

    async def _serve(self, call: IncomingCall, principal: Principal, passage: Passage) -> Answer | LiveAnswer:
        body = await call.read_body()
        request = call.surface.parse(body, call.model, call.stream)
        passage.count(prompt_estimate(request))
        till = self._till if self._till is not None and principal is self._till.principal else None
        # who pays before the call is asked for the price of one model, and must meet that one again
        open_model = till is None and self._routes.chooses(request.model)
        paced = await self._billing.pacing.of(principal) if open_model else None
        purse = None if paced is None else paced.purse
        try:
            self._billing.offers.require_rate()
            plan = await plan_call(
                self._doors, self._routes, principal, request, call.header, lots=till is None, purse=purse
            )
        except (MiniLLMError, StaleRate):  # what was paid for before is told all the same
            if (earlier := await self._recall(call, principal, passage, till, body)) is None:
                raise
            return replayed(earlier, call.surface, passage.headers)
        request = passed_on(request, call.surface, call.header, plan)
        ticket, plan = await self._reserve(call, principal, passage, till, body, request, plan, paced)
        if isinstance(ticket, Replay):
            return replayed(ticket, call.surface, passage.headers)
        attempts: list[Attempt] = []
        begun: list[Begun] = []
        try:
            if request.stream:
                client = Client(call.hung_up)
                with client:
                    opened = await self._routes.open_stream(plan, call.surface, request, attempts, begun)
                return LiveAnswer(
                    ticket, call.surface, request, opened, self._billing, client, self._scorer, self._mirror
                )
            served = await self._routes.complete(plan, call.surface, request, attempts, completion_usage)
            completion, deployment = served.result, served.candidate.deployment
            usage = await completion_usage(call.surface, request, completion, deployment)
        except BaseException as error:  # a cancelled call too: nothing was delivered
            if begun and isinstance(error, ClientGone):
                await charge_left(self._billing, ticket, call.surface, request, begun[0], attempts)
                raise
            wasted = wasted_usage(request, plan.first, error)
            await self._billing.release(ticket, error, tuple(attempts), wasted)
            if till is not None and isinstance(error, Exception):
                raise PaidCallFailed(error, passage.headers) from error
            blame_own_key(plan, error)
            raise

        charged = await self._billing.charge(
            ticket, deployment, usage, completion.body, JSON, served.attempts
        )
        if self._scorer is not None and charged.receipt is not None:
            self._scorer.offer(ticket.request_id, call.surface, request, completion.body)
        if self._mirror is not None:
            self._mirror.offer(
                ticket.request_id, ticket.account_idx, call.surface, request, completion.body, served
            )
        headers = answer_headers(ticket.request_id, charged.charge_base, charged.receipt)
        return Answer(completion.body, JSON, headers | passage.headers | route_headers(served))

    async def _reserve(
        self,
        call: IncomingCall,
        principal: Principal,
        passage: Passage,
        till: Till | None,
        body: bytes,
        request: Request,
        plan: Plan,
        paced: Paced | None,
    ) -> tuple[Ticket | Replay, Plan]:
        """Reserves the most that the call can cost, and says who may serve it at that."""
        record = current()
        record.model, record.stream = plan.first.model, request.stream
        if till is not None:
            return await _reserve_paid(till, call, passage, body, request, no_dearer(plan, request))
        client_key = call.header("idempotency-key")
        if plan.first.own_key:
            paced = None  # its provider's bill is no money of a budget
        elif paced is not None and plan.decision is not None:
            paced = paced.decided(plan.decision)
        while True:
            quote = quote_call(request, plan.deployments)
            try:
                ticket = await self._billing.reserve(
                    principal, passage, call.endpoint, client_key, body, quote, paced
                )
            except (InsufficientFunds, BudgetExceeded) as error:
                if (fewer := cheaper(plan, request)) is None:
                    if isinstance(error, InsufficientFunds) and not principal.sees_account:
                        raise AccountCannotPay(error.needed_base) from error
                    raise
                plan = fewer
                record.model = plan.first.model
            except AccountInDeficit as error:
                if principal.sees_account:
                    raise
                raise AccountCannotPay(None) from error
            else:
                return ticket, plan

    async def _recall(
        self, call: IncomingCall, principal: Principal, passage: Passage, till: Till | None, body: bytes
    ) -> Replay | None:
        """The answer given to the same idempotency key, or payment, before."""
        if till is not None:
            return await till.recall(passage, call.endpoint, body, call.header(PAYMENT_HEADER))
        if (client_key := call.header("idempotency-key")) is None:
            return None
        return await self._billing.recall(principal.account_idx, call.endpoint, client_key, body)

    async def principal(self, header: Header, scope: str) -> Principal:
        """Who a request's credential speaks for, for what is not a call.

        Raises:
            UnknownApiKey: nobody.
            ScopeMissing: it may not be used for this.
        """
        return await self._doors.admit(header, scope)


async def _reserve_paid(
    till: Till, call: IncomingCall, passage: Passage, body: bytes, request: Request, plan: Plan
) -> tuple[Ticket | Replay, Plan]:
    """Reserves what a payment pays for: a model that was left open is none that costs more than was paid."""
    while True:
        quote = quote_call(request, plan.deployments)
        left_open = plan.decision is not None
        host, address = call.header("host"), call.address
        purchase = Purchase(call.endpoint, host, request.model, body, quote, address, left_open)
        try:
            paid = await till.reserve(passage, purchase, call.header(PAYMENT_HEADER))
        except PaymentRequired as error:
            if error.paid_base is None:
                raise
            fewer = affordable(plan, request, error.paid_base, BPS)
            if fewer is plan:
                raise
            plan = fewer
        else:
            return paid, plan


def _anonymous(call: IncomingCall) -> bool:
    return all(call.header(name) in NO_CREDENTIALS for name in CREDENTIALS)


def replayed(earlier: Replay, surface: Surface, told: dict[str, str]) -> Answer:
    """The answer that was given to the same idempotency key before, with the same receipt.

    Raises:
        AnswerGone: it was charged, but its answer is no longer kept.
    """
    if earlier.answer is None:
        raise AnswerGone(earlier.entry_id)
    body = earlier.answer.body
    if earlier.answer.content_type == EVENT_STREAM:
        body = ended(surface, body, earlier.receipt)
    headers = answer_headers(earlier.entry_id, earlier.charge_base, earlier.receipt)
    return Answer(body, earlier.answer.content_type, headers | told | {REPLAY_HEADER: "true"})

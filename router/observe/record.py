"""What is known of one request while it is served.

The front makes the record and puts it into a context variable, so that the floors below (billing, transport)
write to it and read the ids to pass on without each function in between naming it.
"""

from __future__ import annotations

import re
import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from mini_llm.deployment import Deployment
from mini_llm.price import Usage
from mini_llm.routing.plan import Attempt
from mini_llm.routing.run import STOPPED
from router.entropy import random_bytes

REQUEST_ID: Final = "x-request-id"
TRACEPARENT: Final = "traceparent"
OTHER: Final = "other"
RELEASED: Final = {
    "ClientGone": "client_closed",
    "CancelledError": "cut_off",
    "UpstreamTimeout": "upstream_timeout",
    "UpstreamUnreachable": "upstream_unreachable",
}
"""How a stream ended that nobody paid for, by the error's name; any other is a provider that failed. If no
answer had begun, the error's code is the outcome, which is known a moment later."""
_WELL_FORMED: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_TRACEPARENT: Final = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class Try(NamedTuple):
    """One deployment that was asked, from and to `time.perf_counter_ns`.

    Attributes:
        deployment: who was asked.
        outcome: "ok", "Hedged" if another was faster, else the name of the error's type.
        began_ns, ended_ns: when; of a stream, until its first content.
    """

    deployment: Deployment
    outcome: str
    began_ns: int
    ended_ns: int


@dataclass(slots=True)
class CallRecord:
    """A request from its first byte to the last byte of its answer.

    Attributes:
        request_id: the client's `x-request-id` if it is well formed, else a new one.
        traceparent: what the provider is told to continue, None if nobody traces.
        started_ns: `time.perf_counter_ns` when it came.
        surface: wire format that was called, empty for what is no paid call.
        status: HTTP status of the answer, 0 if none was sent.
        outcome: "ok", or the code of the error.
        account_idx, key_id: who pays, and by which API key.
        model: public name of the one that is asked first; None until it is found among those on offer: it is
            never a client's own text.
        stream: the answer is server-sent events.
        call_id: id of the ledger entry.
        usage: tokens; None if nothing was charged.
        charge_base: what the account paid, base units.
        lost_base: used and not charged, the operator's loss, base units.
        reserve_ns, charge_ns: waits for the two commits, nanoseconds.
        upstream_ns, answered_ns: when the providers were asked, and when they had answered or failed.
        failed: tries that failed, in order.
        tries: all tries with their times, if traces are on.
        deployment, provider, served: who answered, and the public name of its model.
        streaming: a streaming answer has begun.
        span: the trace span, if traces are on.
    """

    request_id: str
    traceparent: str | None = None
    started_ns: int = field(default_factory=time.perf_counter_ns)
    surface: str = ""
    status: int = 0
    outcome: str = "ok"
    account_idx: int | None = None
    key_id: str | None = None
    model: str | None = None
    stream: bool = False
    call_id: str | None = None
    usage: Usage | None = None
    charge_base: int = 0
    lost_base: int = 0
    reserve_ns: int = 0
    charge_ns: int = 0
    upstream_ns: int = 0
    answered_ns: int = 0
    failed: tuple[Attempt, ...] = ()
    tries: list[Try] = field(default_factory=list)
    deployment: str | None = None
    provider: str | None = None
    served: str | None = None
    streaming: bool = False
    span: Any = None

    def reserved(self, account_idx: int, key_id: str | None, call_id: str, wait_ns: int) -> None:
        """The quote is reserved; providers are asked next."""
        self.account_idx, self.key_id, self.call_id = account_idx, key_id, call_id
        self.reserve_ns = wait_ns
        self.upstream_ns = time.perf_counter_ns()

    def answered(self, deployment: Deployment, failed: tuple[Attempt, ...]) -> None:
        """A provider has answered; its charge is posted next."""
        self.deployment, self.provider, self.served = deployment.id, deployment.provider, deployment.model
        self.failed = failed
        self.answered_ns = time.perf_counter_ns()

    def charged(self, usage: Usage, charge_base: int, lost_base: int) -> None:
        """The charge is posted."""
        self.usage, self.charge_base, self.lost_base = usage, charge_base, lost_base
        self.charge_ns = time.perf_counter_ns() - self.answered_ns

    def released(self, reason: str, failed: tuple[Attempt, ...]) -> None:
        """Nothing is charged; `reason` is the name of an error, of which the outcome is one of few words."""
        self.outcome = RELEASED.get(reason, "upstream_failed")
        self.failed = tuple([one for one in failed if one.outcome != STOPPED])  # no provider's fault
        self.answered_ns = time.perf_counter_ns()

    def outgoing(self) -> dict[str, str]:
        """Headers that tell a provider which request this is."""
        if not self.request_id:
            return {}
        headers = {REQUEST_ID: self.request_id}
        if self.traceparent is not None:
            headers[TRACEPARENT] = self.traceparent
        return headers


_CURRENT: Final[ContextVar[CallRecord | None]] = ContextVar("call_record", default=None)
enter = _CURRENT.set
"""Makes a record the current one of this task and of the tasks that it starts."""


def current() -> CallRecord:
    """The request that the running task serves; outside of one, a record that nobody reads."""
    return _CURRENT.get() or CallRecord("")


def new_record(request_id: bytes | None, traceparent: bytes | None) -> CallRecord:
    """A record for a request with these headers, as they came."""
    name = _sound(request_id, _WELL_FORMED) if request_id else None
    return CallRecord(
        request_id=name or random_bytes(16).hex(),
        traceparent=_sound(traceparent, _TRACEPARENT) if traceparent else None,
    )


def _sound(header: bytes, form: re.Pattern[str]) -> str | None:
    """A header's text if it has this form."""
    text = header.decode("latin-1")
    return text if form.fullmatch(text) else None

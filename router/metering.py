"""How much a call may cost (the quote), how much it did use (the meter), and what its provider bills."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from mini_llm.answer import StreamEvent
from mini_llm.deployment import Deployment
from mini_llm.errors import AnswerTooLarge
from mini_llm.metering import StreamCount
from mini_llm.price import TOKENS_PER_PRICE, Price, Usage
from mini_llm.request import Request
from mini_llm.routing.plan import Attempt
from mini_llm.surfaces.base import Surface
from mini_llm.wallet.limits import BPS, MAX_AMOUNT_BASE
from router.config_money import Policy
from router.ledger.group import AttemptFacts
from router.people.limits import prompt_estimate

TEMPLATE_TOKENS: Final = 256
"""Most tokens that a chat template adds to a call: preamble, tool instructions, start of the answer."""
MESSAGE_TOKENS: Final = 16
"""Most tokens that it adds to each message: role and separators."""


class Quote(NamedTuple):
    """The most that a call can cost: what is reserved.

    Attributes:
        quote_base: at the retail price, base units.
        request: the call.
        deployments: those that may serve it.
    """

    quote_base: int
    request: Request
    deployments: tuple[Deployment, ...]

    def at(self, rate_bps: int) -> int:
        """The same at another price, in basis points of the retail price; base units."""
        return self.quote_base if rate_bps == BPS else _quote_base(self.request, self.deployments, rate_bps)


class MostUsage(NamedTuple):
    """Upper bound of a call's tokens read and written."""

    prompt_tokens: int
    completion_tokens: int


def quote_call(request: Request, deployments: Iterable[Deployment]) -> Quote:
    """Bounds a call before it is sent, whichever of the deployments serves it."""
    those = tuple(deployments)
    return Quote(_quote_base(request, those, BPS), request, those)


def most_usage(request: Request, deployment: Deployment) -> MostUsage:
    """Upper bound of a call's usage.

    The prompt has at most as many tokens as the request has bytes (a byte-level tokenizer never makes more)
    and the template adds, and at most the deployment's context; images and sound may fill the context. The
    cap sent upstream limits the completion. Without a cap (free deployments only) nothing is reserved.
    """
    prompt_tokens = deployment.context_tokens
    if request.text_only:
        written = request.size_bytes + TEMPLATE_TOKENS + MESSAGE_TOKENS * request.parts
        prompt_tokens = min(written, prompt_tokens)
    cap = deployment.output_cap(request.output_cap) or 0
    return MostUsage(prompt_tokens, cap * request.choices)


def _quote_base(request: Request, deployments: Iterable[Deployment], rate_bps: int) -> int:
    return max([_most_base(request, one, one.price.scaled(rate_bps)) for one in deployments])


def _most_base(request: Request, deployment: Deployment, price: Price) -> int:
    prompt_tokens, completion_tokens = most_usage(request, deployment)
    exact = (
        prompt_tokens * price.highest_prompt_base_per_mtok
        + completion_tokens * price.highest_completion_base_per_mtok
    )
    # A call beyond what a slot can carry is beyond every balance too, so the cut changes no decision.
    return min(-(-exact // TOKENS_PER_PRICE), MAX_AMOUNT_BASE)


class StreamMeter(StreamCount):
    """Follows a stream: what to pass on now, what to hold until the charge is committed, what was used."""

    def __init__(self, surface: Surface, request: Request, deployment: Deployment) -> None:
        super().__init__(surface, request, deployment)
        self.held = b""

    def take(self, events: Iterable[StreamEvent]) -> bytes:
        """Counts events and returns the bytes to pass on now.

        From the event that finishes the last choice on, everything is `held`: nobody has a whole answer
        before it is charged. The end mark is left out, and a usage event if the client did not ask for one.
        """
        passed: list[bytes] = []
        for event in events:
            self.count(event)
            if event.done or (event.bare_usage and not self.tells_usage(event)):
                continue
            if self._finished >= self._request.choices:
                self.held += event.raw
            else:
                passed.append(event.raw)
        return b"".join(passed)


def attempt_facts(
    attempts: Iterable[Attempt], policy: Policy, usage: Usage | None = None
) -> tuple[AttemptFacts, ...]:
    """The tries as the ledger keeps them: what they cost retail, at what the provider bills of it."""
    return tuple(
        [
            AttemptFacts(one.deployment, one.outcome, one.ms, wholesale_base(one.billed_base(usage), policy))
            for one in attempts
        ]
    )


def wasted_usage(request: Request, deployment: Deployment, error: BaseException) -> Usage:
    """What a call used at least that came to nothing: its prompt, and all it could of an answer too large."""
    cap = (deployment.output_cap(request.output_cap) or 0) if isinstance(error, AnswerTooLarge) else 0
    return Usage(prompt_estimate(request), cap * request.choices, estimated=True)


def wholesale_base(retail_base: int, policy: Policy) -> int:
    """What a provider bills for what costs so much retail."""
    return min(-(-retail_base * policy.wholesale_bps // BPS), MAX_AMOUNT_BASE)

"""How much a call may cost (the quote) and how much it did use (the meter)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from mini_llm.answer import Completion, StreamEvent
from mini_llm.deployment import Deployment
from mini_llm.price import MAX_TOKENS, TOKENS_PER_PRICE, Price, Usage
from mini_llm.request import Request
from mini_llm.surfaces.base import Surface
from mini_llm.tokens import count_tokens
from mini_llm.wallet.limits import BPS, MAX_AMOUNT_BASE

TEMPLATE_TOKENS: Final = 256
"""Most tokens that a chat template adds to a call: preamble, tool instructions, start of the answer."""
MESSAGE_TOKENS: Final = 16
"""Most tokens that it adds to each message: role and separators."""
KEPT_BYTES: Final = 2**18
"""Most bytes of a stream that are kept for counting its tokens; a longer one is reckoned from these."""


@dataclass(frozen=True, slots=True)
class Quote:
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


def quote_call(request: Request, deployments: Iterable[Deployment]) -> Quote:
    """Bounds a call before it is sent, whichever of the deployments serves it."""
    those = tuple(deployments)
    return Quote(_quote_base(request, those, BPS), request, those)


def most_usage(request: Request, deployment: Deployment) -> Usage:
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
    return Usage(prompt_tokens, cap * request.choices, estimated=True)


def _quote_base(request: Request, deployments: Iterable[Deployment], rate_bps: int) -> int:
    return max(_most_base(request, one, one.price.scaled(rate_bps)) for one in deployments)


def _most_base(request: Request, deployment: Deployment, price: Price) -> int:
    most = most_usage(request, deployment)
    exact = (
        most.prompt_tokens * price.highest_prompt_base_per_mtok
        + most.completion_tokens * price.highest_completion_base_per_mtok
    )
    # A call beyond what a slot can carry is beyond every balance too, so the cut changes no decision.
    return min(-(-exact // TOKENS_PER_PRICE), MAX_AMOUNT_BASE)


async def completion_usage(
    surface: Surface, request: Request, completion: Completion, deployment: Deployment
) -> Usage:
    """What the provider counted, else what we count of its text."""
    if completion.usage is not None:
        return completion.usage
    return await asyncio.to_thread(_counted, surface, request, deployment, completion.body)


class StreamMeter:
    """Follows a stream: what to pass on now, what to hold until the charge is committed, what was used."""

    def __init__(self, surface: Surface, request: Request, deployment: Deployment) -> None:
        self._surface, self._request, self._deployment = surface, request, deployment
        self._reported: Usage | None = None
        self._outdated = False  # more was generated since it was reported
        self._pieces = self._finished = 0
        self._kept: list[bytes] = []
        self._kept_bytes = self._seen_bytes = 0
        self._ended = False
        self.held = b""

    def take(self, events: Iterable[StreamEvent]) -> bytes:
        """Counts events and returns the bytes to pass on now.

        From the event that finishes the last choice on, everything is `held`: nobody has a whole answer
        before it is charged. The end mark is left out, and a usage event if the client did not ask for one.
        """
        passed: list[bytes] = []
        for event in events:
            if event.usage is not None:
                self._reported, self._outdated = event.usage, False
            elif event.pieces:
                self._outdated = True
            self._pieces += event.pieces
            if event.pieces:
                self._keep(event.raw)
            self._finished += event.finished
            self._ended |= event.done
            if event.done or (event.bare_usage and not self._request.wants_usage):
                continue
            if self._finished >= self._request.choices:
                self.held += event.raw
            else:
                passed.append(event.raw)
        return b"".join(passed)

    @property
    def ended(self) -> bool:
        """The end mark has come."""
        return self._ended

    @property
    def complete(self) -> bool:
        """The end mark has come, or every choice finished (some servers leave the mark out)."""
        return self._ended or self._finished >= self._request.choices

    @property
    def generated(self) -> bool:
        """Something has been generated that can be charged."""
        return self._pieces > 0 or (self._reported is not None and self._reported.completion_tokens > 0)

    async def usage(self) -> Usage:
        """Tokens until now: the provider's last count, else ours of the text.

        Text that came after the last count is not in it (a stream in Anthropic's format begins with a count,
        and ends with the next): then the completion is what we count, if that is more.
        """
        reported = self._reported
        if reported is not None and not self._outdated:
            return reported
        kept = b"".join(self._kept)
        usage = await asyncio.to_thread(_counted, self._surface, self._request, self._deployment, kept)
        written = usage.completion_tokens
        if self._seen_bytes > self._kept_bytes:
            written = min(written * self._seen_bytes // self._kept_bytes, MAX_TOKENS)
        if reported is None:
            return replace(usage, completion_tokens=written)
        return replace(reported, completion_tokens=max(written, reported.completion_tokens), estimated=True)

    def _keep(self, raw: bytes) -> None:
        self._seen_bytes += len(raw)
        if not self._kept or self._seen_bytes <= KEPT_BYTES:
            self._kept.append(raw)
            self._kept_bytes += len(raw)


def _counted(surface: Surface, request: Request, deployment: Deployment, raw: bytes) -> Usage:
    """Tokens of the prompt's and the answer's text. Roles, tools, templates and media are not counted."""
    model = deployment.upstream_model
    read = count_tokens(surface.prompt_texts(request), model)
    return Usage(read, count_tokens([surface.answer_text(raw)], model), estimated=True)

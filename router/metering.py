"""How much a call may cost (the quote) and how much it did use (the meter)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mini_llm.answer import Completion, StreamEvent
from mini_llm.deployment import Deployment
from mini_llm.price import TOKENS_PER_PRICE, Usage
from mini_llm.request import Request
from mini_llm.surfaces.base import Surface
from mini_llm.wallet.limits import MAX_AMOUNT_BASE

TEMPLATE_TOKENS: Final = 256
"""Most tokens that a chat template adds to a call: preamble, tool instructions, start of the answer."""
MESSAGE_TOKENS: Final = 16
"""Most tokens that it adds to each message: role and separators."""
BYTES_PER_TOKEN: Final = 4
"""A whole answer that no provider counted costs a token for this many bytes, about what tokenizers make."""


@dataclass(frozen=True, slots=True)
class Quote:
    """The most that a call can cost, base units: what is reserved."""

    quote_base: int


def quote_call(request: Request, deployments: Iterable[Deployment]) -> Quote:
    """Bounds a call before it is sent, whichever of the deployments serves it."""
    return Quote(max(_most_base(request, deployment) for deployment in deployments))


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


def _most_base(request: Request, deployment: Deployment) -> int:
    most, price = most_usage(request, deployment), deployment.price
    exact = (
        most.prompt_tokens * price.highest_prompt_base_per_mtok
        + most.completion_tokens * price.highest_completion_base_per_mtok
    )
    # A call beyond what a slot can carry is beyond every balance too, so the cut changes no decision.
    return min(-(-exact // TOKENS_PER_PRICE), MAX_AMOUNT_BASE)


def completion_usage(surface: Surface, request: Request, completion: Completion) -> Usage:
    """What the provider counted, else one token per `BYTES_PER_TOKEN` bytes of text."""
    if completion.usage is not None:
        return completion.usage
    return Usage(
        _prompt_floor(surface, request), -(-completion.text_bytes // BYTES_PER_TOKEN), estimated=True
    )


class StreamMeter:
    """Follows a stream: what to pass on now, what to hold until the charge is committed, what was used."""

    def __init__(self, surface: Surface, request: Request) -> None:
        self._surface, self._request = surface, request
        self._reported: Usage | None = None
        self._pieces = self._text_bytes = self._finished = 0
        self._ended = False
        self.held = b""

    def take(self, events: Iterable[StreamEvent]) -> bytes:
        """Counts events and returns the bytes to pass on now.

        From the event that finishes the last choice on, everything is `held`: nobody has a whole answer
        before it is charged. The end mark is left out, and a usage event if the client did not ask for one.
        """
        passed: list[bytes] = []
        for event in events:
            self._reported = event.usage or self._reported
            self._pieces += event.pieces
            self._text_bytes += event.text_bytes
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

    def usage(self) -> Usage:
        """Tokens until now: the provider's last count, else our own floor.

        The floor is one token for each piece of text, never more than its bytes. A count that came with an
        earlier chunk misses what came after it: the user keeps the difference.
        """
        if self._reported is not None:
            return self._reported
        return Usage(
            _prompt_floor(self._surface, self._request), min(self._pieces, self._text_bytes), estimated=True
        )


def _prompt_floor(surface: Surface, request: Request) -> int:
    """Words of the prompt's text: a token never spans two. Roles, tools and templates are not counted."""
    return sum(len(text.split()) for text in surface.prompt_texts(request))

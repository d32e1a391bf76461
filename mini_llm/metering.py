"""How many tokens a call used: what its provider counted, else what we count of its text."""

from __future__ import annotations

import asyncio
from typing import Final

from mini_llm.answer import Completion, StreamEvent
from mini_llm.deployment import Deployment
from mini_llm.price import MAX_TOKENS, Usage
from mini_llm.request import Request
from mini_llm.surfaces.base import Surface
from mini_llm.tokens import count_tokens

KEPT_BYTES: Final = 2**18
"""Most bytes of a stream that are kept for counting its tokens; a longer one is reckoned from these."""


async def completion_usage(
    surface: Surface, request: Request, completion: Completion, deployment: Deployment
) -> Usage:
    """What the provider counted, else what we count of its text; nobody writes a text of no tokens."""
    told = completion.usage
    if told is not None and not _nothing(told):
        return told
    counted = await asyncio.to_thread(_counted, surface, request, deployment, completion.body)
    return counted if told is None or counted.completion_tokens else told


class StreamCount:
    """Follows the events of a stream.

    Attributes:
        pieces: of text that have come.
        ended: the end mark has come.
    """

    def __init__(self, surface: Surface, request: Request, deployment: Deployment) -> None:
        self._surface, self._request, self._deployment = surface, request, deployment
        self._reported: Usage | None = None
        self._outdated = False  # more was generated since it was reported
        self.pieces = self._finished = 0
        self._kept: list[bytes] = []
        self._kept_bytes = self._seen_bytes = 0
        self.ended = False

    def count(self, event: StreamEvent) -> None:
        """Takes one event in."""
        if event.usage is not None:
            self._reported, self._outdated = event.usage, False
        elif event.pieces:
            self._outdated = True
        self.pieces += event.pieces
        if event.pieces:
            self._keep(event.raw)
        self._finished += event.finished
        self.ended |= event.done

    @property
    def complete(self) -> bool:
        """The end mark has come, or every choice finished (some servers leave the mark out)."""
        return self.ended or self._finished >= self._request.choices

    @property
    def generated(self) -> bool:
        """Something has been generated that can be charged."""
        return self.pieces > 0 or (self._reported is not None and self._reported.completion_tokens > 0)

    @property
    def kept(self) -> bytes:
        """The events with text that were kept, at most `KEPT_BYTES` of them."""
        return b"".join(self._kept)

    @property
    def kept_all(self) -> bool:
        """All events with text were kept."""
        return self._seen_bytes == self._kept_bytes

    async def usage(self) -> Usage:
        """Tokens until now: the provider's last count, else ours of the text.

        Text that came after the last count is not in it (a stream in Anthropic's format begins with a count,
        and ends with the next): then the completion is what we count, if that is more.
        """
        reported = self._reported
        if reported is not None and self.pieces and _nothing(reported):
            reported = None
        if reported is not None and not self._outdated:
            return reported
        usage = await asyncio.to_thread(_counted, self._surface, self._request, self._deployment, self.kept)
        written = usage.completion_tokens
        if self._seen_bytes > self._kept_bytes:
            written = min(written * self._seen_bytes // self._kept_bytes, MAX_TOKENS)
        if reported is None:
            return usage._replace(completion_tokens=written)
        return reported._replace(completion_tokens=max(written, reported.completion_tokens), estimated=True)

    def tells_usage(self, event: StreamEvent) -> bool:
        """The client asked for the usage that this event carries, and it is what will be charged."""
        believed = event.usage is not None and not (self.pieces and _nothing(event.usage))
        return believed and self._request.wants_usage

    def untold(self, usage: Usage) -> bytes:
        """The event with a usage that the provider has not told and the client asked for; else empty."""
        if not usage.estimated or not self._request.wants_usage:
            return b""
        return self._surface.usage_event(self._request, self.kept, usage)

    def _keep(self, raw: bytes) -> None:
        self._seen_bytes += len(raw)
        if not self._kept or self._seen_bytes <= KEPT_BYTES:
            self._kept.append(raw)
            self._kept_bytes += len(raw)


def _nothing(usage: Usage) -> bool:
    """It says that nothing was read and nothing written, as servers do that do not count."""
    return not usage.prompt_tokens and not usage.completion_tokens


def _counted(surface: Surface, request: Request, deployment: Deployment, raw: bytes) -> Usage:
    """Tokens of the prompt and of the answer: their texts, and tools, schemas, calls and results as JSON.

    Roles, templates and media are not counted.
    """
    model = deployment.upstream_model
    read = count_tokens(surface.counted_texts(request), model)
    return Usage(read, count_tokens([surface.answer_text(raw)], model), estimated=True)

"""Token counts that a company of OpenAI's format reports elsewhere, or counts in another way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mini_llm.answer import Completion
from mini_llm.price import Usage, part, plausible
from mini_llm.surfaces.chat import ChatReader
from mini_llm.surfaces.lenient import at
from mini_llm.surfaces.wording import json_or_none


@dataclass(frozen=True, slots=True)
class Counting:
    """Where a company's counts differ from OpenAI's ``usage`` object. Paths are dotted.

    Attributes:
        elsewhere: place of the usage object in a chunk that has no ``usage``, such as ``x_groq.usage``.
        cached: count in the usage object of prompt tokens that came from its cache.
        reasoning: count in the usage object of tokens that were thought.
        beside: counts in the usage object that are written and billed but not in ``completion_tokens``.
    """

    elsewhere: str | None = None
    cached: str | None = None
    reasoning: str | None = None
    beside: tuple[str, ...] = ()

    def read(self, body: Mapping[str, Any]) -> Usage | None:
        """The usage of an answer or chunk, None if it tells none."""
        reported = body.get("usage") or (at(body, self.elsewhere) if self.elsewhere else None)
        usage = Usage.from_openai(reported)
        if usage is None or not isinstance(reported, dict):
            return None
        beside = sum(plausible(at(reported, place)) or 0 for place in self.beside)
        return Usage.split(
            usage.prompt_tokens,
            usage.completion_tokens + beside,
            cached_tokens=usage.cached_tokens or _count(reported, self.cached),
            cache_write_tokens=usage.cache_write_tokens,
            audio_prompt_tokens=usage.audio_prompt_tokens,
            # OpenAI's own field may exceed the completion that it stands beside, so it is read again here.
            reasoning_tokens=_count(reported, self.reasoning)
            or part(reported.get("completion_tokens_details"), "reasoning_tokens"),
            audio_completion_tokens=usage.audio_completion_tokens,
        )

    def recount(self, completion: Completion) -> Completion:
        """A whole answer with its usage read this way."""
        answer = json_or_none(completion.body)
        usage = self.read(answer) if isinstance(answer, dict) else None
        return completion._replace(usage=usage)


class CountingReader(ChatReader):
    """Reads chunks whose usage is counted in a company's own way."""

    def __init__(self, provider: str, counting: Counting) -> None:
        super().__init__(provider)
        self._counting = counting

    def usage(self, chunk: Mapping[str, Any]) -> Usage | None:
        """See ``ChatReader.usage``."""
        return self._counting.read(chunk)


def _count(reported: object, path: str | None) -> int:
    return (plausible(at(reported, path)) or 0) if path else 0

"""Answers as OpenAI's clients shape them: JSON objects with attributes, read when first looked at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from mini_llm.costs import Cost
    from mini_llm.hops import Hop
    from mini_llm.replies import Answer, KeptAnswer, Stream
    from mini_llm.routing.decision import Decision
    from mini_llm.wallet.receipt import SignedReceipt

_MAY_BE_ABSENT: Final = frozenset(
    {
        *("annotations", "audio", "content", "function_call", "refusal", "role", "tool_calls"),
        *("reasoning", "reasoning_content", "logprobs", "finish_reason", "service_tier"),
        *("system_fingerprint", "usage", "prompt_tokens_details", "completion_tokens_details"),
        *("cached_tokens", "audio_tokens", "reasoning_tokens", "id", "name", "type"),
    }
)
"""Fields of OpenAI's objects that an answer may leave out; they read as None, as its clients have it."""


class Record(Mapping[str, Any]):
    """A JSON object: a mapping whose fields are attributes too. Objects inside it are records."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._fields = fields

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # looked for in what is being copied, and has no fields yet
            raise AttributeError(name)
        try:
            return _seen(self._read()[name])
        except KeyError:
            if name in _MAY_BE_ABSENT:
                return None
            raise AttributeError(f"there is no {name!r}; there is: {', '.join(self._read())}") from None

    def __getitem__(self, name: str) -> Any:
        return _seen(self._read()[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._read()!r})"

    def model_dump(self) -> dict[str, Any]:
        """The object as plain JSON values, a copy."""
        from copy import deepcopy

        return deepcopy(dict(self._read()))

    def model_dump_json(self) -> str:
        """The object as JSON text."""
        from mini_llm.request import encode

        return encode(self._read()).decode()

    def _read(self) -> Mapping[str, Any]:
        return self._fields


class Told:
    """What is told of an answer beside its fields; ``cost`` and ``receipt`` of a stream when it has ended."""

    __slots__ = ()

    _reply: Answer | KeptAnswer | Stream

    @property
    def cost(self) -> Cost | None:
        """What it cost, None if no price is known; 0 for the servers of this machine."""
        return self._reply.cost

    @property
    def hops(self) -> tuple[Hop, ...]:
        """Who was asked, in order; the last one served."""
        return self._reply.hops

    @property
    def decision(self) -> Decision | None:
        """Why this model, if the call left it open (``model="auto"``); else None."""
        return self._reply.decision

    @property
    def provider(self) -> str:
        """Who served, as configured; ``wallet`` is the wallet."""
        return self._reply.deployment.provider

    @property
    def deployment(self) -> str:
        """Id of the deployment that served."""
        return self._reply.deployment.id

    @property
    def receipt(self) -> SignedReceipt | None:
        """The wallet's receipt, None if it was not asked or nothing was charged."""
        billed = self._reply.billed
        return None if billed is None else billed.receipt


class Result(Told, Record):
    """A whole answer; its fields are those of the provider's JSON.

    Attributes:
        usage: tokens, counted here if the provider did not (``estimated`` then is true).
    """

    __slots__ = ("_parsed", "_reply")

    def __init__(self, answer: Answer | KeptAnswer) -> None:
        self._reply: Answer | KeptAnswer = answer
        self._parsed: Mapping[str, Any] | None = None

    @property
    def upstream_id(self) -> str | None:
        """The provider's id of the call, for its support."""
        return self._reply.upstream_id

    @property
    def raw(self) -> bytes:
        """The provider's JSON as it came."""
        return self._reply.body

    @property
    def text(self) -> str:
        """What the model wrote in the first choice, empty if it wrote nothing (tool calls only)."""
        from mini_llm.surfaces.wording import content_of

        return content_of(self.choices[0].message._read())

    def _read(self) -> Mapping[str, Any]:
        if self._parsed is None:
            from mini_llm.surfaces.wording import json_or_none

            fields = json_or_none(self._reply.body)
            if fields.get("usage") is None:
                fields["usage"] = usage_fields(self._reply.usage)
            self._parsed = fields
        return self._parsed


class Chunk(Record):
    """One piece of a streamed answer."""

    __slots__ = ()

    @property
    def text(self) -> str:
        """What it adds to the text of the first choice."""
        from mini_llm.surfaces.wording import content_of

        for choice in self._fields.get("choices") or ():
            if not choice.get("index"):
                return content_of(choice.get("delta") or {})
        return ""


def usage_fields(usage: Any) -> dict[str, Any]:
    """OpenAI's ``usage`` object of tokens that were counted here."""
    from mini_llm.surfaces.chat_chunks import usage_fields as told

    return {**told(usage), "estimated": usage.estimated}


def _seen(value: Any) -> Any:
    if isinstance(value, dict):
        return Record(value)
    if isinstance(value, list):
        return [_seen(item) for item in value]
    return value

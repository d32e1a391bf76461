"""The clients of apps: ``AsyncClient`` for those with an event loop, ``Client`` for those without.

Nothing heavy is imported before a client is made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, overload
from weakref import finalize

if TYPE_CHECKING:
    from mini_llm.config_sdk import Settings
    from mini_llm.engine import Engine
    from mini_llm.portal import Portal
    from mini_llm.records import Record, Result
    from mini_llm.streams import AsyncChatStream, ChatStream
    from mini_llm.transport import Transport

Messages = Sequence[Mapping[str, Any]]


class AsyncClient:
    """Asks models for answers; use it from as many tasks as you like.

    Args:
        config: a configuration file, its fields, or settings that are taken as they are; None looks for
            ``mini-llm.config.json``, the user's file and keys in the environment.
        transport: what to speak HTTP through, None for the library's own.
        fields: fields of the settings that win over all others, such as ``wallet=None``.

    Raises:
        NotSetUp: there is neither a provider nor a wallet.
        ConfigErrors: the settings are wrong, with places and lines.
    """

    def __init__(
        self,
        config: Settings | Mapping[str, Any] | str | Path | None = None,
        *,
        transport: Transport | None = None,
        **fields: Any,
    ) -> None:
        from mini_llm.engine import Engine

        self.engine: Engine = Engine(load(config, fields), transport=transport)

    @overload
    async def chat(
        self,
        text: str | None = None,
        *,
        model: str,
        messages: Messages | None = None,
        stream: Literal[False] = False,
        **fields: Any,
    ) -> Result: ...

    @overload
    async def chat(
        self,
        text: str | None = None,
        *,
        model: str,
        messages: Messages | None = None,
        stream: Literal[True],
        **fields: Any,
    ) -> AsyncChatStream: ...

    async def chat(
        self,
        text: str | None = None,
        *,
        model: str,
        messages: Messages | None = None,
        stream: bool = False,
        **fields: Any,
    ) -> Result | AsyncChatStream:
        """Asks for an answer to a text, or to messages.

        Args:
            text: what the user says, in place of ``messages`` or after them.
            model: a model, an alias, ``provider/model``, or ``auto`` to leave it to us.
            messages: as in OpenAI's API.
            stream: give the answer piece by piece.
            fields: anything else of OpenAI's chat completions, such as ``tools`` or ``temperature``.

        Raises:
            MiniLLMError: there is no answer; ``hops`` of the error tells who was asked.
        """
        from mini_llm.engine import make_request
        from mini_llm.records import Result
        from mini_llm.streams import AsyncChatStream

        request = make_request("chat", chat_fields(text, model, messages, stream, fields))
        if stream:
            return AsyncChatStream(await self.engine.open_stream(request))
        return Result(await self.engine.complete(request))

    async def embed(self, input: str | Sequence[Any], *, model: str, **fields: Any) -> Result:
        """Asks for the embeddings of a text, or of several; see ``chat``."""
        from mini_llm.engine import make_request
        from mini_llm.records import Result

        sent = {"model": model, "input": input if isinstance(input, str) else list(input), **fields}
        return Result(await self.engine.complete(make_request("embeddings", sent)))

    async def route(
        self, text: str | None = None, *, model: str = "auto", messages: Messages | None = None, **fields: Any
    ) -> Record:
        """Tells who would be asked for an answer and why, without asking; see ``chat`` for the arguments.

        Its fields: ``chosen``, ``reason``, ``candidates`` in the order of their rank, ``left_out``.

        Raises:
            MiniLLMError: nobody could be asked.
        """
        from mini_llm.engine import make_request
        from mini_llm.records import Record

        request = make_request("chat", chat_fields(text, model, messages, False, fields))
        return Record(await self.engine.explain(request))

    async def models(self) -> Record:
        """Every model that is known by now: configured ones, aliases, and what the providers list.

        Its shape is OpenAI's; providers that do not answer are left out.
        """
        from mini_llm.records import Record

        found = await self.engine.models()
        data = [{"id": name, "object": "model", "created": 0, "owned_by": by} for name, by in found.items()]
        return Record({"object": "list", "data": data})

    async def aclose(self) -> None:
        """Closes connections, and writes what the usage log still holds."""
        await self.engine.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class Client:
    """The same for apps without an event loop; use it from as many threads as you like.

    Args, Raises: see ``AsyncClient``.

    Attributes:
        asynchronous: what it runs.
        portal: the event loop that it runs on.
    """

    def __init__(
        self,
        config: Settings | Mapping[str, Any] | str | Path | None = None,
        *,
        transport: Transport | None = None,
        **fields: Any,
    ) -> None:
        self.asynchronous = AsyncClient(config, transport=transport, **fields)
        from mini_llm.portal import Portal  # after the usage log, so that at exit it ends before it

        self.portal: Portal = Portal()
        finalize(self, self.portal.close, wait=False).atexit = False  # type: ignore[misc]

    @property
    def engine(self) -> Engine:
        """What answers; it runs on the client's own event loop."""
        return self.asynchronous.engine

    @overload
    def chat(
        self,
        text: str | None = None,
        *,
        model: str,
        messages: Messages | None = None,
        stream: Literal[False] = False,
        **fields: Any,
    ) -> Result: ...

    @overload
    def chat(
        self,
        text: str | None = None,
        *,
        model: str,
        messages: Messages | None = None,
        stream: Literal[True],
        **fields: Any,
    ) -> ChatStream: ...

    def chat(
        self,
        text: str | None = None,
        *,
        model: str,
        messages: Messages | None = None,
        stream: bool = False,
        **fields: Any,
    ) -> Result | ChatStream:
        """See ``AsyncClient.chat``."""
        from mini_llm.streams import ChatStream

        if stream:
            opening = self.asynchronous.chat(text, model=model, messages=messages, stream=True, **fields)
            return ChatStream(self.portal, self.portal.run(opening))
        answer: Result = self.portal.run(
            self.asynchronous.chat(text, model=model, messages=messages, **fields)
        )
        return answer

    def embed(self, input: str | Sequence[Any], *, model: str, **fields: Any) -> Result:
        """See ``AsyncClient.embed``."""
        return self.portal.run(self.asynchronous.embed(input, model=model, **fields))

    def route(
        self, text: str | None = None, *, model: str = "auto", messages: Messages | None = None, **fields: Any
    ) -> Record:
        """See ``AsyncClient.route``."""
        return self.portal.run(self.asynchronous.route(text, model=model, messages=messages, **fields))

    def models(self) -> Record:
        """See ``AsyncClient.models``."""
        return self.portal.run(self.asynchronous.models())

    def close(self) -> None:
        """Closes connections and ends the client's thread."""
        self.portal.run(self.asynchronous.aclose())
        self.portal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def load(config: Settings | Mapping[str, Any] | str | Path | None, fields: Mapping[str, Any]) -> Settings:
    """The settings of a client's arguments.

    Raises:
        ConfigErrors: they are wrong.
    """
    from mini_llm.config_sdk import Settings
    from mini_llm.settings import read_settings

    if isinstance(config, Settings):
        return config
    if isinstance(config, Mapping):
        return read_settings({**config, **fields})
    return read_settings(fields, file=None if config is None else Path(config))


def chat_fields(
    text: str | None, model: str, messages: Messages | None, stream: bool, fields: Mapping[str, Any]
) -> dict[str, Any]:
    """The body of a chat call."""
    said = list(messages or ())
    if text is not None:
        said.append({"role": "user", "content": text})
    body = {"model": model, "messages": said, **fields}
    if stream:
        body["stream"] = True
    return body

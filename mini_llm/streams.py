"""Streamed answers as apps take them: chunks, one after the other, read as fast as they are taken."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from mini_llm.price import Usage
from mini_llm.records import Chunk, Told
from mini_llm.surfaces.wording import json_events

if TYPE_CHECKING:
    from mini_llm.portal import Portal
    from mini_llm.replies import Stream


class _Streamed(Told):
    """What a stream tells beside its chunks."""

    _reply: Stream

    @property
    def usage(self) -> Usage | None:
        """Tokens; None until the end."""
        return self._reply.usage


class AsyncChatStream(_Streamed):
    """Chunks of an answer. Leave it early with ``async with`` or ``aclose``, and the provider stops."""

    def __init__(self, stream: Stream) -> None:
        self._reply, self._pieces = stream, stream.pieces()
        self._ready: deque[Chunk] = deque()

    def __aiter__(self) -> AsyncIterator[Chunk]:
        return self

    async def __anext__(self) -> Chunk:
        if not self._ready:
            self._ready.extend(await self.batch())
        if not self._ready:
            raise StopAsyncIteration
        return self._ready.popleft()

    async def batch(self) -> list[Chunk]:
        """The chunks that come next, those together that arrived together; none at the end."""
        async for piece in self._pieces:
            if chunks := [Chunk(fields) for fields in json_events(piece)]:
                return chunks
        return []

    async def texts(self) -> AsyncIterator[str]:
        """What the chunks add to the text of the first choice."""
        async for chunk in self:
            if text := chunk.text:
                yield text

    async def aclose(self) -> None:
        """Drops the connection if the answer is not complete; a task that is reading sees the end."""
        self._ready.clear()
        await self._reply.aclose()
        with suppress(RuntimeError):  # another task is reading, and comes to the end by itself
            await self._pieces.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class ChatStream(_Streamed):
    """Chunks of an answer. Leave it early with ``with`` or ``close``, and the provider stops."""

    def __init__(self, portal: Portal, chunks: AsyncChatStream) -> None:
        self._portal, self._async = portal, chunks
        self._reply = chunks._reply
        self._ready: deque[Chunk] = deque()

    def __iter__(self) -> Iterator[Chunk]:
        return self

    def __next__(self) -> Chunk:
        # Each crossing to the loop's thread costs more than a chunk does: those that are there come together.
        if not self._ready:
            self._ready.extend(self._portal.run(self._async.batch()))
        if not self._ready:
            raise StopIteration
        return self._ready.popleft()

    def texts(self) -> Iterator[str]:
        """What the chunks add to the text of the first choice."""
        for chunk in self:
            if text := chunk.text:
                yield text

    def close(self) -> None:
        """Drops the connection if the answer is not complete; a thread that is reading sees the end."""
        self._ready.clear()
        self._portal.run(self._async.aclose())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

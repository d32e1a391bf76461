"""Asking two for one answer: the second when the first is slow. The first answer is taken."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from mini_llm.errors import MiniLLMError
from mini_llm.providers.base import UpstreamStream
from mini_llm.routing.plan import Candidate

T = TypeVar("T")


@dataclass
class Raced(Generic[T]):
    """How a race ended.

    Attributes:
        won: who answered first, and what; None if both failed.
        overtaken: who was asked and stopped, or answered too late: the operator may have to pay for it.
        failed: who failed, and how.
    """

    won: tuple[Candidate, T] | None = None
    overtaken: list[Candidate] = field(default_factory=list)
    failed: list[tuple[Candidate, MiniLLMError]] = field(default_factory=list)


async def race(
    runners: Sequence[Candidate], delay_s: float, ask: Callable[[Candidate], Awaitable[T]]
) -> Raced[T]:
    """Asks the first runner; after ``delay_s`` without an answer the second too.

    An early failure ends the race: what comes after it is for the caller to decide.
    """
    asked = {asyncio.ensure_future(ask(runners[0])): runners[0]}
    raced: Raced[T] = Raced()
    try:
        await asyncio.wait(asked, timeout=delay_s)
        if not any(task.done() for task in asked):
            asked[asyncio.ensure_future(ask(runners[1]))] = runners[1]
        waiting = set(asked)
        while waiting and raced.won is None:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                try:
                    result = task.result()
                except MiniLLMError as error:
                    raced.failed.append((asked[task], error))
                else:
                    if raced.won is None:
                        raced.won = asked[task], result
    finally:
        taken = raced.won[1] if raced.won else None
        stopping = asyncio.gather(*(_stopped(task, taken) for task in asked))
        try:
            stopped = await asyncio.shield(stopping)
        except asyncio.CancelledError:  # nobody will take what was won
            await stopping
            if isinstance(taken, UpstreamStream):
                await taken.aclose()
            raise
        raced.overtaken += [runner for runner, late in zip(asked.values(), stopped, strict=True) if late]
    return raced


async def _stopped(task: asyncio.Future[T], taken: T | None) -> bool:
    """Stops a runner, and closes the stream that it opened in the meantime; False if it won or failed."""
    task.cancel()
    (result,) = await asyncio.gather(task, return_exceptions=True)
    if result is taken or isinstance(result, MiniLLMError):
        return False
    if isinstance(result, UpstreamStream):
        await result.aclose()
    return True

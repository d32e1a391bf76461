"""`vibes-router` whose calls stop for ever at one step, so that a test can kill it there and nowhere else.

python held_router.py STEP CALLS serve …

reserved  the quote is reserved, no provider was asked
answered  the provider has answered, or begun to; nothing is charged
writing   the charges of CALLS calls are with the writer, which has written one group and not committed it
charged   the charge is committed, the answer not sent
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from typing import Any

from mini_llm.routing.routes import Routes
from router import cli
from router.billing import Billing
from router.ledger import commits
from router.ledger.charges import Charge

HELD = "held at the step\n"
Method = Callable[..., Any]


def told() -> None:
    sys.stderr.write(HELD)
    sys.stderr.flush()


def then_held(method: Method) -> Method:
    """The method, which does its work and never returns."""

    async def held(*arguments: Any) -> Any:
        await method(*arguments)
        told()
        await asyncio.Event().wait()

    return held


def together(method: Method, calls: int) -> Method:
    """The method, which begins once so many calls have reached it."""
    here, all_here = [], asyncio.Event()

    async def waits(*arguments: Any) -> Any:
        here.append(told())
        if len(here) == calls:
            all_here.set()
        await all_here.wait()
        return await method(*arguments)

    return waits


def uncommitted(write: Method) -> Method:
    """The writer's work on a group, after which it holds its transaction open if a call is charged."""

    def held(connection: Any, jobs: Any, sums: Any) -> None:
        write(connection, jobs, sums)
        if any(isinstance(job.operation, Charge) for job in jobs):
            told()
            time.sleep(600)

    return held


def hold(step: str, calls: int) -> None:
    if step == "reserved":
        Billing.reserve = then_held(Billing.reserve)
    elif step == "answered":
        Routes.complete, Routes.open_stream = then_held(Routes.complete), then_held(Routes.open_stream)
    elif step == "writing":
        Billing.charge = together(Billing.charge, calls)
        commits.run_together = uncommitted(commits.run_together)
    elif step == "charged":
        Billing.charge = then_held(Billing.charge)
    else:
        raise ValueError(step)


if __name__ == "__main__":
    hold(sys.argv.pop(1), int(sys.argv.pop(1)))
    cli.main()

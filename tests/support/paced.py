"""Workers of a router but for sockets: the real gateway over a real ledger.

The provider answers at once, with answers as long as chance has it.
"""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import event

from mini_llm.httpx_transport import HttpxTransport
from mini_llm.request import encode
from mini_llm.routing.catalog import build_catalog
from mini_llm.routing.plan import Plan
from mini_llm.routing.routes import Routes
from mini_llm.surfaces import CHAT
from mini_llm.wallet.receipt import ReceiptDomain
from router.billing import Billing
from router.config import RouterConfig, Settings
from router.db import open_database
from router.gateway import Answer, Gateway, IncomingCall
from router.ledger.errors import BudgetExceeded
from router.ledger.pacing import AutoBudget, bounds_s
from router.ledger.writer import Ledger
from router.pacing import Pacing
from router.people.callers import Principal
from router.people.limits import Limiter, Passage
from support.books import CHAIN_ID, SETTLEMENT

DAY, NEXT_DAY = "2026-11-21", "2026-11-22"
BEGINS_S, ENDS_S = bounds_s(DAY)
LIMITS = {"provider": "p", "context_tokens": 16_000, "max_output_tokens": 4_000}
STRONG = {"prompt_usd_per_mtok": "2.5", "completion_usd_per_mtok": "10", "model": "gpt-4o"} | LIMITS
WEAK = {"prompt_usd_per_mtok": "0.02", "completion_usd_per_mtok": "0.04", "model": "llama-3.2-1b"} | LIMITS
PROMPTS = (
    "Why is the sky blue?",
    "Say hello in French.",
    "Prove that there are infinitely many primes, and that no even number above 2 is one.",
    "Solve x^3 - 6x^2 + 11x - 6 = 0, show each step, then integrate the polynomial from 0 to 3.",
    "def f(n):\n    return n if n < 2 else f(n-1) + f(n-2)\nMake this linear in time and explain why it is.",
    "Which planet is the largest?\nA. Mars\nB. Jupiter\nC. Venus\nD. Earth\nAnswer with a letter.",
)


class Clock:
    """Unix seconds that pass when told."""

    def __init__(self) -> None:
        self.now_s = float(BEGINS_S)

    def __call__(self) -> float:
        return self.now_s


def config(**auto: Any) -> RouterConfig:
    return RouterConfig.model_validate(
        {"providers": {"p": {"base_url": "http://p/v1"}}, "deployments": [STRONG, WEAK], "auto": auto}
    )


class Doors:
    """Lets one caller in, whatever the credential."""

    def __init__(self) -> None:
        self.principal, self._limiter = Principal(1, "k"), Limiter()

    async def admit(self, _header: object, _scope: str) -> Principal:
        return self.principal

    def enter(self, principal: Principal) -> Passage:
        return self._limiter.enter(None, principal.rates)

    async def own_keys(self, _principal: Principal, plan: Plan) -> Plan:
        return plan


class Worker:
    """One worker; the database has account 1, with money."""

    def __init__(self, url: str, clock: Clock, settings: RouterConfig, seed: int = 1) -> None:
        domain = ReceiptDomain(CHAIN_ID, SETTLEMENT)
        told = Settings(settings, Path(), {}, url, domain, bytes.fromhex("11" * 32))
        self.engine = open_database(url)
        if self.engine.dialect.name == "sqlite":  # nothing here has to survive a power cut
            self.engine.dispose()
            event.listen(self.engine, "connect", lambda made, _: made.execute("PRAGMA synchronous = OFF"))
        self.ledger = Ledger(self.engine)
        self.doors, self._rng = Doors(), random.Random(seed)
        billing = Billing(self.ledger, told, None)  # type: ignore[arg-type]
        self.pacing = billing.pacing = Pacing(self.ledger, settings, clock)
        http = HttpxTransport(httpx.AsyncClient(transport=httpx.MockTransport(self._answer)))
        self.routes = Routes(build_catalog(settings, 100, http, {}))
        self.gateway = Gateway(self.doors, self.routes, billing)  # type: ignore[arg-type]

    async def call(self, budget: AutoBudget | None, prompt: str, **fields: Any) -> Answer | None:
        """The answer to a call that counts against a budget; None if that has not enough left."""
        budgets = () if budget is None else (budget,)
        self.doors.principal = replace(self.doors.principal, auto_budgets=budgets)
        body = encode({"model": "auto", "messages": [{"role": "user", "content": prompt}]} | fields)

        async def read_body() -> bytes:
            return body

        async def stays() -> None:
            raise NotImplementedError

        try:
            answer = await self.gateway.serve(
                IncomingCall(CHAT, "/v1/chat/completions", lambda _name: None, read_body, stays)
            )
        except BudgetExceeded:
            return None
        assert isinstance(answer, Answer)
        return answer

    def close(self) -> None:
        self.ledger.close()
        self.engine.dispose()

    def _answer(self, asked: httpx.Request) -> httpx.Response:
        asked_for = json.loads(asked.content)
        written = round(400 * self._rng.lognormvariate(-0.125, 0.5))  # 400 in the mean, as is predicted
        usage = {
            "prompt_tokens": math.ceil(len(asked.content) / 4),
            "completion_tokens": min(written, asked_for["max_tokens"]),
        }
        message = {"role": "assistant", "content": "so"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        model = asked_for["model"]
        usage["total_tokens"] = sum(usage.values())
        told = {"id": "c", "object": "chat.completion", "created": 1, "model": model}
        return httpx.Response(200, json=told | {"choices": [choice], "usage": usage})

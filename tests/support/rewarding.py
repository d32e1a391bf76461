"""A ledger with rewards: calls with scores, batches that settle them, epochs that close."""

from __future__ import annotations

import os
import signal
from itertools import count
from typing import Any

from sqlalchemy import insert, select

from router.config import RouterConfig
from router.ledger import Ledger, Terms, open_database, reward_epochs, rewards
from router.ledger.models import ENTRY
from router.ledger.reward_epochs import Reckoned
from router.ledger.reward_tables import CALL_SCORE
from router.ledger.rewards import RewardView
from router.rewards import close_epoch
from support.books import NOW_S, TERMS, Books, slot

EPOCH_S = 1000


def configured(**values: object) -> RouterConfig:
    """A configuration with rewards, and nothing that could be called."""
    fields = {"providers": {}, "deployments": [], "rewards": {"epoch_s": EPOCH_S}}
    return RouterConfig.model_validate(fields | values)


class Rewarding:
    """Plays calls, batches and epochs on a ledger whose rewards begin now."""

    def __init__(self, books: Books, config: RouterConfig | None = None) -> None:
        self.books, self.config, self.now_s = books, config or configured(), NOW_S
        self._batches = count(1)
        assert self.close() is None

    def call(
        self,
        idx: int,
        charge_base: int,
        score: int | None = 100,
        terms: Terms = TERMS,
        fingerprint: int | None = None,
    ) -> str:
        """One paid call with its score; every call has a fingerprint of its own unless one is given."""
        entry_id = self.books.reserve(idx, charge_base).entry_id
        self.books.post(entry_id, charge_base, terms)
        if score is not None:
            self.books.ledger.run(lambda c: c.execute(_score(entry_id, score, fingerprint)))
        return entry_id

    def settle(self, *idxs: int, reward_base: int = 0) -> None:
        """A batch with all that these accounts were charged."""
        slots = [slot(idx, charge=self.books.account(idx).unsettled_base, reward=reward_base) for idx in idxs]
        burned_base = 0  # the tests' books keep it
        self.books.settle(next(self._batches), *slots, burned_base=burned_base)

    def close(self) -> Reckoned | None:
        """The epoch ends."""
        closed = close_epoch(self.books.ledger, self.config, self.now_s)
        self.now_s += self.config.rewards.epoch_s
        return closed

    def refund(self, entry_id: str, amount_base: int | None = None, reference: str = "") -> tuple[int, int]:
        return self.books.ledger.run(
            lambda c: rewards.record_refund(c, reference or entry_id, entry_id, amount_base, self.now_s)
        )

    def refer(self, idx: int, referrer: int) -> int:
        code = rewards.referral_code(referrer)
        return self.books.ledger.run(lambda c: rewards.name_referrer(c, idx, code, self.now_s))

    def view(self, idx: int) -> RewardView:
        return self.books.ledger.read(lambda c: rewards.reward_view(c, idx))

    def due(self) -> dict[int, int]:
        found = self.books.ledger.read(rewards.due)
        return {idx: one.vested_base for idx, one in found.items()}


def _score(entry_id: str, score: int, fingerprint: int | None) -> object:
    number = select(ENTRY.c.number).where(ENTRY.c.id == entry_id).scalar_subquery()
    own = int(entry_id[-15:], 16) if fingerprint is None else fingerprint
    return insert(CALL_SCORE).values(entry_number=number, score=score, fingerprint=own)


def close_and_die(url: str, now_s: int, step: str, where: str) -> None:
    """Closes an epoch in a process that is killed before or after one of the three steps."""
    real = getattr(reward_epochs, step)

    def dying(*arguments: Any, **named: Any) -> Any:
        if where == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*arguments, **named)
        if where == "after":  # done and not committed, if it writes
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(reward_epochs, step, dying)
    close_epoch(Ledger(open_database(url)), configured(), now_s)

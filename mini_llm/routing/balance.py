"""The order in which the members of a group are asked."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

from mini_llm.routing.plan import Candidate

AS_FAST: Final = 1.2
"""Who takes up to this many times as long as the fastest counts as equally fast, and shares by weight."""
_BYTES: Final = 8


def by_weight(members: Sequence[Candidate], rng: random.Random, now_s: float) -> tuple[Candidate, ...]:
    """A random order in which each place goes to one of the rest in proportion to the weights.

    Source: Efraimidis and Spirakis, Weighted random sampling with a reservoir (2006): sort by exponential
    variates whose rates are the weights.
    """
    if len(members) < 2:
        return tuple(members)
    return _drawn(members, [1.0 - rng.random() for _ in members], now_s)


def by_conversation(members: Sequence[Candidate], opening: str, now_s: float) -> tuple[Candidate, ...]:
    """The same order for all calls of a conversation; over conversations, places go by the weights.

    When a member comes, goes or changes its weight, only the conversations move that gain or lose by it.

    Source: Thaler and Ravishankar, Using name-based mappings to increase hit rates (1998), with the draw of
    `by_weight` from a hash instead of chance.
    """
    begun = blake2b(opening.encode("utf-8", "surrogatepass"), digest_size=_BYTES)
    chances = []
    for member in members:
        mixed = begun.copy()
        mixed.update(b"\0" + member.deployment.id.encode())
        chances.append((int.from_bytes(mixed.digest(), "big") + 1) / 256**_BYTES)
    return _drawn(members, chances, now_s)


def _drawn(members: Sequence[Candidate], chances: Sequence[float], now_s: float) -> tuple[Candidate, ...]:
    """Members in the order of exponential variates, made of uniform ones above 0, up to 1."""
    drawn = []
    for place, (member, chance) in enumerate(zip(members, chances, strict=True)):
        weight = member.deployment.weight * member.health.steering.factor(now_s)
        drawn.append((-math.log(chance) / weight if weight else math.inf, place, member))
    drawn.sort()
    return tuple([member for _, _, member in drawn])


def by_latency(
    members: Sequence[Candidate], rng: random.Random, now_s: float, stream: bool
) -> tuple[Candidate, ...]:
    """Those first that answered fastest lately; about equal ones share by weight.

    One that has not been measured for long is asked first, but by one call at a time; and last for a while
    after a call came to nothing there, or it would be in the way of every call.
    """
    known: list[tuple[float, int, Candidate]] = []
    unmeasured: list[Candidate] = []
    for place, member in enumerate(members):
        health = member.health
        latency = health.latency(stream)
        mean_s = latency.mean_s(now_s)
        if mean_s is not None:
            known.append((mean_s, place, member))
        elif health.in_flight or latency.missed_lately(now_s):
            known.append((math.inf, place, member))
        else:
            unmeasured.append(member)
    known.sort()
    limit_s = known[0][0] * AS_FAST if known else 0.0
    alike = [member for mean_s, _, member in known if mean_s <= limit_s]
    slower = [member for mean_s, _, member in known if mean_s > limit_s]
    return (*unmeasured[:1], *by_weight(alike, rng, now_s), *unmeasured[1:], *slower)

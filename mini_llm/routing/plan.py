"""Words of routing: who may serve a call, who was asked, and who did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, NamedTuple, TypeVar

from mini_llm.answer import StreamEvent
from mini_llm.config_routing import HedgeConfig, RetryConfig
from mini_llm.deployment import Deployment
from mini_llm.price import Price, Usage
from mini_llm.providers.base import Provider
from mini_llm.routing.decision import Decision
from mini_llm.routing.health import Health

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A deployment that can serve a call, its provider, and how it has done so far."""

    deployment: Deployment
    provider: Provider
    health: Health = field(default_factory=Health)


@dataclass(slots=True, eq=False)
class Begun:
    """A stream that its provider has taken and that has said nothing yet.

    Attributes:
        candidate: who was asked.
        events: what came so far, in the provider's format.
    """

    candidate: Candidate
    events: list[StreamEvent] = field(default_factory=list)


@dataclass(slots=True)  # not frozen, which would double the cost of making one, on every call
class Plan:
    """Who may serve a call.

    Attributes:
        model: as the client asked for it.
        groups: in the order in which they are asked, and the order within each; none is empty, one at least.
        retry: what to do when a group has failed.
        hedge: when to ask a second one beside the first; None for never.
        stream: the answer is streamed.
        shut: those whose breaker is open, asked once each when all else has failed.
        decision: why these, of a call that left the model to us.
    """

    model: str
    groups: tuple[tuple[Candidate, ...], ...]
    retry: RetryConfig
    hedge: HedgeConfig | None = None
    stream: bool = False
    shut: tuple[Candidate, ...] = ()
    decision: Decision | None = None

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """All of them, in order."""
        if len(self.groups) == 1 and not self.shut:
            return self.groups[0]
        return (*(candidate for group in self.groups for candidate in group), *self.shut)

    def only(self, candidates: Sequence[Candidate]) -> Plan:
        """The same call with other candidates, as one group."""
        return replace(self, groups=(tuple(candidates),), shut=())

    def good_enough(self, candidate: Candidate) -> bool:
        """Whether it reaches the quality that was asked for, of a call that left the model to us."""
        if self.decision is None:
            return True
        judged = self.decision.of(candidate.deployment.id)
        return judged is not None and judged.meets

    @property
    def first(self) -> Deployment:
        """The deployment of the first one."""
        return self.groups[0][0].deployment

    @property
    def deployments(self) -> tuple[Deployment, ...]:
        """Their deployments."""
        return tuple([candidate.deployment for candidate in self.candidates])


@dataclass(frozen=True, slots=True)
class Attempt:
    """One deployment that was asked and did not serve the call.

    Attributes:
        deployment: its id.
        provider: name of its provider.
        outcome: name of the error's type, or ``Hedged`` for one that another overtook, ``Stopped`` for one
            that was still running when the call was given up.
        ms: how long it took, milliseconds.
        usage: what it may have used all the same, as far as anybody knows.
        cost_base: what its provider may bill for that, base units.
        reason: the error in words, without keys, prompts or answers.
        price: of one that its provider may bill although nobody knows what it used: it was stopped on its
            way, or its answer came to nothing. None if it was refused or ran on the user's own key.
    """

    deployment: str
    provider: str
    outcome: str
    ms: int
    usage: Usage | None = None
    cost_base: int = 0
    reason: str = field(default="", compare=False)
    price: Price | None = None

    def billed_base(self, usage: Usage | None) -> int:
        """What its provider may bill, base units. Where nobody tells what it used, it is reckoned as if that
        were what the call did (None: unknown)."""
        return self.cost_base if self.price is None or usage is None else self.price.cost_base(usage)


class Outcome(NamedTuple, Generic[T]):
    """What a call came to, who served it, who was asked in vain; why these, if the model was left to us."""

    result: T
    candidate: Candidate
    attempts: tuple[Attempt, ...] = ()
    decision: Decision | None = None

"""The council: every few seconds the roles propose, vote, and what is carried stands for a while."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from router.conductor import exploring
from router.conductor.facts import AWAY, EXPLORATION, Action, Facts, Proposal, Spending
from router.conductor.roles import ROLES, carried, safe, votes
from router.config_conductor import ConductorConfig

HOUR_S: Final = 3600.0
RELIEF: Final = frozenset({Action.CLOSE, Action.RETURN, Action.RESUME})
"""Actions that only take decisions back: no limit holds them up."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of a proposal.

    Attributes:
        proposal: who asked for what.
        chair: the role whose turn it was to be heard first.
        against: what each role had against it, None for a vote in favour.
        group: what was known of the model's deployments, the steering as it was included; or of spending.
        made_s: when, seconds of routing's clock.
        acted: it was carried out; else it was refused, or the mode is `advise`.
        follows: it is the end of a rest that was voted on.
    """

    proposal: Proposal
    chair: str
    against: Mapping[str, str | None]
    group: tuple[Facts, ...] | tuple[Spending]
    made_s: float
    acted: bool
    follows: bool = False

    @property
    def carried(self) -> bool:
        """Two of three were in favour."""
        return carried(self.against)

    def ends_s(self, settings: ConductorConfig) -> float:
        """When it ends by itself."""
        proposal = self.proposal
        lasts_s = settings.share_s if proposal.action is Action.SHARE else proposal.amount
        return self.made_s + lasts_s


@dataclass(slots=True)
class Standing:
    """The decisions that are in force for one deployment, or for exploration.

    Attributes:
        away: a rest, an opened breaker, or a pause.
        share: of its weight.
    """

    away: Decision | None = None
    share: Decision | None = None


class Council:
    """Decides. It does nothing itself and reads no clock: the same calls give the same decisions.

    Attributes:
        settings: how far it may go.
        standing: what is in force, by deployment.
    """

    def __init__(self, settings: ConductorConfig) -> None:
        self.settings = settings
        self.standing: dict[str, Standing] = {}
        self._turn = 0
        self._touched: set[str] = set()
        self._changes: deque[float] = deque()
        self._away: dict[str, deque[float]] = {}
        self._told: dict[tuple[str, Action], float] = {}
        self._left_alone: dict[str, float] = {}

    def known(self, facts: Facts, now_s: float) -> Facts:
        """The facts with what the council itself knows: its own decisions, and whom it leaves alone."""
        if facts.deployment not in self._touched:
            return facts
        stands = self.standing.get(facts.deployment, Standing())
        away = self._away.get(facts.deployment, deque())
        return replace(
            facts,
            share=stands.share.proposal.amount if stands.share else 1.0,
            held=stands.away.proposal.action.value if stands.away else "",
            opened=sum(now_s - at_s < HOUR_S for at_s in away),
            ready=facts.ready and stands.away is None,
            free=facts.free and now_s >= self._left_alone.get(facts.deployment, now_s),
        )

    def decide(
        self, now_s: float, groups: Sequence[Sequence[Facts]], spending: Spending | None = None
    ) -> list[Decision]:
        """One round: the roles are heard one after the other, another one first each time.

        Args:
            now_s: seconds of routing's clock.
            groups: what is known of each model's deployments.
            spending: how money stands, None if nothing is known or no budget has to be held.

        Returns: what was decided, refused proposals included; one change for each model at most.
        """
        made = self._expire(now_s, groups)
        order = ROLES[self._turn :] + ROLES[: self._turn]
        self._turn = (self._turn + 1) % len(ROLES)
        for facts in groups:
            group = tuple(self.known(one, now_s) for one in facts)
            proposals = [one for role in order for one in role.propose(group, self.settings)]
            safely = [one for one in proposals if safe(one, group)]
            vote = partial(votes, group=group, settings=self.settings)
            made += self._settle(safely, vote, order[0].name, group, now_s)
        if spending is not None:
            made += self._on_exploration(now_s, order[0].name, spending)
        return made

    def _on_exploration(self, now_s: float, chair: str, spending: Spending) -> list[Decision]:
        stands = self.standing.get(EXPLORATION, Standing())
        known = replace(
            spending,
            paused=stands.away is not None,
            away=sum(one.away is not None for name, one in self.standing.items() if name != EXPLORATION),
            free=EXPLORATION not in self.settings.hands_off
            and now_s >= self._left_alone.get(EXPLORATION, now_s),
        )
        vote = partial(exploring.votes, known=known, settings=self.settings)
        return self._settle(exploring.proposals(known, self.settings), vote, chair, (known,), now_s)

    def _settle(
        self,
        proposals: Iterable[Proposal],
        vote: Callable[[Proposal], Mapping[str, str | None]],
        chair: str,
        known: tuple[Facts, ...] | tuple[Spending],
        now_s: float,
    ) -> list[Decision]:
        """Votes until one is carried out; refused ones are told once in a while."""
        made: list[Decision] = []
        for proposal in proposals:
            if self._held_up(proposal, now_s):
                continue
            against = vote(proposal)
            acted = carried(against) and self.settings.mode == "act"
            decision = Decision(proposal, chair, against, known, now_s, acted)
            if acted:
                self._enact(decision)
                return [*made, decision]
            if self._news(proposal, now_s):
                made.append(decision)
        return made

    def undo(self, deployment: str, until_s: float) -> Standing | None:
        """Takes back what stands for a deployment, which is left alone until then.

        Returns: what stood.
        """
        self._touched.add(deployment)
        self._left_alone[deployment] = until_s
        return self.standing.pop(deployment, None)

    def _expire(self, now_s: float, groups: Sequence[Sequence[Facts]]) -> list[Decision]:
        """Ends what has had its time. Who comes back from a rest gets a small part of the calls at first."""
        made = []
        pause = self.standing.get(EXPLORATION, Standing())
        if pause.away is not None and now_s >= pause.away.ends_s(self.settings):
            pause.away = None
        for group in groups:
            for one in group:
                stands = self.standing.get(one.deployment)
                if stands is None:
                    continue
                if stands.share is not None and now_s >= stands.share.ends_s(self.settings):
                    stands.share = None
                away = stands.away
                if away is None or now_s < away.ends_s(self.settings):
                    continue
                stands.away = None
                if one.shares and away.proposal.action is Action.REST:
                    why = "back from a rest, with a small part at first"
                    share = self.settings.least_share
                    back = Proposal(away.proposal.role, Action.SHARE, one.deployment, share, why)
                    known = tuple(self.known(each, now_s) for each in group)
                    decision = Decision(back, away.chair, away.against, known, now_s, True, follows=True)
                    self._enact(decision)
                    made.append(decision)
        return made

    def _enact(self, decision: Decision) -> None:
        proposal, now_s = decision.proposal, decision.made_s
        self._touched.add(proposal.deployment)
        stands = self.standing.setdefault(proposal.deployment, Standing())
        if proposal.action in AWAY:
            stands.away = decision
            self._away.setdefault(proposal.deployment, deque(maxlen=64)).append(now_s)
        elif proposal.action is Action.PAUSE:
            stands.away = decision
        elif proposal.action in RELIEF:
            stands.away = None
        else:
            stands.share = decision if proposal.amount != 1.0 else None
        self._told[proposal.deployment, proposal.action] = now_s
        self._changes.append(now_s)

    def _held_up(self, proposal: Proposal, now_s: float) -> bool:
        """It comes too soon after the last change of the kind, or after too many changes."""
        if proposal.action in RELIEF:
            return False
        while self._changes and now_s - self._changes[0] >= HOUR_S:
            self._changes.popleft()
        if len(self._changes) >= self.settings.per_hour:
            return True
        return proposal.action is Action.SHARE and self._lately(proposal, now_s)

    def _news(self, proposal: Proposal, now_s: float) -> bool:
        """What changes nothing is told once in a while."""
        if self._lately(proposal, now_s):
            return False
        self._told[proposal.deployment, proposal.action] = now_s
        return True

    def _lately(self, proposal: Proposal, now_s: float) -> bool:
        at_s = self._told.get((proposal.deployment, proposal.action))
        return at_s is not None and now_s - at_s < self.settings.dwell_s

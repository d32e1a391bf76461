"""Why a model was chosen, for whoever asks."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from mini_llm.config_auto import Level
from mini_llm.wallet.limits import BPS

if TYPE_CHECKING:  # who names the models does not load what choosing them needs
    from mini_llm.auto.choice import Option
    from mini_llm.auto.gate import GateDecision
    from mini_llm.auto.purse import Purse
    from mini_llm.routing.mirroring import Drawn


@dataclass(frozen=True, slots=True)
class Judged:
    """One candidate of a choice: a model at one price.

    Attributes:
        model: its name here.
        deployments: ids of those that serve it at this price, in the order in which they would be asked.
        quality: predicted, 0 to 1.
        cost_base: predicted, base units at the retail price.
        latency_s: lately, None if it has not been measured.
        meets: its quality reaches the floor.
        placed_by: what its quality rests on, see `ModelFacts.placed_by`.
    """

    model: str
    deployments: tuple[str, ...]
    quality: float
    cost_base: int
    latency_s: float | None
    meets: bool
    placed_by: str


@dataclass(frozen=True, slots=True)
class Budgeted:
    """How budgets stood when a call was chosen for that counts against them.

    Attributes:
        left: money left over what was planned to be left, 0 to 1.
        per_vibes: quality that one VIBES more has to bring.
        room_base: the most that the call may cost, base units.
        decides: it did so here; else the call said what quality it wants.
    """

    left: float
    per_vibes: float
    room_base: int
    decides: bool

    @classmethod
    def of(cls, purse: Purse, options: Sequence[Option], decides: bool) -> Self:
        """As a purse says."""
        return cls(purse.left, purse.per_vibes, purse.room_base(options), decides)

    def fields(self) -> dict[str, Any]:
        """As JSON values; the amount is a decimal string."""
        return {
            "left": round(self.left, 4),
            "quality_per_vibes": float(f"{self.per_vibes:.3g}"),
            "room_base": str(self.room_base),
            "decides": self.decides,
        }


@dataclass(frozen=True, slots=True)
class Decision:
    """A choice among candidates.

    Attributes:
        asked: the quality that was asked for, a level or a share of the best candidate's.
        floor: the predicted quality that this comes to, 0 to 1.
        difficulty: of the prompt, 0 to 1.
        doubt: about the prediction, 0 to 1.
        prompt_tokens: of the prompt, reckoned from its length.
        ranked: the candidates, the chosen one first, each of the others for when those before it fail.
        left_out: who is no candidate, and why, by id of the deployment.
        reason: why the first one, in words.
        gate: what the gate's rules said, None where they had no say.
        form: of the prompt, "choice" if it offers options, else "open".
        drawn: with what chances the first one was chosen, None if what was learned had no say.
        budget: what it counts against, None if that is nothing.
    """

    asked: Level | float
    floor: float
    difficulty: float
    doubt: float
    prompt_tokens: int
    ranked: tuple[Judged, ...]
    left_out: Mapping[str, str]
    reason: str
    gate: GateDecision | None = None
    form: str = "open"
    drawn: Drawn | None = None
    budget: Budgeted | None = None

    def of(self, deployment: str) -> Judged | None:
        """How a deployment was judged; None if it was no candidate."""
        return next((one for one in self.ranked if deployment in one.deployments), None)

    def why(self, deployment: str) -> str:
        """Why this deployment serves the call, in words."""
        if self.ranked and deployment in self.ranked[0].deployments:
            return self.reason
        judged = self.of(deployment)
        below = "" if judged is None or judged.meets else ", below the quality that was asked for"
        return f"those ranked before it did not serve the call{below}"

    def only(self, deployments: Collection[str], why: str) -> Decision:
        """The same among some of the deployments; the others are left out for this reason."""
        kept = []
        left_out = dict(self.left_out)
        for one in self.ranked:
            names = tuple(name for name in one.deployments if name in deployments)
            left_out |= {name: why for name in one.deployments if name not in names}
            if names:
                kept.append(replace(one, deployments=names))
        same = kept[:1] and kept[0].model == self.ranked[0].model
        reason = self.reason if same else f"the first in rank of those that may serve the call ({why})"
        return replace(self, ranked=tuple(kept), left_out=left_out, reason=reason)

    def told(self, deployment: str) -> str:
        """The decision as an HTTP header's value: the model, how it was judged, and why it serves.

        Source: RFC 9651, an item with parameters.
        """
        judged = self.of(deployment)
        asked = self.asked if isinstance(self.asked, str) else f"{self.asked:.3f}"
        if judged is None:
            return f"{_string(deployment)};asked={asked};why={_string(self.why(deployment))}"
        latency = "" if judged.latency_s is None else f";latency-ms={round(judged.latency_s * 1000)}"
        return (
            f"{_string(judged.model)};asked={asked};floor={self.floor:.3f};quality={judged.quality:.3f}"
            f";cost-base={judged.cost_base}{latency};why={_string(self.why(deployment))}"
        )

    def fields(self, rate_bps: int = BPS) -> dict[str, Any]:
        """The whole decision as JSON values; amounts are decimal strings, at a price in basis points of the
        retail price."""
        return {
            "asked": self.asked,
            "floor": round(self.floor, 4),
            "reason": self.reason,
            "prompt": {
                "tokens": self.prompt_tokens,
                "difficulty": round(self.difficulty, 4),
                "doubt": round(self.doubt, 4),
            },
            "gate": None if self.gate is None else _gate(self.gate),
            "budget": None if self.budget is None else self.budget.fields(),
            "candidates": [_judged(one, rate_bps) for one in self.ranked],
            "left_out": [{"deployment": name, "reason": why} for name, why in self.left_out.items()],
        }


def candidate_fields(model: str, deployments: list[str], **judged: Any) -> dict[str, Any]:
    """A candidate as JSON values; what nobody judged is null."""
    unknown = dict.fromkeys(("quality", "placed_by", "meets_floor", "cost_base", "latency_ms"))
    return {"model": model, "deployments": deployments, **unknown, **judged}


def _judged(one: Judged, rate_bps: int) -> dict[str, Any]:
    return candidate_fields(
        one.model,
        list(one.deployments),
        quality=round(one.quality, 4),
        placed_by=one.placed_by,
        meets_floor=one.meets,
        cost_base=str(-(-one.cost_base * rate_bps // BPS)),
        latency_ms=None if one.latency_s is None else round(one.latency_s * 1000),
    )


def _gate(said: GateDecision) -> dict[str, Any]:
    rules = [{"if": one.words, "strength": round(one.strength, 4)} for one in said.fired]
    return {"escalate": said.escalate, "advantage": round(said.advantage, 4), "rules": rules}


def _string(text: str) -> str:
    """A string of a structured header; letters that one cannot hold are percent-encoded."""
    plain = text if text.isascii() and text.isprintable() else quote(text, safe=" ()*,;:=/'")
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'

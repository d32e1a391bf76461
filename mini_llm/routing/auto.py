"""Calls that name no model: who could serve them, at what quality and cost, and the plan that follows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean
from typing import Final

from mini_llm.auto.choice import Option
from mini_llm.auto.gate import Gate, GateDecision, GateInputs, shown_to_help
from mini_llm.auto.predictor import Predictor
from mini_llm.auto.priors import ModelFacts, published
from mini_llm.auto.purse import Purse
from mini_llm.config_auto import AutoConfig, Level
from mini_llm.deployment import Deployment
from mini_llm.errors import BadRequest
from mini_llm.price import Price, Usage
from mini_llm.request import Need, Request
from mini_llm.routing.asked import quality_asked, without_quality
from mini_llm.routing.catalog import Catalog
from mini_llm.routing.decision import Budgeted, Decision, Judged
from mini_llm.routing.health import Hindrance
from mini_llm.routing.mirroring import ALIKE, Drawn, Mirroring, mirrored
from mini_llm.routing.plan import Candidate, Plan
from mini_llm.routing.planning import Bar, Planner, Sieve, none_can_serve
from mini_llm.routing.terms import Terms
from mini_llm.surfaces import SURFACES
from mini_llm.tokens import BYTES_PER_TOKEN

UNPRICED: Final = "nobody knows its price: name it in the configuration"
SHUT: Final = "failed too often lately, so that it is only asked when all others fail"


@dataclass(frozen=True, slots=True)
class _Offer:
    """Candidates of one model at one price: one thing to choose, served by the first of them that can."""

    price: Price
    members: list[Candidate]

    @property
    def first(self) -> Candidate:
        return self.members[0]

    @property
    def model(self) -> str:
        return self.members[0].deployment.model


class Chooser:
    """Plans calls that name no model.

    Args:
        catalog: what is on offer.
        planner: orders those who serve one model.
        clock: routing's.
        price: what a deployment costs, None if nobody knows.
        mirroring: what was learned of models, if anything is.
    """

    def __init__(
        self,
        catalog: Catalog,
        planner: Planner,
        clock: Callable[[], float],
        price: Callable[[Deployment], Price | None],
        mirroring: Mirroring | None = None,
    ) -> None:
        self._catalog, self._planner, self._clock, self._price = catalog, planner, clock, price
        self._mirroring = mirroring

    @cached_property
    def _predictor(self) -> Predictor:
        return Predictor.shipped()

    def prepare(self) -> None:
        """Reads what choosing goes by, so that no call waits for it."""
        _ = self._predictor, Gate.shipped()

    async def plan(
        self,
        request: Request,
        account: str | None,
        bar: Bar | None,
        lots: bool = False,
        purse: Purse | None = None,
    ) -> Plan | None:
        """The candidates for a request, the chosen one first; None if none takes part here and all that is
        left is to ask another router for the same.

        They are one group: after a failure the next in rank is asked at once, and again after a pause. A call
        that leaves its quality open gets as much as the purse pays for, if there is one.

        Raises:
            BadRequest: what it asks for is no quality, or it wants vectors.
            NoneCanServe: none of those who take part can serve it.
        """
        groups = await self._catalog.choosable()
        if not groups:
            return None
        if Need.EMBEDDINGS in request.needs:
            raise BadRequest("vectors of different models cannot be compared: name the model", "model")
        settings = self._catalog.table.config
        said = quality_asked(request)
        paced = said is None and purse is not None
        asked = ("cheap" if paced else settings.auto.quality) if said is None else said
        beyond, request = self._catalog.beyond(asked), without_quality(request)
        sieve = Sieve(request, self._clock(), choice=True, bar=bar)
        found = [one for group in self._planner.sift(sieve, groups, account) for one in group]
        shut = sorted(sieve.shut, key=lambda one: one.health.back_s)
        hindrances = dict(sieve.reasons)
        offers = self._offers(found, hindrances)
        last = self._offers(shut, hindrances)
        if not offers:
            offers, last = last, []
        if not offers and beyond:
            return None
        if not offers:
            raise none_can_serve(request.model, hindrances)
        left_out = {name: one.reason for name, one in hindrances.items()}
        left_out |= {one.deployment.id: SHUT for offer in last for one in offer.members}
        decision, ranked = self._choose(
            request, settings.auto, asked, offers, sieve.now_s, account, lots, purse, paced
        )
        decision = replace(decision, left_out=left_out)
        most = settings.auto.fallbacks + 1
        return Plan(
            request.model,
            (_members(ranked[:most]), beyond) if beyond else (_members(ranked[:most]),),
            settings.retry,
            settings.auto.hedge,
            stream=request.stream,
            shut=_members(last[: max(most - len(ranked), 0)]),
            decision=decision,
        )

    def _offers(self, candidates: Iterable[Candidate], hindrances: dict[str, Hindrance]) -> list[_Offer]:
        """What there is to choose; who is nothing to choose goes to the hindrances, with the reason."""
        offers: dict[tuple[str, Price], _Offer] = {}
        for candidate in candidates:
            deployment = candidate.deployment
            price = self._price(deployment)
            if price is None:
                hindrances[deployment.id] = Hindrance(UNPRICED, None)
            else:
                offer = offers.setdefault((deployment.model, price), _Offer(price, []))
                if candidate not in offer.members:
                    offer.members.append(candidate)
        return list(offers.values())

    def _choose(
        self,
        request: Request,
        config: AutoConfig,
        asked: Level | float,
        offers: Sequence[_Offer],
        now_s: float,
        account: str | None,
        lots: bool,
        purse: Purse | None,
        paced: bool,
    ) -> tuple[Decision, list[_Offer]]:
        """The decision, and the offers in the order of their rank; `paced`: the purse decides."""
        texts = SURFACES[request.surface].prompt_texts(request)
        tokens = _prompt_tokens(request, texts)
        facts = _known(config, offers)
        # What was said last is what is asked now.
        prompt = next((text for text in reversed(texts) if text.strip()), "")
        prediction = self._predictor.predict(prompt, tuple(facts.values()))
        qualities = dict(zip(facts, prediction.quality, strict=True))
        latencies = [offer.first.health.latency(request.stream).mean_s(now_s) for offer in offers]
        known = [one for one in latencies if one is not None]
        usual_s = fmean(known) if known else 0.0
        options: Sequence[Option] = [
            Option(qualities[offer.model], _cost_base(offer, request, tokens, config.output_tokens),
                   usual_s if latency_s is None else latency_s)
            for offer, latency_s in zip(offers, latencies, strict=True)
        ]  # fmt: skip
        costs = _lowest_costs(facts, offers, options)
        share = self._predictor.share_of_call(prediction, config.share(asked), costs)
        terms = Terms.of(config, options, purse if paced else None)
        choice = terms.choose(options, share)
        left = 1.0 if purse is None else purse.left
        urgency = 1.0 if request.stream else config.urgency
        answered = [offer.first.health.breaker.answered(now_s) for offer in offers]
        inputs = GateInputs(prediction.difficulty, prediction.doubt, left, answered[choice.index], urgency)
        gate: GateDecision | None = None
        drawn: Drawn | None = None
        if config.gate and shown_to_help(inputs):
            choice, gate = terms.gated(options, share, choice, inputs, answered)
        if self._mirroring is not None and self._mirroring.active and account is not None and gate is None:
            corrected = self._mirroring.correct(prediction, list(qualities))
            better = dict(zip(qualities, corrected.quality, strict=True))
            moved = [replace(one, quality=better[of.model]) for one, of in zip(options, offers, strict=True)]
            share = self._predictor.share_of_call(corrected, config.share(asked), costs)
            learned = terms.choose(moved, share)
            names = [offer.model for offer in offers]
            both = (choice, options), (learned, moved)
            choice, options, drawn = mirrored(
                self._mirroring, account, lots, names, *both, config.fallbacks + 1
            )
        ranked = tuple(
            _judged(offers[at], options[at], latencies[at], choice.floor, facts) for at in choice.ranked
        )
        budget = None if purse is None else Budgeted.of(purse, options, paced)
        decision = Decision(asked, choice.floor, prediction.difficulty, prediction.doubt, tokens, ranked,
                            {}, choice.reason, gate, prediction.form, drawn, budget)  # fmt: skip
        return decision, [offers[at] for at in choice.ranked]


def _known(config: AutoConfig, offers: Iterable[_Offer]) -> dict[str, ModelFacts]:
    """What is known of each model, at the price of its cheapest offer."""
    cheapest: dict[str, _Offer] = {}
    for offer in offers:
        known = cheapest.setdefault(offer.model, offer)
        if offer.price.completion_base_per_mtok < known.price.completion_base_per_mtok:
            cheapest[offer.model] = offer
    return {
        model: ModelFacts(
            _known_name(offer.first.deployment),
            offer.price.prompt_base_per_mtok,
            offer.price.completion_base_per_mtok,
            config.priors.get(model),
        )
        for model, offer in cheapest.items()
    }


def _lowest_costs(models: Iterable[str], offers: Iterable[_Offer], options: Iterable[Option]) -> list[int]:
    """What the call costs at the cheapest offer of each model, base units."""
    lowest: dict[str, int] = {}
    for offer, option in zip(offers, options, strict=True):
        lowest[offer.model] = min(option.cost_base, lowest.get(offer.model, option.cost_base))
    return [lowest[model] for model in models]


def _judged(
    offer: _Offer,
    option: Option,
    latency_s: float | None,
    floor: float,
    facts: Mapping[str, ModelFacts],
) -> Judged:
    return Judged(
        model=offer.model,
        deployments=tuple(one.deployment.id for one in offer.members),
        quality=option.quality,
        cost_base=option.cost_base,
        latency_s=latency_s,
        meets=option.quality >= floor - ALIKE,
        placed_by=facts[offer.model].placed_by,
    )


def _known_name(deployment: Deployment) -> str:
    """What the model is known by: the provider's name for it, unless only ours says more."""
    names = (deployment.upstream_model, deployment.model)
    return next((name for name in names if published(name) is not None), names[0])


def _members(offers: Iterable[_Offer]) -> tuple[Candidate, ...]:
    return tuple(one for offer in offers for one in offer.members)


def _prompt_tokens(request: Request, texts: Iterable[str]) -> int:
    """About how many tokens the prompt has; with images or sound only the text's."""
    size = request.size_bytes if request.text_only else sum(map(len, texts))
    return size // BYTES_PER_TOKEN + 1


def _cost_base(offer: _Offer, request: Request, prompt_tokens: int, output_tokens: int) -> int:
    """Predicted cost, base units: of the prompt, and of an answer as long as this deployment's usually are,
    or as long as it may be."""
    cap = offer.first.deployment.output_cap(request.output_cap)
    written = offer.first.health.length.expected(output_tokens)
    written = min(written, cap) if cap is not None else written
    return offer.price.cost_base(Usage(prompt_tokens, written * request.choices, estimated=True))

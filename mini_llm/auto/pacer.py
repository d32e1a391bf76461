"""Holds a budget over a period by a price: what a base unit must bring in quality to be worth spending now.

Each call is chosen by ``quality − price × cost``. The price is the dual variable of "spend no more than the
budget": after each call it rises if the call cost more than is left for one call, and falls if it cost less.
What is left for one call is the money left over the calls that are still expected, so errors of the past are
made good, and a change of traffic or of providers' prices moves the price and nothing else. Beside the price
stands a hard limit: a dearer option is only for money that later calls do not need for the cheapest one.

Source: S. Balseiro, Y. Gur, "Learning in repeated auctions with budgets: regret minimization and
equilibrium", Management Science 65(9), 2019 (adaptive pacing); S. Balseiro, H. Lu, V. Mirrokni, "The best of
many worlds: dual mirror descent for online allocation problems", Operations Research 71(1), 2023 (here with
entropy as the mirror map, so that the price stays above 0 and steps are relative).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import exp, log
from typing import Any, Final, Self

from mini_llm.auto.choice import Choice, Option, Weights, choose
from mini_llm.errors import MiniLLMError

SLICES: Final = 24
STEP: Final = 0.05
"""How far one call moves the logarithm of the price, for each share by which it missed what was left for
it."""
LONGEST_STEP: Final = 0.25
LEAST_PRICE, MOST_PRICE = 1e-12, 1e3
BUSIEST: Final = 8
"""The rest of a period brings so many times the calls of a usual stretch as long, at most."""
CLOCK_PERCENT: Final = 20
"""What the clock counts in the forecast of calls, against the count."""
TRUST: Final = 0.1
"""The share of a period's calls that has to differ from what was expected before half of it is believed."""
KEPT_PERCENT: Final = 120
"""What is kept for later calls, against what the cheapest option usually costs for them."""
SMOOTH_PERCENT: Final = 2
"""What the last call counts in the mean cost of the cheapest option."""
FIRST_GAIN: Final = 0.1
"""Quality that a call's part of the money has to bring, as long as nobody knows what money brings."""
BEGINNING: Final = 96
"""As long as nothing is expected, the first of so many parts of what is left of a period tells nothing of how
busy it is."""
_FINE: Final = 10**6
"""Ratios of money are taken in so many parts."""


class InvalidPlan(MiniLLMError):
    """A budget that cannot be paced, or a state that is none."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A budget for a period.

    Args:
        budget_base: to spend, base units, above 0.
        begins_s, ends_s: the period, unix seconds.
        expected: how many calls will come in each of equal slices of it, as in the period before. One slice
            says how many, and leaves open when; with none, calls go on coming as they have come.
        since_s: when the first could come, unix seconds, if that is later than the beginning.
    """

    budget_base: int
    begins_s: int
    ends_s: int
    expected: tuple[int, ...] = ()
    since_s: int | None = None

    def __post_init__(self) -> None:
        if self.budget_base <= 0 or self.ends_s <= self.begins_s:
            raise InvalidPlan("a plan needs money and time")
        if self.expected and (sum(self.expected) <= 0 or min(self.expected) < 0):
            raise InvalidPlan("a plan needs calls to expect")
        if self.since_s is not None and not self.begins_s <= self.since_s < self.ends_s:
            raise InvalidPlan("calls come within the period")


@dataclass(frozen=True, slots=True)
class Spent:
    """How a period has gone so far: all that has to survive a restart, or to be shared.

    Args:
        spent_base: in this period, base units.
        price: quality that one base unit must bring.
        cheapest_base: mean cost of the cheapest option, base units.
        calls: in each slice of the period.
    """

    spent_base: int = 0
    price: float = 1e-6
    cheapest_base: int = 0
    calls: tuple[int, ...] = (0,) * SLICES

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Self:
        """The state that `fields` gave.

        Raises:
            InvalidPlan: they are of something else.
        """
        try:
            state = cls(**{**fields, "calls": tuple(fields["calls"])})
        except (KeyError, TypeError) as error:
            raise InvalidPlan(f"not the state of a pacer: {error}") from None
        if len(state.calls) != SLICES or not LEAST_PRICE <= state.price <= MOST_PRICE:
            raise InvalidPlan("not the state of a pacer: out of range")
        return state

    def fields(self) -> dict[str, Any]:
        """The state as JSON values."""
        return asdict(self)

    def joined(self, before: Spent, after: Spent) -> Spent:
        """This state with the calls that led from `before` to `after` elsewhere, while it went on itself.

        Money and calls add up. Prices do not, since both sides have answered the same shortage: each counts
        as much as it has had calls since they parted.
        """
        mine = sum(after.calls) - sum(before.calls)
        if not mine:
            return self
        both = mine + max(0, sum(self.calls) - sum(before.calls))
        higher = log(after.price / self.price) * mine / both
        return Spent(
            self.spent_base + after.spent_base - before.spent_base,
            min(MOST_PRICE, max(LEAST_PRICE, self.price * exp(higher))),
            self.cheapest_base + (after.cheapest_base - self.cheapest_base) * mine // both,
            tuple(
                one + new - old for one, new, old in zip(self.calls, after.calls, before.calls, strict=True)
            ),
        )


@dataclass(frozen=True, slots=True)
class Pacer:
    """A plan and how it has gone; every step makes a new one."""

    plan: Plan
    state: Spent = Spent()

    @classmethod
    def first(cls, plan: Plan, spent_base: int, now_s: float) -> Pacer:
        """Of a budget that was never paced before: a price to begin with follows from the plan."""
        pacer = cls(plan, Spent(spent_base))
        price = exp(log(FIRST_GAIN * pacer.calls_left(now_s)) - log(plan.budget_base))
        return cls(plan, replace(pacer.state, price=min(MOST_PRICE, max(LEAST_PRICE, price))))

    @property
    def left_base(self) -> int:
        """Money left, base units; 0 if none is."""
        return max(0, self.plan.budget_base - self.state.spent_base)

    def calls_left(self, now_s: float) -> int:
        """How many calls are still expected, the present one included.

        Mostly by count (those that were expected and have not come), partly by the clock (what this part of
        the period brought last time, times how much busier it is now): the one is right where the same calls
        come at other times, the other where more or fewer come.
        """
        expected, came = sum(self.plan.expected), sum(self.state.calls)
        if not expected:
            return self._calls_left_as_before(now_s)
        gone = self._gone(now_s)
        by_count = expected - came
        slices = len(self.plan.expected)
        if slices == 1 and by_count > 0:
            due = by_count
        else:
            at = min(int(gone * slices), slices - 1)
            behind = sum(self.plan.expected[:at]) + self.plan.expected[at] * (gone * slices - at)
            pace = (came + TRUST * expected) / (behind + TRUST * expected)
            by_clock = int((expected - behind) * pace)
            due = by_clock
            if by_count > 0:
                due = (by_count * (100 - CLOCK_PERCENT) + by_clock * CLOCK_PERCENT) // 100
        return max(1, min(due, int(expected * BUSIEST * (1 - gone))))

    def left(self, now_s: float) -> float:
        """Money left for a call over what was planned for one, at most 1: `GateInputs.budget_left`."""
        calls_left = self.calls_left(now_s)
        expected = sum(self.plan.expected) or sum(self.state.calls) + calls_left
        return min(1.0, _ratio(self.left_base * expected, self.plan.budget_base * calls_left))

    def room_base(self, cheapest_base: int, now_s: float) -> int:
        """The most that a call may cost now, base units: what later calls do not need for their cheapest
        option, but at least what the cheapest one of this call costs, while there is so much.

        Args:
            cheapest_base: what that costs.
            now_s: unix seconds.
        """
        usual_base = max(cheapest_base, self.state.cheapest_base)
        kept_base = usual_base * (self.calls_left(now_s) - 1) * KEPT_PERCENT // 100
        return min(self.left_base, max(cheapest_base, self.left_base - kept_base))

    def choose(self, options: Sequence[Option], now_s: float, floor: float = 0.0) -> Choice | None:
        """The option that is worth most after its price, among those that the budget has room for.

        Args:
            options: one at least; their `cost_base` should be what they cost, not less.
            now_s: unix seconds.
            floor: share of the best affordable option's quality below which the budget does not press.

        Returns:
            None if the money left does not pay for the cheapest option: the period's budget is spent.

        Raises:
            InvalidQuality, ValueError: as `choose`.
        """
        room_base = self.room_base(min(option.cost_base for option in options), now_s)
        within = [at for at, option in enumerate(options) if option.cost_base <= room_base]
        if not within:
            return None
        affordable = [options[at] for at in within]
        dearest_base = max(1, *(option.cost_base for option in affordable), 1)
        choice = choose(affordable, floor, Weights(self.state.price * dearest_base))
        return replace(choice, index=within[choice.index], ranked=tuple(within[at] for at in choice.ranked))

    def spend(self, cost_base: int, cheapest_base: int, now_s: float) -> Pacer:
        """After a call: what it cost in the end is booked, and the price moves.

        Args:
            cost_base: what it cost.
            cheapest_base: what the cheapest option would have cost.
            now_s: unix seconds.
        """
        plan, state = self.plan, self.state
        usual_base = state.cheapest_base or cheapest_base
        # a price cannot make calls cheaper than the cheapest: where these cost more than is left, it stays
        share_base = max(1, usual_base, self.left_base // self.calls_left(now_s))
        missed = min(LONGEST_STEP / STEP, _ratio(cost_base - share_base, share_base))
        at = min(int(self._gone(now_s) * SLICES), SLICES - 1)
        came = state.calls
        return Pacer(
            plan,
            Spent(
                state.spent_base + cost_base,
                min(MOST_PRICE, max(LEAST_PRICE, state.price * exp(STEP * missed))),
                usual_base + (cheapest_base - usual_base) * SMOOTH_PERCENT // 100,
                (*came[:at], came[at] + 1, *came[at + 1 :]),
            ),
        )

    def next_period(self, plan: Plan) -> Pacer:
        """The next period begins with the price at which this one ended."""
        return Pacer(plan, Spent(price=self.state.price, cheapest_base=self.state.cheapest_base))

    def _calls_left_as_before(self, now_s: float) -> int:
        """As many as have come, for what is left of the time against what has gone."""
        plan = self.plan
        since_s = plan.begins_s if plan.since_s is None else plan.since_s
        gone_s = max(now_s - since_s, (plan.ends_s - since_s) / BEGINNING)
        return max(1, int((sum(self.state.calls) + 1) * max(0.0, plan.ends_s - now_s) / gone_s))

    def _gone(self, now_s: float) -> float:
        """The share of the period that is over."""
        plan = self.plan
        return min(1.0, max(0.0, (now_s - plan.begins_s) / (plan.ends_s - plan.begins_s)))


def _ratio(part: int, whole: int) -> float:
    """What one amount is of another, rounded down to millionths."""
    return part * _FINE // whole / _FINE

"""The conductor's roles and council: what they propose, how they vote, and what limits them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from support.conducting import ACT, facts

from router.conductor import exploring
from router.conductor.council import Council, Decision, Standing
from router.conductor.facts import EXPLORATION, Action, Facts, Proposal, Spending
from router.conductor.roles import ROLES, carried, safe, votes

PEER = facts("b")


def decided(*group: Facts, council: Council | None = None, now_s: float = 0.0) -> list[Decision]:
    return (council or Council(ACT)).decide(now_s, [group])


def one(*group: Facts, **more: Any) -> Proposal:
    (decision,) = decided(*group, **more)
    assert decision.acted
    return decision.proposal


@pytest.mark.parametrize(
    ("known", "role", "action", "word"),
    [
        ({"failures": 30.0}, "health", Action.OPEN, "30 of 100 tries"),
        ({"failures": 30.0, "opened": 2}, "health", Action.REST, "30 of 100 tries"),
        ({"silent_s": 12.0, "running": 5}, "health", Action.REST, "nothing has been heard for 12 s"),
        ({"latency_s": 9.0, "usual_s": 1.0}, "health", Action.REST, "take 9.0 s, usually 1.0 s"),
        ({"limited": 60.0, "calls": 20.0}, "health", Action.SHARE, "put off 60 tries"),
        ({"failures": 8.0}, "quality", Action.SHARE, "more than elsewhere"),
        ({"price_base": 800}, "cost", Action.SHARE, "up to 20 % cheaper"),
    ],
    ids=["fails", "fails-again", "hangs", "slow", "limited", "fails-a-little", "cheaper"],
)
def test_roles_propose(known: dict[str, Any], role: str, action: Action, word: str) -> None:
    council = Council(ACT)
    if opened := known.pop("opened", 0):  # the council counts them itself
        for _ in range(opened):
            assert one(facts("a", failures=30.0), PEER, council=council).action is Action.OPEN
            council.standing.clear()
    proposal = one(facts("a", **known), PEER, council=council)
    assert (proposal.role, proposal.action, proposal.deployment) == (role, action, "a")
    assert word in proposal.reason


@pytest.mark.parametrize(
    "known",
    [
        {},
        {"failures": 2.0, "calls": 3.0},
        {"silent_s": 9.0},
        {"silent_s": 12.0, "usual_s": 4.0},
        {"latency_s": 1.9, "usual_s": 0.1},
        {"latency_s": 9.0, "usual_s": 4.0},
        {"price_base": 950},
    ],
    ids=["well", "two-failures", "short-silence", "usually-slow", "fast", "little-slower", "little-cheaper"],
)
def test_small_differences_say_nothing(known: dict[str, Any]) -> None:
    assert decided(facts("a", **known), PEER) == []


@pytest.mark.parametrize(
    "peer",
    [
        facts("b", ready=False),
        facts("b", weight=0),
        facts("b", failures=30.0),
    ],
    ids=["shut", "no-weight", "as-bad"],
)
def test_nobody_is_taken_away_who_would_be_missed(peer: Facts) -> None:
    assert decided(facts("a", failures=30.0), peer) == []
    assert decided(facts("a", failures=30.0)) == []


@pytest.mark.parametrize("action", [Action.OPEN, Action.REST])
def test_no_vote_takes_the_last_one_away(action: Action) -> None:
    proposal = Proposal("health", action, "a", 60.0, "a whim")
    assert safe(proposal, (facts("a"), PEER))
    assert not safe(proposal, (facts("a"), facts("b", ready=False)))
    assert not safe(proposal, (facts("a", free=False), PEER))


def test_what_is_the_operators_is_left_alone() -> None:
    assert decided(facts("a", failures=30.0, free=False), PEER) == []


def test_two_of_three_carry_a_proposal() -> None:
    dear = facts("b", price_base=2000)
    (decision,) = decided(facts("a", failures=30.0), dear)
    assert decision.acted
    assert [name for name, words in decision.against.items() if words] == ["cost"]
    assert "100 % more" not in str(decision.against["cost"])  # half of the calls are dear already
    assert "33 % more" in str(decision.against["cost"])


def test_two_against_refuse_it_and_it_is_told_once() -> None:
    council = Council(ACT)
    cheap = facts("a", price_base=500, spare=0, running=1)
    full = facts("b", failures=2.0, running=9)
    (decision,) = decided(cheap, full, council=council)
    assert decision.acted  # health alone is against: there is no room
    assert decision.against["health"] == "a can take 0 calls more, and would get 6"
    worse = facts("a", price_base=500, spare=0, running=1, failures=2.0, calls=10.0)
    (decision,) = decided(worse, full, council=Council(ACT))
    assert not decision.acted
    assert sum(map(bool, decision.against.values())) == 2
    council = Council(ACT)
    assert len(decided(worse, full, council=council)) == 1
    assert decided(worse, full, council=council, now_s=ACT.dwell_s - 1) == []
    assert len(decided(worse, full, council=council, now_s=ACT.dwell_s)) == 1


def test_chair_rotates() -> None:
    council = Council(replace_settings(mode="advise", dwell_s=1e-9))
    group = (facts("a", failures=30.0, price_base=500), PEER)
    chairs = [council.decide(float(now_s), [group])[0].chair for now_s in range(6)]
    assert chairs == ["cost", "quality", "health"] * 2
    assert chairs[:3] == [role.name for role in ROLES]


def replace_settings(**changes: Any) -> Any:
    return type(ACT).model_validate(ACT.model_dump() | changes)


def test_advice_changes_nothing() -> None:
    council = Council(replace_settings(mode="advise"))
    (decision,) = council.decide(0.0, [(facts("a", failures=30.0), PEER)])
    assert decision.carried
    assert not decision.acted
    assert council.standing == {}


def test_rest_ends_doubles_and_comes_back_with_a_small_part() -> None:
    council, slow = Council(ACT), facts("a", latency_s=9.0, usual_s=1.0)
    assert one(slow, PEER, council=council).amount == ACT.rest_s
    assert decided(facts("a", calls=0.0), PEER, council=council, now_s=ACT.rest_s - 1) == []
    back = one(facts("a", calls=0.0), PEER, council=council, now_s=ACT.rest_s)
    assert (back.action, back.amount) == (Action.SHARE, ACT.least_share)
    assert one(slow, PEER, council=council, now_s=ACT.rest_s + 5).amount == 2 * ACT.rest_s


def test_part_grows_again_with_good_answers_not_sooner_than_dwell() -> None:
    council, slow = Council(ACT), facts("a", latency_s=9.0, usual_s=1.0)
    one(slow, PEER, council=council)
    now_s = ACT.rest_s
    shares = []
    for _ in range(40):
        shares += [
            (now_s, made.proposal.amount) for made in council.decide(now_s, [(facts("a", calls=10.0), PEER)])
        ]
        now_s += 5.0
    assert [amount for _, amount in shares] == pytest.approx([0.1, 0.3, 0.9, 1.0])
    gaps = [later - sooner for (sooner, _), (later, _) in pairwise(shares)]
    assert min(gaps) >= ACT.dwell_s


def test_rest_ends_early_when_nobody_is_left() -> None:
    council = Council(ACT)
    one(facts("a", latency_s=9.0, usual_s=1.0), PEER, council=council)
    proposal = one(facts("a", calls=0.0), facts("b", ready=False), council=council, now_s=10.0)
    assert (proposal.action, proposal.role) == (Action.RETURN, "quality")
    assert council.standing["a"].away is None


def test_moved_weight_is_taken_back_when_the_price_rises_and_ends_by_itself() -> None:
    council, cheap = Council(ACT), facts("a", price_base=500)
    assert one(cheap, PEER, council=council).amount == 3.0
    assert one(cheap, PEER, council=council, now_s=100.0).amount == ACT.most_share
    assert decided(facts("a", price_base=970), PEER, council=council, now_s=200.0) == []
    back = one(facts("a", price_base=1100), PEER, council=council, now_s=300.0)
    assert (back.amount, back.reason) == (1.0, "it is no longer the cheapest")
    one(cheap, PEER, council=council, now_s=400.0)
    council.decide(400.0 + ACT.share_s, [(PEER, facts("a"))])
    assert council.standing["a"].share is None


def test_undone_is_left_alone_for_a_while() -> None:
    council, bad = Council(ACT), facts("a", failures=30.0)
    one(bad, PEER, council=council)
    council.undo("a", 500.0)
    assert decided(bad, PEER, council=council, now_s=499.0) == []
    assert one(bad, PEER, council=council, now_s=500.0).action is Action.OPEN


def test_votes_can_be_gone_over_again() -> None:
    (decision,) = decided(facts("a", failures=30.0), facts("b", price_base=2000))
    again = replace(decision.proposal)
    assert votes(again, decision.group, ACT) == decision.against


def explored(council: Council, left: float, now_s: float = 0.0, **known: Any) -> list[Decision]:
    return council.decide(now_s, [], Spending(left, 0.02, **known))


def test_exploration_pauses_and_comes_back() -> None:
    council = Council(ACT)
    assert explored(council, 0.95) == []
    (pause,) = explored(council, 0.7)
    assert (pause.proposal.role, pause.proposal.action) == ("cost", Action.PAUSE)
    assert pause.proposal.reason == "30% less money is left than was planned"
    assert council.standing[EXPLORATION].away == pause
    assert explored(council, 0.5, 60.0) == []  # it stands
    assert explored(council, 0.92, 120.0) == []  # better, but not enough
    (resumed,) = explored(council, 0.96, 180.0)
    assert (resumed.proposal.role, resumed.proposal.action) == ("quality", Action.RESUME)
    assert council.standing[EXPLORATION].away is None
    explored(council, 0.7, 240.0)
    (again,) = explored(council, 0.7, 240.0 + ACT.pause_s)  # it ended by itself, and there is still reason
    assert again.made_s == 240.0 + ACT.pause_s


def test_what_roles_have_against_changes_of_exploration() -> None:
    council = Council(ACT)
    (pause,) = explored(council, 0.7, percent=25)
    assert pause.acted
    assert [name for name, words in pause.against.items() if words] == ["quality"]
    council.standing["a"] = Standing(away=pause)
    (resumed,) = explored(council, 0.99, 60.0)
    assert [name for name, words in resumed.against.items() if words] == ["health"]
    resume = Proposal("quality", Action.RESUME, EXPLORATION, 0.0, "a whim")
    against = exploring.votes(resume, Spending(0.8, 0.02, away=1), ACT)
    assert not carried(against)


def test_exploration_is_left_alone_after_an_operator_has_spoken() -> None:
    council = Council(ACT)
    explored(council, 0.7)
    assert council.undo(EXPLORATION, 500.0) is not None
    assert explored(council, 0.7, 499.0) == []
    assert explored(council, 0.7, 500.0)
    assert explored(Council(ACT.model_copy(update={"hands_off": (EXPLORATION,)})), 0.7) == []
    nothing = Council(ACT).decide(0.0, [], Spending(0.1, 0.0))
    assert nothing == []  # no lots are drawn anyway

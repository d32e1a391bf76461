"""Who pays for a call and at what price: tiers, subsidies, promotional credit."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from support.books import NOW_S, SIGNER, TERMS, Books, facts, new_books, reservation

from mini_llm.deployment import Deployment
from mini_llm.price import Price, Usage
from mini_llm.wallet.limits import BPS
from router.config import RouterConfig, check_economics
from router.config_money import DEFAULT_TIERS, Policy, Subsidy, Tier
from router.errors import LosesMoney, TiersOutOfOrder
from router.ledger import Budget, BudgetExceeded, Charge, Replay, Terms, open_account, tiers
from router.ledger.tiers import NeedsDeposit, Rung
from router.offers import PROMOTION, Offer, Offers

HOUSE = Deployment("p/m", "m", "p", "m", 0, Price(1_000_000, 3_000_000), 8192, 1024)
PARTNERS = replace(HOUSE, id="q/m", partner_id=1)
AGENT_ZERO = Tier(
    name="agent_zero", rate_bps=4_000, margin_usd="10000", subsidy=Subsidy(account="growth", cap_usd="1")
)


@pytest.fixture
def books(database: str) -> Iterator[Books]:
    with new_books(database) as books:
        yield books


def config(**more: Any) -> RouterConfig:
    return RouterConfig.model_validate({"providers": {}, **more})


async def offers_of(books: Books, settings: RouterConfig) -> Offers:
    offers = Offers(books.ledger, settings)
    await offers.renew()
    return offers


@pytest.mark.parametrize("bps", [1, 3333, 4000, 9999])
def test_a_scaled_price_is_rounded_up_and_never_below_its_part(bps: int) -> None:
    price = Price(7, 11, cached_base_per_mtok=3)
    scaled = price.scaled(bps)
    for name in ("prompt_base_per_mtok", "completion_base_per_mtok", "cached_base_per_mtok"):
        exact = getattr(price, name) * bps
        assert exact <= getattr(scaled, name) * BPS < exact + BPS
    assert scaled.reasoning_base_per_mtok is None
    assert price.scaled(BPS) is price


@pytest.mark.parametrize(
    "usage",
    [
        Usage(100, 50),
        Usage(100, 50, cached_tokens=100),
        Usage(100, 50, cached_tokens=30, cache_write_tokens=20, reasoning_tokens=50),
        Usage(0, 9, audio_completion_tokens=3),
    ],
)
def test_a_receipt_names_the_dearest_kind_so_no_charge_exceeds_it(usage: Usage) -> None:
    price = Price(1_000, 3_000, cached_base_per_mtok=100, cache_write_base_per_mtok=1_250)
    price = replace(price, reasoning_base_per_mtok=9_000, audio_completion_base_per_mtok=20_000)
    prompt, completion = price.dearest(usage)
    exact = usage.prompt_tokens * prompt + usage.completion_tokens * completion
    assert price.cost_base(usage) <= -(-exact // 10**6)
    assert prompt <= price.highest_prompt_base_per_mtok
    assert completion <= price.highest_completion_base_per_mtok


def test_prices_of_a_receipt_are_those_of_the_tokens_that_were_used() -> None:
    price = Price(1_000, 3_000, cached_base_per_mtok=100, reasoning_base_per_mtok=9_000)
    assert price.dearest(Usage(10, 10)) == (1_000, 3_000)
    assert price.dearest(Usage(10, 10, cached_tokens=10, reasoning_tokens=1)) == (100, 9_000)


def test_only_tiers_that_pay_are_offered_by_themselves() -> None:
    assert [tier.name for tier in config().offered_tiers] == ["simple", "developer", "enterprise"]
    check_economics(config())
    with pytest.raises(LosesMoney, match="agent_zero"):
        check_economics(config(tiers=DEFAULT_TIERS))
    check_economics(config(tiers=(*DEFAULT_TIERS[:3], AGENT_ZERO)))
    with pytest.raises(TiersOutOfOrder):
        check_economics(config(tiers=(DEFAULT_TIERS[0], DEFAULT_TIERS[2], DEFAULT_TIERS[1])))


def test_a_subsidy_is_used_up_when_its_cap_is_lost() -> None:
    """40 % of each charge of agent_zero is lost: wholesale 125 % of it, less the 85 % that is kept."""
    policy = Policy()
    limit_base = AGENT_ZERO.subsidised_base(policy, 100)
    retail_base = limit_base * BPS // AGENT_ZERO.rate_bps
    lost_base = retail_base * policy.wholesale_bps // BPS - limit_base * policy.kept_bps // BPS
    assert lost_base == 100 * 1_000_000


async def test_tiers_are_earned_by_net_margin_of_thirty_days(books: Books) -> None:
    for idx in (1, 2, 3, 4):
        books.fund(idx, 10**12)
    settings = config(
        tiers=[{"name": "a", "rate_bps": 10_000}, {"name": "b", "rate_bps": 8_000, "margin_usd": "0.5"}],
        partners=[{"id": 1, "name": "own", "bps": 3000, "accounts": [3]}],
        promotion={"sponsor": 4},
    )

    def call(idx: int, wholesale_base: int, time_s: int = NOW_S) -> None:
        held = books.reserve(idx, 100_000_000)
        used = facts(100_000_000, time_s=time_s)._replace(wholesale_base=wholesale_base)
        books.ledger.run(Charge(held.entry_id, used, TERMS, SIGNER))

    call(1, 35_000_000)  # keeps 85 % of a USD: exactly half a USD is left
    call(2, 35_000_001)
    call(3, 0)  # a partner's own call to itself
    call(4, 0)  # a promotional call
    offers = Offers(books.ledger, settings)
    await offers.reckon(NOW_S)
    assert books.ledger.read(tiers.tiers) == {1: "b"}
    await offers.reckon(NOW_S + tiers.TRAILING_S + 1)
    assert books.ledger.read(tiers.tiers) == {}


async def test_a_used_up_subsidy_gives_way_to_the_tier_below(books: Books) -> None:
    books.fund(1, 10**9)
    settings = config(tiers=(*DEFAULT_TIERS[:3], AGENT_ZERO))
    books.ledger.run(
        lambda c: tiers.store_tiers(c, {1: 10**15}, [Rung(tier.name, 0) for tier in settings.tiers], NOW_S)
    )
    offers = Offers(books.ledger, settings)
    offers._reckoned = float("inf")  # as stored above
    await offers.renew()
    assert offers.tier(1).name == "agent_zero"
    assert [offer.rate_bps for offer in offers.of(1, [PARTNERS])] == [4_000, 6_000]
    (subsidised, plain) = offers.of(1, [PARTNERS])
    (budget,) = subsidised.budgets
    assert budget == Budget("subsidy:growth:agent_zero", 250_000_000)
    assert plain.budgets == ()
    request = replace(reservation(1, 250_000_001), budgets=subsidised.budgets)
    with pytest.raises(BudgetExceeded):
        books.ledger.run(request)


async def test_promotional_credit_is_spent_first_and_earns_nobody_anything(books: Books) -> None:
    books.fund(1, 5_000_000)
    books.fund(9, 10**9)
    settings = config(promotion={"sponsor": 9, "signup_usd": "0.05", "least_deposit_usd": "0"})
    offers = await offers_of(books, settings)
    promo, own = offers.of(1, [HOUSE])
    assert promo == Offer(9, BPS, (Budget("promo:1", 5_000_000),), PROMOTION, promotional=True)
    assert own == Offer(1, tier="simple")
    assert list(offers.of(1, [HOUSE, PARTNERS])) == [own], "a partner's deployment is not the house's"
    assert next(iter(offers.of(1, [replace(PARTNERS, promotional=True)]))) == promo
    assert list(offers.of(9, [HOUSE])) == [Offer(9, tier="simple")], "the sponsor sponsors itself nothing"

    asked = replace(reservation(9, 4_000_000, "k"), budgets=promo.budgets, user_idx=1, origin_idx=1)
    held = books.ledger.run(asked)
    house = Terms(partner_id=0, partner_bps=0, fee_bps=1500, burn_bps=500, pool_bps=1000)
    books.post(held.entry_id, 4_000_000, house)
    view = books.ledger.read(lambda c: tiers.promo_view(c, 1))
    assert (view.granted_base, view.spent_base, view.left_base) == (5_000_000, 4_000_000, 1_000_000)
    assert books.account(1).spent_base == 0
    assert books.account(1).balance_base == 5_000_000, "credit is no balance, so it cannot be withdrawn"
    assert isinstance(books.try_reserve(1, 4_000_000, "k"), Replay), "whoever pays, a replay is one call"
    with pytest.raises(BudgetExceeded):
        books.ledger.run(replace(asked, client_key=None))


async def test_another_sponsor_pays_for_the_credit_that_is_left(books: Books) -> None:
    for idx in (1, 8, 9):
        books.fund(idx, 10**9)
    books.ledger.run(lambda c: tiers.grant(c, "gift", 1, 9, 5_000_000, NOW_S))
    offers = await offers_of(books, config(promotion={"sponsor": 9}))
    (budget,) = offers.of(1, [HOUSE])[0].budgets
    spent = replace(reservation(9, 4_000_000), budgets=(budget,), user_idx=1, origin_idx=1)
    books.post(books.ledger.run(spent).entry_id, 4_000_000)
    books.ledger.run(lambda c: tiers.grant(c, "another gift", 1, 8, 2_000_000, NOW_S))

    def held_base(offer: Offer) -> int:
        """The most that it holds."""
        left_base = books.ledger.read(lambda c: tiers.promo_view(c, 1)).left_base
        asked = replace(reservation(offer.payer_idx, left_base), budgets=offer.budgets, user_idx=1)
        return books.ledger.run(asked).quote_base

    offers.adopt(config(promotion={"sponsor": 8}))
    await offers.renew()
    other = offers.of(1, [HOUSE])[0]
    assert (other.payer_idx, other.promotional) == (8, True)
    assert held_base(other) == 3_000_000


async def test_credit_is_granted_once_and_after_a_deposit(books: Books) -> None:
    books.fund(1, 5)
    books.fund(9, 10)
    books.ledger.run(lambda c: open_account(c, 2, "0x" + "2" * 40))
    settings = config(promotion={"sponsor": 9, "signup_usd": "5", "least_deposit_usd": "0"})
    for _ in range(2):
        await offers_of(books, settings)
    assert books.ledger.read(lambda c: tiers.promo_view(c, 1)).granted_base == 500_000_000
    assert books.ledger.read(lambda c: tiers.promo_view(c, 2)).granted_base == 0
    with pytest.raises(NeedsDeposit):
        books.ledger.run(lambda c: tiers.grant(c, "gift", 2, 9, 5, NOW_S))
    assert not books.ledger.run(lambda c: tiers.grant(c, "signup:1", 1, 9, 5, NOW_S))


async def test_sign_up_credit_asks_for_a_deposit_worth_it_and_goes_to_so_many_a_day(books: Books) -> None:
    for idx, cents in ((1, 499), (2, 500), (3, 500), (9, 10)):
        books.fund(idx, cents * 1_000_000)
    settings = config(promotion={"sponsor": 9, "signup_usd": "5", "signups_day": 1})
    for granted in ([2], [2]):
        await offers_of(books, settings)
        assert [
            idx for idx in (1, 2, 3) if books.ledger.read(lambda c, i=idx: tiers.promo_view(c, i)).left_base
        ] == granted
    now_s = int(time.time())
    waiting = books.ledger.read(lambda c: tiers.without_signup(c, 9, 500_000_000, 1, now_s + 86_401))
    assert waiting == [3]


async def test_credit_pays_no_fee_for_the_callers_own_key(books: Books) -> None:
    books.fund(1, 10**9)
    books.fund(9, 10**9)
    offers = await offers_of(books, config(promotion={"sponsor": 9, "signup_usd": "5"}))
    assert offers.of(1, [HOUSE])[0].promotional
    own = replace(PARTNERS, partner_id=HOUSE.partner_id, own_key=True)
    assert not any(offer.promotional for offer in offers.of(1, [own]))


async def test_what_was_looked_up_for_a_replaced_configuration_is_not_used(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    books.fund(1, 5)
    offers = Offers(books.ledger, config(promotion={"sponsor": 9}))
    other = config(promotion={"sponsor": 8})

    def replaced_meanwhile(connection: Any) -> Any:
        offers.adopt(other)
        return {1: "developer"}, {1: 1_000}

    monkeypatch.setattr("router.offers._in_force", replaced_meanwhile)
    await offers.renew()
    assert list(offers.of(1, [HOUSE])) == [Offer(1, tier="simple")]
    monkeypatch.undo()
    margins_base = {1: 10**15}
    monkeypatch.setattr("router.ledger.tiers.margins", lambda *_: margins_base)
    await offers.renew()
    assert offers.tier(1).name == "enterprise", "tiers are reckoned anew"
    assert [offer.tier for offer in offers.of(1, [HOUSE])] == ["enterprise"], (
        "and offered to who asked before"
    )

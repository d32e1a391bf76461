"""Predicted quality: shipped data, models known and unknown, difficulty and doubt."""

from __future__ import annotations

import itertools

import pytest

from mini_llm.auto.logistic import sigmoid
from mini_llm.auto.predictor import Predictor, interpolate
from mini_llm.auto.priors import KINDS, PUBLISHED, ModelFacts, abilities, guessed_usd_per_mtok, published

LAW = (
    "A landlord sued a tenant, who, after the lease was signed, refused to pay, and the court heard evidence "
    "of a breach of the contract by the landlord, who had promised repairs, in writing, before the tenant "
    "moved in. The jury found for the tenant. On appeal, the judgment will be\n"
    "A. affirmed, because the covenants are dependent\nB. affirmed, because the breach was material\n"
    "C. reversed, because the covenants are independent\n"
    "D. reversed, because the tenant remained in possession\nAnswer:"
)
TRIVIA = "Who painted the Mona Lisa?\nA. Monet\nB. Leonardo\nC. Manet\nD. Picasso\nAnswer:"
SUM = "How much is 12 + 30?"
PAIR = (ModelFacts("mixtral-8x7b", 0.24, 0.24), ModelFacts("gpt-4", 24.7, 24.7))


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor.shipped()


def test_it_is_read_once(predictor: Predictor) -> None:
    assert Predictor.shipped() is predictor


def test_hard_prompts_are_told_from_easy_ones(predictor: Predictor) -> None:
    hard, easy = predictor.predict(LAW, PAIR), predictor.predict(TRIVIA, PAIR)
    assert easy.difficulty < 0.5 < hard.difficulty
    assert hard.quality[1] - hard.quality[0] > easy.quality[1] - easy.quality[0] > 0


@pytest.mark.parametrize("prompt", ["", LAW, TRIVIA, SUM, "def f(x):\n  return x", "x" * 100_000, "Привет"])
def test_everything_stays_in_its_range(predictor: Predictor, prompt: str) -> None:
    found = predictor.predict(prompt, [*PAIR, ModelFacts("new"), ModelFacts("free", 0, 0)])
    assert all(0 <= value <= 1 for value in (found.difficulty, found.doubt, *found.quality))
    assert len(found.quality) == 4


def test_doubt_where_nothing_was_measured(predictor: Predictor) -> None:
    usual = predictor.predict(TRIVIA, PAIR).doubt
    assert predictor.predict("Напиши стихотворение о море", PAIR).doubt > usual
    assert predictor.predict("Write a poem about the sea.", PAIR).doubt > usual


def test_better_ranks_never_lower_the_difficulty(predictor: Predictor) -> None:
    for form in predictor._forms.values():
        assert all(a < b for (_, a), (_, b) in itertools.pairwise(form["difficulty"]))


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("openai/gpt-4-vision-preview", "gpt-4.*(?:turbo|preview)"),
        ("gpt4", "gpt-?4"),
        ("gpt-4.1-mini-2025-04-14", "gpt-4-?1.*mini"),
        ("gpt-4o-mini", "gpt-4o.*mini"),
        ("gpt-3.5-turbo", "gpt-?3-?5|gpt-35|chatgpt"),
        ("gpt-3.5-turbo-0613", "gpt-?3-?5|gpt-35|chatgpt"),
        ("gpt-3.5-turbo-1106", "gpt-?3-?5.*1106"),
        ("azure/gpt-35-turbo-0125", "gpt-?3-?5.*0125"),
        ("gpt-4-1106-preview", "gpt-4-1106"),
        ("gpt-4-turbo-2024-04-09", "gpt-4.*(?:turbo|preview)"),
        ("mistralai/mixtral-8x7b-chat", "mixtral"),
        ("mistralai/mistral-7b-chat", "mistral|ministral|zephyr"),
        ("meta/code-llama-instruct-34b-chat", "code-?llama.*34b"),
        ("meta/llama-2-70b-chat", "llama-?2?.*(?:70b|65b)"),
        ("Meta-Llama-3-8B-Instruct", "llama-?3.*8b"),
        ("Meta-Llama-3.1-8B-Instruct", "llama-?3-?[1-3].*8b"),
        ("o3-2025-04-16", r"(?:^|-)o3(?!\d)"),
        ("openai/o4-mini", "(?:^|-)o4.*mini"),
        ("o1-mini", "(?:^|-)o[13].*mini"),
        ("mistral-medium-3.1", "mistral.*medium-?3"),
        ("mistral-medium-2312", "mistral.*medium"),
        ("command-a-03-2025", "command-?a(?![a-z])"),
        ("zero-one-ai/Yi-34B-Chat", "(?:^|-)yi-?.*34b"),
        ("WizardLM/WizardLM-13B-V1.2", "wizard.*13b"),
        ("claude-instant-v1", "claude.*instant"),
        ("claude-v2", "claude-?(?:v-?)?2"),
        ("claude-v1", "claude-?(?:v-?)?1|claude"),
        ("anthropic.claude-3-5-sonnet-20241022", "claude-?3-?5.*sonnet"),
        ("claude-3-opus-20240229", "claude-?3.*opus"),
    ],
)
def test_names(name: str, pattern: str) -> None:
    row = published(name)
    assert row is not None
    assert row.pattern == pattern


def test_published_figures_are_percentages() -> None:
    for row in PUBLISHED:
        assert all(1 < one < 100 for one in (row.knowledge, row.mathematics, row.code) if one is not None)
        assert row.usd_per_mtok > 0


def test_unknown_models_are_placed_by_price() -> None:
    for unit in (1, 1_000_000):
        cheap, dear = abilities((ModelFacts("a", 1 * unit, 3 * unit), ModelFacts("b", 10 * unit, 30 * unit)))
        assert dear["choice"] == pytest.approx(1.5)
        assert dear["choice"] - cheap["choice"] == pytest.approx(0.6)


def test_unknown_models_stand_among_known_ones() -> None:
    weak, new, strong = abilities((PAIR[0], ModelFacts("new", 2.4, 2.4), PAIR[1]))
    assert weak["choice"] < new["choice"] < strong["choice"]


def test_a_prior_goes_before_what_is_published() -> None:
    told, plain = abilities((ModelFacts("gpt-4", prior=0.5), ModelFacts("gpt-4")))
    assert told["choice"] < plain["choice"]
    assert set(told) == set(KINDS)


def test_what_places_a_model_is_told() -> None:
    placed = [ModelFacts("gpt-4").placed_by, ModelFacts("gpt-5").placed_by, ModelFacts("llama-4").placed_by]
    assert placed == ["published figures", "estimates", "published figures and estimates"]
    assert ModelFacts("acme-mini", 1, 3).placed_by == "price"
    assert (
        ModelFacts("acme-mini", 1, 3, prior=0.6).placed_by
        == ModelFacts("gpt-4", prior=0.6).placed_by
        == "prior"
    )


def test_without_prices_names_give_a_guess() -> None:
    weak, strong = abilities((ModelFacts("acme-mini"), ModelFacts("acme-large")))
    assert weak["chat"] < strong["chat"]
    assert guessed_usd_per_mtok("acme-7b") == pytest.approx(0.1375)
    assert guessed_usd_per_mtok("acme") is None
    assert abilities((ModelFacts("acme"),))[0]["chat"] == 1.0


def test_curves() -> None:
    curve = [(0.0, 1.0), (2.0, 3.0), (2.0, 5.0)]
    assert [interpolate(curve, at) for at in (-1, 0, 1, 2, 9)] == [1, 1, 2, 5, 5]


def test_the_logistic_curve_does_not_overflow() -> None:
    assert [sigmoid(at) for at in (-1e4, 0, 1e4)] == [0, 0.5, 1]


@pytest.mark.parametrize(
    ("model", "source"),
    [
        ("gpt-5", "estimates"),
        ("gpt-4o", "published figures and estimates"),
        ("llama-3.1-8b", "published figures"),
    ],
)
def test_it_is_told_which_figures_are_estimates(model: str, source: str) -> None:
    known = published(model)
    assert known is not None
    assert known.source == source

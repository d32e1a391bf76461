"""`vibes route`: what the gate makes of a prompt, told without asking anybody."""

from __future__ import annotations

import json
from typing import Any

import click

from mini_llm.auto.choice import InvalidQuality, Option, Weights, share_of
from mini_llm.auto.gate import NEUTRAL, Gate, GateDecision, GateInputs, gated_choice, shown_to_help
from mini_llm.auto.predictor import Prediction, Predictor
from mini_llm.auto.priors import ModelFacts, guessed_usd_per_mtok

MICRO = 1_000_000
MOST_USD = 1_000_000
SHARE = click.FloatRange(0, 1)


@click.group()
def route() -> None:
    """Show how a model is chosen for a prompt."""


@route.command()
@click.argument("prompt")
@click.option("-m", "--model", "models", multiple=True, metavar="NAME[=USD]",
              help="A candidate, with its price per million tokens if none is known.")  # fmt: skip
@click.option("--quality", default="standard", show_default=True, help="standard, high, best, or 0 … 1.")
@click.option("--budget-left", type=SHARE, default=1.0, show_default=True,
              help="Money left over time left in the period.")  # fmt: skip
@click.option("--health", type=SHARE, default=1.0, show_default=True,
              help="Share of calls that the provider answers.")  # fmt: skip
@click.option("--urgency", type=SHARE, default=0.0, show_default=True, help="How much waiting hurts.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def explain(
    prompt: str,
    models: tuple[str, ...],
    quality: str,
    budget_left: float,
    health: float,
    urgency: float,
    as_json: bool,
) -> None:
    """Show what is predicted for PROMPT ("-": standard input), and how strongly the rules of the gate fire.

    No model is called and nothing is charged. Candidates are judged by what is published about them. To
    see what a running router would do with its own prices, limits and health, use its POST /v1/route.

    \b
    Examples:
      vibes route explain "Prove that the square root of 2 is irrational."
      vibes route explain - --budget-left 0.3 --urgency 0.8 < prompt.txt
      vibes route explain "Hello" -m mixtral-8x7b -m gpt-4 --quality high
    """
    try:
        share_of(quality)
    except InvalidQuality as error:
        raise click.BadParameter(str(error), param_hint="--quality") from None
    text = click.get_text_stream("stdin").read() if prompt == "-" else prompt
    priced = [_candidate(model) for model in models]
    predicted = Predictor.shipped().predict(text, [ModelFacts(name, usd, usd) for name, usd in priced])
    inputs = GateInputs(predicted.difficulty, predicted.doubt, budget_left, health, urgency)
    decision, applies = Gate.shipped().decide(inputs), shown_to_help(inputs)
    told: dict[str, Any] = {
        "applies": applies,
        "inputs": {name: round(value, 4) for name, value in inputs._asdict().items()},
        "advantage": round(decision.advantage, 4),
        "cost_weight": round(decision.cost_weight, 4),
        "escalate": decision.escalate,
        "rules": [
            {"if": rule.words, "strength": round(rule.strength, 4), "says": round(rule.says, 4)}
            for rule in decision.fired
        ],
        **(_chosen(priced, predicted, quality, decision if applies else NEUTRAL) if priced else {}),
    }
    click.echo(json.dumps(told) if as_json else "\n".join(_lines(told)))


def _candidate(model: str) -> tuple[str, float]:
    """Name and USD per million tokens of a candidate, as `NAME` or `NAME=USD`."""
    name, given, usd = model.partition("=")
    try:
        price = float(usd) if given else guessed_usd_per_mtok(name)
    except ValueError:
        price = None
    if not name or price is None or not 0 <= price < MOST_USD:
        raise click.BadParameter(f"{model}: write NAME=USD, per million tokens", param_hint="--model")
    return name, price


def _chosen(
    priced: list[tuple[str, float]], predicted: Prediction, quality: str, decision: GateDecision
) -> dict[str, Any]:
    """The candidates in their order, at their price for a million tokens, with the reason for the first."""
    options = [
        Option(expected, int(MICRO * usd))
        for (_, usd), expected in zip(priced, predicted.quality, strict=True)
    ]
    costs = [option.cost_base for option in options]
    share = Predictor.shipped().share_of_call(predicted, share_of(quality), costs)
    choice = gated_choice(options, share, Weights(), decision)
    ranked = [
        {"model": name, "quality": round(options[at].quality, 4), "placed_by": ModelFacts(name).placed_by}
        for at, name in ((at, priced[at][0]) for at in choice.ranked)
    ]
    return {"candidates": ranked, "floor": round(choice.floor, 4), "reason": choice.reason}


def _lines(told: dict[str, Any]) -> list[str]:
    lines = ["  ".join(f"{name.replace('_', ' ')} {value:.2f}" for name, value in told["inputs"].items()), ""]
    lines += [
        f"{rule['strength']:4.0%}  if {rule['if']}: a stronger model is worth {rule['says']:+.3f}"
        for rule in told["rules"]
    ]
    verdict = "take it" if told["escalate"] else "do not pay for it"
    lines += ["", f"together {told['advantage']:+.3f} of quality after its cost: {verdict}",
              f"weight of cost × {told['cost_weight']:.2f}"]  # fmt: skip
    if not told["applies"]:
        lines.append("not applied: under such conditions the gate was not shown to help")
    if "candidates" in told:
        lines += [""] + [
            f"{one['quality']:.2f}  {one['model']}, by {one['placed_by']}" for one in told["candidates"]
        ]
        lines.append(f"first: {told['reason']}")
    return lines

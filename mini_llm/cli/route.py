"""``mini-llm route``: which model a question would go to, and why."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from mini_llm.cli.chat import question
from mini_llm.cli.state import State, json_option, pass_state, print_json, printable, table


@click.command()
@click.argument("words", nargs=-1, metavar="[TEXT]…")
@click.option("-m", "--model", default="auto", show_default=True, help="The model to ask for.")
@click.option("-q", "--quality", help="cheap, standard, high, best, or a share of the best from 0 to 1.")
@click.option("--max-tokens", type=click.IntRange(1), help="Longest answer in tokens.")
@json_option
@pass_state
def route(
    state: State,
    words: tuple[str, ...],
    model: str,
    quality: str | None,
    max_tokens: int | None,
    as_json: bool,
) -> None:
    """Show which model a question would go to and why, without asking anybody.

    The first is chosen; the others are tried if it fails. Quality is the predicted chance of a good
    answer; cost is predicted, too.

    \b
    Examples:
      mini-llm route "Why is the sky blue?"
      mini-llm route -q best "Prove that there are infinitely many primes"
      git diff | mini-llm route --json "Review this" | jq .candidates
    """
    fields: dict[str, Any] = {"max_tokens": max_tokens, "vibes_quality": quality}
    fields = {name: value for name, value in fields.items() if value is not None}
    told = asyncio.run(_explained(state, question(words), model, fields))
    if as_json:
        print_json(told)
        return
    head = ("", "DEPLOYMENT", "QUALITY", "COST", "LATELY")
    rows = [_row(place, one) for place, one in enumerate(told["candidates"])]
    click.echo(table([head, *rows]))
    click.echo("\n" + printable(f"{told['chosen']['deployment']}: {told['reason']}"))
    if guessed := _guessed(told["candidates"]):
        click.echo(printable(f"placed by price only, so no quality is promised for: {guessed}"))
    for one in told["left_out"]:
        click.echo(printable(f"left out: {one['deployment']}: {one['reason']}"))


async def _explained(state: State, text: str, model: str, fields: dict[str, Any]) -> dict[str, Any]:
    from mini_llm.client import AsyncClient

    async with AsyncClient(state.settings()) as client:
        return (await client.route(text, model=model, **fields)).model_dump()


def _guessed(candidates: list[dict[str, Any]]) -> str:
    """The models of which nobody knows more than the price."""
    from mini_llm.auto.priors import PRICE

    return ", ".join(dict.fromkeys(one["model"] for one in candidates if one["placed_by"] == PRICE))


def _row(place: int, one: dict[str, Any]) -> tuple[str, ...]:
    from mini_llm.costs import Cost

    quality, cost_base, latency_ms = one["quality"], one["cost_base"], one["latency_ms"]
    below = "" if one["meets_floor"] in (True, None) else " (below the floor)"
    return (
        "→" if place == 0 else "",
        ", ".join(one["deployments"]),
        "" if quality is None else f"{quality:.2f}{below}",
        "" if cost_base is None else f"${Cost(int(cost_base)).usd}",
        "" if latency_ms is None else f"{latency_ms} ms",
    )

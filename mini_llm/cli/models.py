"""``mini-llm models``: what can be called."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from mini_llm.cli.ending import UNREACHABLE, Trouble
from mini_llm.cli.state import State, json_option, pass_state, print_json, printable, table
from mini_llm.config_sdk import WALLET

if TYPE_CHECKING:
    from mini_llm.settings import Settings


@click.command()
@click.argument("pattern", required=False)
@json_option
@pass_state
def models(state: State, pattern: str | None, as_json: bool) -> None:
    """List aliases, configured models and what the providers list, each as `mini-llm chat -m` takes it.

    PATTERN keeps the names that contain it. Prices are USD per million tokens, where they are known.

    \b
    Examples:
      mini-llm models
      mini-llm models llama
      mini-llm models --json | jq -r '.models[].name'
    """
    settings = state.settings()
    listed, silent = asyncio.run(_listed(settings))
    kept = [one for one in listed if pattern is None or pattern.lower() in one["name"].lower()]
    if as_json:
        print_json({"models": kept, "unreachable": silent})
    elif kept:
        head = ("MODEL", "SERVED BY", "READ", "WRITTEN")
        rows = [
            (one["name"], one["served_by"], one["prompt_usd"] or "", one["completion_usd"] or "")
            for one in kept
        ]
        click.echo(table([head, *rows]))
    for name in silent:
        how = "status" if name == WALLET else f"providers test {name}"
        click.echo(f"{printable(name)} does not list its models now: see `mini-llm {how}`", err=True)
    if not kept and not as_json:
        raise Trouble(
            "no model" + (f" has {pattern!r} in its name" if pattern else " is known"),
            UNREACHABLE if silent else 1,
        )


async def _listed(settings: Settings) -> tuple[list[dict[str, Any]], list[str]]:
    """Every model, and the providers that could not be asked."""
    from mini_llm.engine import Engine

    engine = Engine(settings)
    try:
        found, silent = await engine.listed()
    finally:
        await engine.aclose()
    return [_entry(settings, name, provider) for name, provider in found.items()], silent


def _entry(settings: Settings, name: str, provider: str) -> dict[str, Any]:
    from mini_llm.config import DeploymentConfig
    from mini_llm.config_sdk import VIBES_PER_USD
    from mini_llm.costs import Cost
    from mini_llm.retail import has_price, price_of

    entry: dict[str, Any] = {"name": name, "served_by": provider, "prompt_usd": None, "completion_usd": None}
    item = settings.providers.get(provider)
    if item is not None and name not in settings.aliases:
        wanted = DeploymentConfig(model=name.removeprefix(f"{provider}/"), provider=provider)
        deployment = next((one for one in settings.deployments if name in (one.id, one.model)), wanted)
        if item.type != "local" and has_price(deployment, item):
            price = price_of(deployment, item, VIBES_PER_USD)
            entry["prompt_usd"] = Cost(price.prompt_base_per_mtok).usd
            entry["completion_usd"] = Cost(price.completion_base_per_mtok).usd
    return entry

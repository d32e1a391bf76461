"""``mini-llm alias``: names of one's own for models."""

from __future__ import annotations

import click

from mini_llm.cli.ending import MISUSED, Trouble
from mini_llm.cli.state import State, json_option, pass_state, print_json, table


@click.group(invoke_without_command=True)
@click.pass_context
def alias(context: click.Context) -> None:
    """Manage your own names for models; without a command, list them.

    \b
    Examples:
      mini-llm alias set fast=gpt-4o-mini
      mini-llm alias set fast=gpt-4o-mini,llama3.2      the second when the first fails
      mini-llm chat -m fast "Hello"
    """
    if context.invoked_subcommand is None:
        context.invoke(list_aliases)


@alias.command("set")
@click.argument("pairs", nargs=-1, required=True, metavar="NAME=MODEL[,MODEL…]…")
@pass_state
def set_alias(state: State, pairs: tuple[str, ...]) -> None:
    """Give models names, in your own settings.

    \b
    Example: mini-llm alias set fast=gpt-4o-mini smart=claude-sonnet-4-5,gpt-5
    """
    named = dict(map(_pair, pairs))
    state.user_file.edit(lambda fields: fields.setdefault("aliases", {}).update(named))
    settings = state.settings()
    for name, target in named.items():
        click.echo(f"{name} is {_told(target)}")
        origin = settings.origins.get(f"aliases.{name}")
        if origin is not None and origin != str(state.user_file.path):
            click.echo(f"here {origin} says otherwise: {_told(settings.aliases[name])}", err=True)


@alias.command("list")
@json_option
@pass_state
def list_aliases(state: State, as_json: bool = False) -> None:
    """List the names, and where each is set.

    \b
    Example: mini-llm alias list --json
    """
    settings = state.settings()
    listed = [
        {"name": name, "models": _models(target), "origin": settings.origins.get(f"aliases.{name}")}
        for name, target in settings.aliases.items()
    ]
    if as_json:
        print_json({"aliases": listed})
    elif listed:
        rows = [(str(one["name"]), ", ".join(one["models"] or ()), str(one["origin"])) for one in listed]
        click.echo(table([("NAME", "MODELS", "SET IN"), *rows]))
    else:
        click.echo("no aliases: set one with `mini-llm alias set fast=MODEL`")


@alias.command("remove")
@click.argument("names", nargs=-1, required=True)
@pass_state
def remove_alias(state: State, names: tuple[str, ...]) -> None:
    """Remove names from your own settings.

    \b
    Example: mini-llm alias remove fast
    """

    def take(fields: dict[str, dict[str, object]]) -> None:
        known = fields.get("aliases", {})
        if missing := [name for name in names if name not in known]:
            raise Trouble(f"{missing[0]!r} is not an alias in {state.user_file.path}")
        for name in names:
            del known[name]

    state.user_file.edit(take)
    click.echo(f"removed {', '.join(names)}")


def _pair(text: str) -> tuple[str, str | list[str]]:
    name, equals, models = text.partition("=")
    targets = [part.strip() for part in models.split(",")]
    if not name.strip() or not equals or not all(targets):
        raise Trouble(f"{text!r} is not an alias: write it as fast=gpt-4o-mini", MISUSED)
    return name.strip(), targets[0] if len(targets) == 1 else targets


def _models(target: str | tuple[str, ...] | list[str]) -> list[str]:
    return [target] if isinstance(target, str) else list(target)


def _told(target: str | tuple[str, ...] | list[str]) -> str:
    return ", else ".join(_models(target))

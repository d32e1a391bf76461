"""``mini-llm config``: which files are read, what they come to, and whether they are right."""

from __future__ import annotations

from typing import Any

import click

from mini_llm.cli.state import State, json_option, pass_state, print_json
from mini_llm.userfile import FILE_NAME, user_folder

HIDDEN = "…"
"""Stands for a secret."""
_STARS = "*" * 10


@click.group(invoke_without_command=True)
@click.pass_context
def config(context: click.Context) -> None:
    """Show where settings come from, and check them; without a command, list the files.

    \b
    Examples:
      mini-llm config path
      mini-llm config show
      mini-llm config check && mini-llm start
    """
    if context.invoked_subcommand is None:
        context.invoke(show_paths)


@config.command("path")
@json_option
@pass_state
def show_paths(state: State, as_json: bool = False) -> None:
    """List the files that are read, by precedence.

    \b
    Example: $EDITOR "$(mini-llm config path --json | jq -r .user.path)"
    """
    from mini_llm.settings import PROJECT_FILE, project_file

    folder = user_folder(state.environ)
    user = None if folder is None else folder / FILE_NAME
    project = state.file or project_file(state.cwd)
    places = {"project": project or state.cwd / PROJECT_FILE, "user": user}
    if as_json:
        told = {
            name: None if path is None else {"path": str(path), "exists": path.is_file()}
            for name, path in places.items()
        }
        print_json(told)
        return
    for name, path in places.items():
        if path is None:
            click.echo(f"{name:<8} none: HOME is not set")
        else:
            click.echo(f"{name:<8} {path}{'' if path.is_file() else '  (does not exist)'}")


@config.command("show")
@pass_state
def show_settings(state: State) -> None:
    """Print the settings as they are used here, as JSON, and where each comes from. Secrets are hidden.

    \b
    Example: mini-llm config show | jq .origins
    """
    settings = state.settings()
    told = settings.model_dump(mode="json", exclude_defaults=True)
    print_json({"settings": _without_secrets(told), "origins": dict(settings.origins)})


@config.command("check")
@json_option
@pass_state
def check_settings(state: State, as_json: bool) -> None:
    """Check all settings, and show each mistake with its line. Exits with 2 if there is one.

    \b
    Example: mini-llm --config deploy/mini-llm.config.json config check
    """
    from mini_llm.config_sdk import VIBES_PER_USD
    from mini_llm.errors import ConfigError, ConfigErrors
    from mini_llm.routing.build import check

    try:
        settings = state.settings()
        check(settings, VIBES_PER_USD, state.environ)
    except ConfigError as error:
        if not as_json:
            raise
        found = error.errors if isinstance(error, ConfigErrors) else (error,)
        print_json({"ok": False, "errors": [{"where": one.where, "problem": one.problem} for one in found]})
        raise click.exceptions.Exit(2) from None
    if as_json:
        print_json({"ok": True, "errors": []})
    else:
        click.echo(f"valid: providers {len(settings.providers)}, aliases {len(settings.aliases)}")


def _without_secrets(value: Any) -> Any:
    """pydantic writes a secret as stars, as many for each."""
    if isinstance(value, dict):
        return {name: _without_secrets(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_secrets(item) for item in value]
    return HIDDEN if value == _STARS else value

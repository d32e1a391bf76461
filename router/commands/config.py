"""`vibes-router config`: the configuration file, checked and described."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import click

from mini_llm.cli.lazy import Group
from mini_llm.schema import schema_text
from router.commands.ledger import told
from router.config import RouterConfig, check_economics, load_router_config

SCHEMA_TITLE: Final = "vibes-router configuration"


@click.group(cls=Group)
def config() -> None:
    """Check the configuration file, or print its schema; docs/gateway/routing.md describes it."""


@config.command()
@click.argument("file", envvar="VIBES_CONFIG", type=click.Path(path_type=Path))
def check(file: Path) -> None:
    """Check FILE [default: VIBES_CONFIG] as `serve` would, and show every error with its line.

    \b
    The variables and files that it refers to must exist:
      vibes-router config check router.toml
    """
    with told():
        checked = load_router_config(file, os.environ)
        check_economics(checked)
    click.echo(f"{file} is valid: deployments {len(checked.deployments)}, providers {len(checked.providers)}")


@config.command()
def schema() -> None:
    """Print the JSON Schema, for editors; name it in the file as "$schema".

    \b
    Example: vibes-router config schema > router.schema.json
    """
    click.echo(schema_text(RouterConfig, SCHEMA_TITLE), nl=False)

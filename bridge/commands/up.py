"""`vibes up`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from bridge.commands.ending import exit_codes
from bridge.errors import NotACheckout


@click.command(context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@exit_codes
def up(arguments: tuple[str, ...]) -> None:
    """Start chain, contracts, router and bridge on this machine, and keep them running until Ctrl-C.

    Needs a checkout of the project, whose scripts/up.py it runs; ARGUMENTS go to that, as does --help.

    \b
    Example:
      vibes up
    """
    script = _checkout() / "scripts" / "up.py"
    os.chdir(script.parents[1])
    # In this process's place, so that a signal meant for it reaches what has to stop the others.
    os.execv(sys.executable, [sys.executable, str(script), *arguments])  # noqa: S606


def _checkout() -> Path:
    """The checkout around the working directory, or around this package. Raises NotACheckout."""
    here = Path.cwd()
    for folder in (here, *here.parents, Path(__file__).resolve().parents[2]):
        if (folder / "scripts" / "up.py").is_file() and (folder / "bridge").is_dir():
            return folder
    raise NotACheckout(str(here))

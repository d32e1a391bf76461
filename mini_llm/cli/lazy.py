"""Command groups: one that lists whole sentences, and one that imports a command when it is called."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Final

import click

LONGEST: Final = 300
"""Characters of a first sentence, more than any has."""

Sections = Mapping[str, Mapping[str, tuple[str, str]]]
"""Commands by the title of their section and their name: ``package.module:attribute``, and a line of help."""


class Group(click.Group):
    """A group that lists its commands with the whole first sentence of each."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """See click, which cuts sentences."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, one.get_short_help_str(LONGEST)) for name, one in found if one and not one.hidden]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)


class LazyGroup(click.Group):
    """A group of commands that are elsewhere, in sections; its help imports none of them.

    Args:
        sections: the commands, in the order in which help lists them.
        attributes: see click.
    """

    def __init__(self, *, sections: Sections, **attributes: Any) -> None:
        super().__init__(**attributes)
        self._sections = sections

    def list_commands(self, ctx: click.Context) -> list[str]:
        """See click."""
        return [name for section in self._sections.values() for name in section]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """See click."""
        for section in self._sections.values():
            if cmd_name in section:
                return _load(section[cmd_name][0])
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """See click."""
        for title, section in self._sections.items():
            with formatter.section(title):
                formatter.write_dl([(name, line) for name, (_, line) in section.items()])


@contextmanager
def loading() -> Iterator[None]:
    """Nothing is searched for garbage meanwhile: modules stay, and to search them is a fifth of the time."""
    searching = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if searching:
            gc.enable()


def _load(place: str) -> click.Command:
    module, _, attribute = place.partition(":")
    with loading():
        command: click.Command = getattr(import_module(module), attribute)
    return command

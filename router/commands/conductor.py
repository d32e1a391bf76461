"""`vibes-router conductor`: what was decided, taking it back, and going over it again."""

from __future__ import annotations

import getpass
import json
import sys
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

import click

from mini_llm.cli.lazy import Group
from router.commands.ledger import read_ledger, write_ledger
from router.conductor.replay import gone_over, unknown
from router.ledger import conducted


@click.group(cls=Group)
def conductor() -> None:
    """Show, replay and undo decisions of the conductor, which steers calls between deployments."""


@conductor.command("log")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, conducted.MAX_PAGE))
@click.option("--below", type=int, help="Only decisions older than this number.")
@click.option("--json", "as_json", is_flag=True, help="JSON lines, with the facts and votes.")
def show(limit: int, below: int | None, as_json: bool) -> None:
    """Show the latest decisions, newest first.

    \b
    Example: vibes-router conductor log --limit 5 --json
    """
    found = read_ledger(lambda connection: conducted.entries(connection, below, limit))
    for row in found:
        click.echo(json.dumps(row) if as_json else _line(row))
    if not found:
        click.echo("no decisions", err=True)


@conductor.command("undo")
@click.argument("number", type=int)
@click.option("--reason", default="", help="For the log.")
def undo(number: int, reason: str) -> None:
    """Take back decision NUMBER in every worker within a round, and leave its deployment alone for
    `respect_s`.

    \b
    Example: vibes-router conductor undo 17 --reason "too dear"
    """
    actor = getpass.getuser()
    deployment = write_ledger(lambda connection: conducted.undo(connection, number, actor, reason))
    click.echo(f"{deployment} is back to its configuration, and left alone for a while")


@conductor.command("replay")
def replay() -> None:
    """Decide everything in the log again, from the facts and settings stored in it.

    Says which decisions would come out differently with this program, and fails if there are any. What
    another release decided by and this one does not know is left out, and named.

    \b
    Example: vibes-router conductor replay
    """
    rows = different = 0
    left_out: Counter[str] = Counter()
    for row in _decisions():
        rows += 1
        left_out.update(unknown(row))
        if (problem := gone_over(row)) is not None:
            different += 1
            click.echo(f"{row['number']}: {problem}")
    for name, times in sorted(left_out.items()):
        click.echo(f"{name}: in {times} decisions, unknown to this release and left out", err=True)
    click.echo(f"{rows} decisions, {different} would come out differently", err=True)
    sys.exit(1 if different else 0)


def _decisions() -> Iterator[dict[str, Any]]:
    """All decisions, newest first, read page by page: the log may be longer than what fits into memory."""
    below: int | None = None
    while page := read_ledger(partial(conducted.entries, below=below, limit=conducted.MAX_PAGE)):
        yield from (row for row in page if row["action"] != conducted.UNDO)
        below = page[-1]["number"]


def _line(row: dict[str, Any]) -> str:
    if row["action"] == conducted.UNDO:
        return f"{row['number']}  {row['actor']} undid {row['undoes']} ({row['deployment']}) {row['reason']}"
    amount = f" {row['detail']['amount']:g}" if row["detail"]["amount"] else ""
    done = "" if row["acted"] else " (not done)"
    against = [f"{role}: {words}" for role, words in row["detail"]["against"].items() if words]
    but = f"; against, {'; '.join(against)}" if against else ""
    return (
        f"{row['number']}  {row['role']}: {row['action']}{amount} {row['deployment']}{done}, "
        f"{row['reason']}{but}"
    )

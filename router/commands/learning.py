"""`vibes-router learning`: look at what was learned of models, and drop it."""

from __future__ import annotations

import json
import math
import os
import time
from dataclasses import asdict
from pathlib import Path

import click

from mini_llm.cli.lazy import Group
from router.commands.ledger import read_ledger, told, write_ledger
from router.config import load_router_config
from router.ledger import learning_steps, mirror
from router.mirror.beliefs import Beliefs
from router.mirror.evaluate import gain


@click.group(cls=Group)
def learning() -> None:
    """Show and undo what "auto" learned about models from the outcomes of calls."""


_config = click.option(
    "--config", "path", envvar="VIBES_CONFIG", required=True, type=click.Path(path_type=Path)
)


@learning.command("show")
@_config
def show(path: Path) -> None:
    """Show what was learned about each model, by form of the prompt, as JSON lines.

    \b
    offset     log odds by which it does better than predicted (0: as predicted)
    deviation  about how sure that is
    weight     outcomes that it rests on, faded

    \b
    Example: vibes-router learning show --config router.json
    """
    with told():
        half_life_s = load_router_config(path, os.environ).weighing.half_life_s
    now_s = time.time()
    counts = read_ledger(mirror.counts)
    beliefs = Beliefs({cell: count.faded(now_s, half_life_s) for cell, count in counts.items()})
    for model, form, belief in beliefs.rows():
        numbers = {name: round(value, 3) for name, value in asdict(belief).items()}
        click.echo(json.dumps({"model": model, "form": form} | numbers))


@learning.command("steps")
@_config
def steps(path: Path) -> None:
    """Show which share of accounts followed what was learned, and how that went, as JSON lines, newest first.

    \b
    Example: vibes-router learning steps
    """
    with told():
        proven_base = load_router_config(path, os.environ).weighing.proven_base
    found, taken = read_ledger(lambda c: (learning_steps.evidence(c, proven_base), learning_steps.shares(c)))
    estimate = gain(found.rows)
    changes = {"judged": estimate.calls, "saved": round(found.saved, 4)}
    if estimate.low > -math.inf:
        changes |= {name: round(getattr(estimate, name), 4) for name in ("mean", "low", "high")}
    click.echo(json.dumps({"percent": found.share.percent, "quality_changes_by": changes}))
    for step in taken:
        click.echo(json.dumps(asdict(step)))


@learning.command("follow")
@_config
@click.argument("percent", type=click.IntRange(0, 90))
def follow(path: Path, percent: int) -> None:
    """Let this percentage of accounts follow what was learned from now on; 0 takes it back.

    It then grows and falls by itself as before; {"auto": {"learning": {"follow": false}}} ends that.

    \b
    Example: vibes-router learning follow 10
    """
    with told():
        settings = load_router_config(path, os.environ).auto.learning
    now_s, reason = int(time.time()), "by the operator"
    write_ledger(lambda c: learning_steps.take(c, learning_steps.in_force(c), percent, reason, now_s))
    when = (
        ""
        if settings.enabled and settings.follow
        else f" once auto.learning in {path} says enabled and follow"
    )
    click.echo(f"{percent} % of accounts follow what was learned{when}")


@learning.command("forget")
@click.option("--model", help="Forget only what was learned about this model.")
def forget(model: str | None) -> None:
    """Forget what was learned, and use the shipped predictor alone until there are new outcomes.

    \b
    Example: vibes-router learning forget --model pithy-1
    """
    dropped = write_ledger(lambda connection: mirror.forget(connection, model))
    click.echo(f"{dropped} counts dropped")

"""`vibes-router rewards`: close an epoch, look at rewards, record refunds."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import click

from mini_llm.cli.lazy import Group
from router.commands.ledger import opened_ledger, read_ledger, told, write_ledger
from router.config import load_router_config
from router.ledger import rewards as ledger_rewards
from router.rewards import close_epoch


@click.group(cls=Group)
def rewards() -> None:
    """Show the reward pool, close epochs and record refunds. Amounts are in base units."""


@rewards.command("close-epoch")
@click.option("--now", is_flag=True, help="Close it even if it has not lasted as long as configured.")
@click.option("--config", "path", envvar="VIBES_CONFIG", required=True, type=click.Path(path_type=Path))
def close(now: bool, path: Path) -> None:
    """Close the epoch if it has ended; its rewards begin to vest, those of the one before have vested.

    \b
    Routers do it by themselves unless the configuration says {"rewards": {"enabled": false}}.
    It may be repeated and interrupted: no epoch is shared out twice, none is lost.

    \b
    Example: vibes-router rewards close-epoch --now
    """
    with told():
        config = load_router_config(path, os.environ)
    with opened_ledger() as ledger:
        closed = close_epoch(ledger, config, int(time.time()), early=now)
    if closed is None:
        click.echo("no epoch has ended")
        return
    earned_base = sum(closed.epoch.rewards_base.values())
    vested_base = sum(closed.before.rewards_base.values())
    click.echo(
        f"epoch {closed.number}: {len(closed.epoch.rewards_base)} accounts earned {earned_base} of "
        f"{closed.epoch.pool_base} base units; {vested_base} of the epoch before have vested"
    )


@rewards.command("show")
@click.option("--account", "idx", type=int, help="One account's rewards instead of the last epochs.")
def show(idx: int | None) -> None:
    """Show the last epochs, or one account, as JSON lines.

    \b
    Example: vibes-router rewards show --account 7
    """
    if idx is None:
        for epoch in read_ledger(ledger_rewards.epochs):
            fields = {name: getattr(epoch, name) for name in epoch.__slots__}
            click.echo(json.dumps(fields))
        return
    view = read_ledger(lambda connection: ledger_rewards.reward_view(connection, idx))
    fields = {name: getattr(view, name) for name in view.__slots__}
    click.echo(json.dumps(fields | {"referral_code": ledger_rewards.referral_code(idx)}))


@rewards.command("refund")
@click.argument("request_id")
@click.option("--amount-base", type=click.IntRange(1), help="Part of the charge; all of it by default.")
@click.option("--reference", required=True, help="What it is for; the same reference is recorded once.")
def refund(request_id: str, amount_base: int | None, reference: str) -> None:
    """Record a refund of the call REQUEST_ID, and take back its rewards that have not vested.

    \b
    Record it first, then send the money with `depositFor`: a call whose reward has vested is refused here.
    Example: vibes-router rewards refund 3f… --reference ticket-17
    """
    now_s = int(time.time())
    idx, owed_base = write_ledger(
        lambda one: ledger_rewards.record_refund(one, reference, request_id, amount_base, now_s)
    )
    click.echo(f"recorded: send {owed_base} base units with depositFor({idx}, {owed_base})")

"""`vibes-router promo`, `ledger` and `costs`: the operator's money."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import click
from sqlalchemy import Connection

from mini_llm.cli.lazy import Group
from router.commands.ledger import read_ledger, told, write_ledger
from router.config import load_domain, load_router_config, receipt_signers
from router.config_money import usd_base
from router.ledger import tiers
from router.ledger.books import ledger_errors, trial_balance
from router.ledger.costs import CostLine, cost_lines
from router.ledger.receipt_chain import receipt_count, receipt_errors


@click.group(cls=Group)
def promo() -> None:
    """Grant and show promotional credit, with which the configured sponsor pays for an account's calls."""


@promo.command("grant")
@click.option("--account", "idx", required=True, type=int, help="Index of the account that may spend it.")
@click.option("--usd", required=True, help='Amount, such as "5".')
@click.option("--reference", required=True, help="What it is for; the same reference is granted once.")
@click.option("--config", "path", envvar="VIBES_CONFIG", required=True, type=click.Path(path_type=Path))
def grant(idx: int, usd: str, reference: str, path: Path) -> None:
    """Grant promotional credit; the account needs a deposit first.

    \b
    Example: vibes-router promo grant --account 7 --usd 5 --reference hackathon-7
    """
    with told():
        config = load_router_config(path, os.environ)
    if config.promotion is None:
        raise click.ClickException("the configuration names no promotion with a sponsor")
    sponsor = config.promotion.sponsor
    try:
        amount_base = usd_base(usd, config.vibes_per_usd)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--usd") from None
    now_s = int(time.time())
    new = write_ledger(lambda one: tiers.grant(one, f"grant:{reference}", idx, sponsor, amount_base, now_s))
    click.echo(f"granted {amount_base} base units to account {idx}" if new else "already granted")


@promo.command("show")
@click.option("--account", "idx", required=True, type=int)
def show(idx: int) -> None:
    """Show an account's promotional credit as JSON, in base units.

    \b
    Example: vibes-router promo show --account 7
    """
    view = read_ledger(lambda one: tiers.promo_view(one, idx))
    fields = {"granted_base": view.granted_base, "spent_base": view.spent_base}
    click.echo(json.dumps(fields | {"left_base": view.left_base}))


@click.group("ledger", cls=Group)
def ledger() -> None:
    """Check the ledger against its history; `vibes ledger check` compares it with the chain too."""


@ledger.command("check")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--signer", "signers", multiple=True, help="Address of a receipt key; may be repeated.")
def check(as_json: bool, signers: tuple[str, ...]) -> None:
    """Check that the books balance: every running sum is what its history says. Exits 1 if not.

    \b
    With VIBES_CHAIN_ID and VIBES_SETTLEMENT, or VIBES_CREDIT_ONLY, the chain of every account's receipts is
    followed too. Each has to be signed by the key in VIBES_RECEIPT_KEY_FILE or by one that --signer names,
    if any is known.

    \b
    Example: vibes-router ledger check --json
    """
    with told():
        named = os.environ.get("VIBES_SETTLEMENT") or os.environ.get("VIBES_CREDIT_ONLY")
        domain = load_domain(os.environ) if named else None
        known = receipt_signers(os.environ, signers)

    def errors_in(connection: Connection) -> list[str]:
        errors = ledger_errors(connection)
        if domain is None:
            return errors
        if not sys.stderr.isatty():
            return errors + receipt_errors(connection, domain, known)
        count = receipt_count(connection)
        shown: Any = click.progressbar(length=count, label="receipts", file=sys.stderr)
        with shown as bar:
            return errors + receipt_errors(connection, domain, known, bar.update)

    errors, trial = read_ledger(lambda one: (errors_in(one), trial_balance(one)))
    if as_json:
        told_of = {"receipts_checked": domain is not None, "balances": trial.balances}
        click.echo(json.dumps({"ok": not errors, "differences": errors} | told_of))
    else:
        for error in errors:
            click.echo(error)
        click.echo(f"{len(errors)} differences" if errors else "the books balance")
        if domain is None:
            click.echo("the receipts were not checked: VIBES_SETTLEMENT is not set", err=True)
    if errors:
        raise SystemExit(1)


@click.command()
@click.option("--days", type=click.IntRange(1), default=30, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one line for each provider and model.")
def costs(days: int, as_json: bool) -> None:
    """Show what calls earned and cost the operator, by provider and model, in base units.

    \b
    gross      charged to users
    wholesale  what the providers bill for those calls
    attempts   what providers may bill for failed attempts, which users do not pay for
    lost       used but never charged
    margin     gross - wholesale - attempts

    \b
    Example: vibes-router costs --days 7 --json
    """
    since_s = int(time.time()) - days * 86_400
    lines = read_ledger(lambda one: cost_lines(one, since_s))
    for line in lines:
        click.echo(json.dumps(_fields(line)) if as_json else _told(line))
    if not as_json:
        click.echo(f"margin in all: {sum(line.margin_base for line in lines)}")


def _fields(line: CostLine) -> dict[str, Any]:
    return vars(line) | {"margin_base": line.margin_base}


def _told(line: CostLine) -> str:
    return (
        f"{line.provider}/{line.model}: {line.calls} calls, gross {line.gross_base}, "
        f"wholesale {line.wholesale_base}, attempts {line.attempts_base}, lost {line.lost_base}, "
        f"margin {line.margin_base}"
    )

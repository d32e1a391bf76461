"""`vibes ledger`."""

from __future__ import annotations

import json

import click

from bridge.commands.ending import ENVIRONMENT, EXIT_FAILED, exit_codes, settings_of_environment
from bridge.reconcile import reconcile


@click.group()
def ledger() -> None:
    """Check the router's ledger against its history and the chain."""


@ledger.command(epilog=ENVIRONMENT)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@exit_codes
def check(as_json: bool) -> None:
    """Check that the books balance, and that ledger = chain + unsettled.

    Compares the contract's tokens, every account's money and requests, and what partners, fee, burn, pool
    and treasury earned and were paid, at the last block that the bridge read. Names each difference and
    exits 1 if there is one. Changes nothing.

    \b
    Examples:
      vibes ledger check
      vibes ledger check --json | jq .differences
    """
    found = reconcile(settings_of_environment())
    if as_json:
        click.echo(json.dumps({"ok": not found.differences, **vars(found)}))
    else:
        for difference in found.differences:
            click.echo(difference)
        click.echo(
            f"block {found.block}: {found.accounts} accounts, {found.held_base} base units held, "
            f"{found.unsettled_base} unsettled: "
            + (f"{len(found.differences)} differences" if found.differences else "ledger = chain + unsettled")
        )
    if found.differences:
        raise SystemExit(EXIT_FAILED)

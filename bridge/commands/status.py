"""`vibes status`."""

from __future__ import annotations

import json

import click

from bridge.commands.ending import ENVIRONMENT, EXIT_UNHEALTHY, exit_codes, settings_of_environment
from bridge.health import problems
from bridge.standing import standing
from bridge.status import read_status


@click.command(epilog=ENVIRONMENT)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@exit_codes
def status(as_json: bool) -> None:
    """Show batches, what waits for settlement and for how long, keys, leader, and what is wrong.

    Exits 4 if anything is wrong: a health rule is broken or an alert of `vibes settle` is open. Creates and
    changes nothing.

    \b
    Examples:
      vibes status
      vibes status --json | jq .unsettled_base
    """
    settings = settings_of_environment()
    found = read_status(settings)
    wrong = problems(found, settings.health, settings.operator_address())
    wrong |= {alert.code: alert.detail for alert in found.alerts if alert.code not in wrong}
    if as_json:
        click.echo(json.dumps(found.to_dict() | {"healthy": not wrong, "problems": wrong}))
    else:
        click.echo(standing(found, wrong))
    if wrong:
        raise SystemExit(EXIT_UNHEALTHY)

"""`vibes-router keys`: API keys, as the operator makes and revokes them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import click
from sqlalchemy import Connection

from mini_llm.cli.lazy import Group
from router.commands.ledger import read_ledger, told, write_ledger
from router.ledger import keys as api_keys
from router.ledger.grants import ALL_SCOPES, DEFAULT_SCOPES, Grant
from router.ledger.keys import ApiKeyView
from router.managing import TEAM_SCOPES

DAY_S: Final = 86_400
DEFAULT_GRACE_S: Final = 3600
UNLIMIT: Final = {
    "model": "models",
    "days": "expires_s",
    "day-limit": "day_limit_base",
    "month-limit": "month_limit_base",
    "auto-day": "auto_day_base",
    "auto-month": "auto_month_base",
    "requests-per-minute": "requests_per_minute",
    "tokens-per-minute": "tokens_per_minute",
    "parallel": "parallel",
}
"""Fields of a grant by the option that sets them."""


@click.group(cls=Group)
def keys() -> None:
    """Manage API keys; the ledger keeps only their hashes."""


def limiting(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options that say what a key may do."""
    for option in reversed(
        (
            click.option(
                "--scope",
                "scopes",
                multiple=True,
                type=click.Choice(sorted(ALL_SCOPES)),
                help=f"What the key may do, repeatable. By default: {', '.join(sorted(DEFAULT_SCOPES))}.",
            ),
            click.option(
                "--model",
                "models",
                multiple=True,
                help="A model that the key may call, or prefix*; repeatable.",
            ),
            click.option("--days", type=click.IntRange(1, 36_500), help="Days until the key expires."),
            click.option(
                "--day-limit",
                "day_limit_base",
                type=int,
                help="The most it may spend in a UTC day, base units.",
            ),
            click.option("--month-limit", "month_limit_base", type=int, help="The same for a UTC month."),
            click.option(
                "--auto-day",
                "auto_day_base",
                type=int,
                help="Budget for its calls to auto in a UTC day, base units; spent where quality gains most.",
            ),
            click.option("--auto-month", "auto_month_base", type=int, help="The same for a UTC month."),
            click.option("--requests-per-minute", type=int, help="Calls in any 60 seconds."),
            click.option("--tokens-per-minute", type=int, help="Tokens in any 60 seconds."),
            click.option("--parallel", type=int, help="Calls at one time."),
        )
    ):
        command = option(command)
    return command


def _said(limits: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of `Grant` that options were given for."""
    said = {name: value for name, value in limits.items() if value is not None and value != ()}
    if "scopes" in said:
        said["scopes"] = frozenset(said["scopes"])
    if (days := said.pop("days", None)) is not None:
        said["expires_s"] = int(time.time()) + days * DAY_S
    return said


@keys.command("create")
@click.option("--account", "idx", required=True, type=int, help="Index of the account that pays.")
@click.option("--label", default="", help="A name by which you recognise the key.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@limiting
def create_key(idx: int, label: str, as_json: bool, **limits: Any) -> None:
    """Make an API key and print it, this once.

    \b
    Examples (1 VIBES = 1000000 base units):
      vibes-router keys create --account 1 --label laptop
      vibes-router keys create --account 1 --label ci --scope chat --model 'gpt-4o*' \\
        --days 30 --day-limit 50000000 --requests-per-minute 60
    """
    with told():
        grant = Grant(**_said(limits))
    made = write_ledger(lambda connection: api_keys.create_api_key(connection, idx, label, grant=grant))
    fields = {"id": made.key_id, "account": idx, "label": label, "api_key": made.secret}
    click.echo(json.dumps(fields) if as_json else made.secret)


@keys.command("list")
@click.option("--account", "idx", type=int, help="Only the keys of this account.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one key a line.")
def list_keys(idx: int | None, as_json: bool) -> None:
    """List API keys by their ids.

    \b
    Example: vibes-router keys list --account 1 --json
    """
    found = read_ledger(lambda connection: api_keys.api_keys(connection, idx))
    for key in found:
        click.echo(json.dumps(_fields(key)) if as_json else _line(key))
    if not found:
        click.echo("no API keys", err=True)


@keys.command("change")
@click.argument("key_id")
@click.option("--label", help="A name to find the key by.")
@click.option(
    "--unlimit",
    "unlimited",
    multiple=True,
    type=click.Choice(sorted(UNLIMIT)),
    help="A limit to remove, repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@limiting
def change_key(
    key_id: str, label: str | None, unlimited: tuple[str, ...], as_json: bool, **limits: Any
) -> None:
    """Change what the key with KEY_ID may do, within two seconds; other limits stay as they are.

    \b
    Examples:
      vibes-router keys change 0f3a5b7c9d1e2f40 --day-limit 10000000 --model 'pithy-*'
      vibes-router keys change 0f3a5b7c9d1e2f40 --unlimit days --unlimit model
    """
    changes = _said(limits)
    away: dict[str, Any] = {UNLIMIT[name]: None for name in unlimited}
    if both := sorted(changes.keys() & away.keys()):
        raise click.UsageError(f"{both[0]} is both limited and unlimited")

    def change(connection: Connection) -> ApiKeyView:
        key = api_keys.api_key(connection, key_id)
        grant = replace(key.grant, **changes, **away)
        if key.team_id is not None and grant.scopes - TEAM_SCOPES:
            raise click.ClickException(f"a key in a team has no scope but {', '.join(sorted(TEAM_SCOPES))}")
        return api_keys.change_api_key(connection, key_id, key.label if label is None else label, grant)

    changed = write_ledger(change)
    click.echo(json.dumps(_fields(changed)) if as_json else _line(changed))


@keys.command("rotate")
@click.argument("key_id")
@click.option(
    "--grace-s",
    default=DEFAULT_GRACE_S,
    show_default=True,
    help="Seconds for which the old secret still works.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def rotate_key(key_id: str, grace_s: int, as_json: bool) -> None:
    """Give the key with KEY_ID a new secret and print it, this once.

    \b
    Example: vibes-router keys rotate 0f3a…
    """
    made = write_ledger(lambda connection: api_keys.rotate_api_key(connection, key_id, grace_s))
    click.echo(json.dumps({"id": key_id, "api_key": made.secret}) if as_json else made.secret)


@keys.command("revoke")
@click.argument("key_id")
def revoke_key(key_id: str) -> None:
    """Revoke the key with KEY_ID, as shown by `keys list`; it stops working within two seconds.

    \b
    Example: vibes-router keys revoke 0f3a…
    """
    if not write_ledger(lambda connection: api_keys.revoke_api_key(connection, key_id)):
        raise click.ClickException(f"no valid key has the id {key_id!r}: see `vibes-router keys list`")
    click.echo(f"revoked {key_id}")


def _fields(key: ApiKeyView) -> dict[str, Any]:
    grant = vars(key.grant) | {"scopes": sorted(key.grant.scopes)}
    return {
        "id": key.key_id,
        "account": key.account_idx,
        "team": key.team_id,
        "member": key.member,
        "label": key.label,
        "created_s": key.created_s,
        "revoked_s": key.revoked_s,
    } | grant


def _line(key: ApiKeyView) -> str:
    state = "valid" if key.revoked_s is None else "revoked"
    if key.revoked_s is None and key.grant.expires_s is not None and key.grant.expires_s <= time.time():
        state = "expired"
    return f"{key.key_id}  account {key.account_idx:<8} {state:<8} {key.label}"

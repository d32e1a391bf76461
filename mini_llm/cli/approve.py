"""``mini-llm approve``: a wallet's key file decides about another program's login."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import click

from mini_llm.cli.ending import MISUSED, Trouble
from mini_llm.cli.login import base_url_of
from mini_llm.cli.state import State, pass_state, printable
from mini_llm.errors import ConfigError

DAY_S: Final = 86_400


@click.command()
@click.argument("code")
@click.option("--url", metavar="URL", help="The router [default: the one of the last login].")
@click.option(
    "--key-file", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The wallet's key: a keystore, or hex that only you can read.",
)  # fmt: skip
@click.option(
    "--day-limit",
    default="100",
    show_default=True,
    metavar="VIBES",
    help="The most it may spend in one UTC day; 0: no limit.",
)
@click.option(
    "--days",
    default=90,
    show_default=True,
    type=click.IntRange(0, 9999),
    help="How long the key works; 0: until it is revoked.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_state
def approve(
    state: State, code: str, url: str | None, key_file: Path, day_limit: str, days: int, yes: bool
) -> None:
    """Approve another program's login with a wallet's key file, if there is no browser.

    Approve only a code that one of your own devices shows right now.

    \b
    Example: mini-llm approve WDJB-MJHT --key-file wallet.json
    """
    import time

    import httpx

    from mini_llm.wallet.errors import WalletError
    from mini_llm.wallet.keyfile import read_wallet_key
    from mini_llm.wallet.money import read_vibes
    from mini_llm.wallet.rest import call
    from mini_llm.wallet.signin import sign_in

    base_url = base_url_of(url, state.settings().wallet)
    try:
        limit_base = read_vibes(day_limit)
    except ValueError as error:
        raise Trouble(f"--day-limit: {error}", MISUSED) from None
    key = read_wallet_key(key_file, lambda: ask_password(state.environ))
    with httpx.Client(trust_env=False, timeout=30.0) as http:
        token = sign_in(http, base_url, key, urlsplit(base_url).netloc)
        try:
            asked = call(http, "POST", f"{base_url}/device/show", {"user_code": code}, token)
            where = f" on {asked['device_name']!r}" if asked.get("device_name") else ""
            program = f"{asked.get('client_id')!r}{where}"
            click.echo(f"a program that calls itself {program} asks for a key of {key.address}")
            click.echo(f"it may: {printable(', '.join(map(str, asked.get('scopes') or ())))}")
            body: dict[str, Any] = {"user_code": code}
            if limit_base:
                body["day_limit_base"] = str(limit_base)
            if days:
                body["expires_s"] = int(time.time()) + days * DAY_S
            agreed = yes or click.confirm("approve?", default=False, err=True)
            what = "approve" if agreed else "deny"
            call(http, "POST", f"{base_url}/device/{what}", body if agreed else {"user_code": code}, token)
        finally:
            with suppress(WalletError):  # the session ends by itself soon
                call(http, "POST", f"{base_url}/signout", {}, token)
    click.echo("approved" if agreed else "denied")


def ask_password(environ: Mapping[str, str]) -> str:
    """A keystore's password: of the environment for programs, else asked for."""
    given = environ.get("MINI_LLM_KEYSTORE_PASSWORD")
    if given is not None:
        return given
    if not sys.stdin.isatty():
        raise ConfigError("MINI_LLM_KEYSTORE_PASSWORD", "is not set, and there is nobody to ask")
    password: str = click.prompt("Password of the key file", hide_input=True, err=True)
    return password

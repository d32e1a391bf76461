"""``mini-llm login`` and ``logout``: an API key that a wallet gives and takes back."""

from __future__ import annotations

import socket
import sys
import webbrowser
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import click

from mini_llm.cli.ending import FAILED, MISUSED, NOT_SET_UP, Trouble
from mini_llm.cli.state import State, json_option, pass_state, print_json
from mini_llm.userfile import forget_secret, is_reference, user_folder

if TYPE_CHECKING:
    from mini_llm.wallet.config import WalletConfig
    from mini_llm.wallet.device import Codes, Credentials

DAY_S: Final = 86_400
_OF_THE_ROUTER: Final = frozenset({"type", "endpoint", "chain_id", "settlement", "receipt_signer"})
_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})


@click.command()
@click.option("--url", metavar="URL", help="The router [default: the one of the last login].")
@click.option("--no-browser", is_flag=True, help="Print address and code only.")
@json_option
@pass_state
def login(state: State, url: str | None, no_browser: bool, as_json: bool) -> None:
    """Sign in to a router with a wallet, in a browser on this or any other machine.

    The key that you get is kept in the system's keyring, or in ~/.mini-llm/config.json, which only
    you can read. With --json address and code are on standard error.

    \b
    Examples:
      mini-llm login --url https://router.example.com
      mini-llm login --no-browser        on a machine without a screen
    """
    import httpx

    from mini_llm.wallet.device import await_login, begin_login, revoke_key
    from mini_llm.wallet.errors import RouterRefused, WalletError

    before, origin = _own_wallet(state)
    base_url = base_url_of(url, _wallet(state))
    with httpx.Client(trust_env=False, timeout=30.0) as http:
        codes = begin_login(http, base_url, socket.gethostname())
        _show(codes, to_errors=as_json)
        if not no_browser and _has_browser(state.environ):
            webbrowser.open(codes.uri_with_code or codes.uri)
        click.echo("Waiting for the wallet; Ctrl-C gives up.", err=True)
        try:
            credentials = await_login(http, base_url, codes)
        except RouterRefused as error:
            words = {
                "access_denied": "the wallet refused",
                "expired_token": "nobody approved the code in time",
            }
            raise Trouble(words.get(error.code, str(error)), FAILED) from None
        kept_in = _save(state, base_url.removesuffix("/v1"), credentials)
        if before is not None and before.base_url and before.api_key and before.key_id:
            try:  # the key of the last login would otherwise go on working, known to nobody
                revoke_key(http, before.base_url, before.api_key.get_secret_value(), before.key_id)
            except WalletError as error:
                click.echo(f"the last login's key {before.key_id} could not be revoked: {error}", err=True)
    _forgive(state, credentials)
    if origin is not None:
        click.echo(f"here {origin} sets another wallet, which is used instead", err=True)
    if as_json:
        names = ("account", "key_id", "expires_in_s")
        told = {name: getattr(credentials, name) for name in names}
        print_json({"endpoint": base_url.removesuffix("/v1"), "kept_in": kept_in, **told})
        return
    account = "" if credentials.account is None else f" with account {credentials.account}"
    click.echo(f"the key is in {kept_in}", err=True)
    click.echo(f"signed in to {base_url.removesuffix('/v1')}{account}{_until(credentials)}")


@click.command()
@click.option(
    "--force", is_flag=True, help="Forget the key here even if the router cannot be asked to end it."
)
@json_option
@pass_state
def logout(state: State, force: bool, as_json: bool) -> None:
    """End the key of the last login, at the router and here.

    \b
    Example: mini-llm logout
    """
    import httpx

    from mini_llm.wallet.device import revoke_key
    from mini_llm.wallet.errors import WalletError

    wallet, origin = _own_wallet(state)
    if wallet is None or wallet.api_key is None:
        elsewhere = f": the wallet is set up in {origin}" if origin else ""
        raise Trouble(f"not signed in{elsewhere}", NOT_SET_UP)
    revoked = None
    if wallet.key_id is not None and wallet.base_url is not None:
        try:
            with httpx.Client(trust_env=False, timeout=30.0) as http:
                ended = revoke_key(http, wallet.base_url, wallet.api_key.get_secret_value(), wallet.key_id)
            revoked = "the key is revoked" if ended else "the key had ended before"
        except WalletError as error:
            if not force:
                raise
            click.echo(f"the key may still work, revoke it elsewhere ({wallet.key_id}): {error}", err=True)
    else:
        click.echo("the key did not come from a login: it was removed here, but not revoked", err=True)
    forget_secret(state.user_file.edit(_forget))
    if as_json:
        print_json({"ended": revoked is not None, "key_id": wallet.key_id})
    else:
        click.echo("\n".join(filter(None, (revoked, "signed out"))))


def _wallet(state: State) -> WalletConfig | None:
    return state.settings().wallet


def _own_wallet(state: State) -> tuple[WalletConfig | None, str | None]:
    """The wallet of the user's own file, which logins change, and where another is set that counts more."""
    from mini_llm.settings import read_settings

    origin = state.settings().origins.get("wallet")
    if origin is None or origin == str(state.user_file.path):
        return _wallet(state), None
    path = state.user_file.path
    return (read_settings(file=path, environ=state.environ).wallet if path.is_file() else None), origin


def base_url_of(url: str | None, wallet: WalletConfig | None) -> str:
    """The API at the router that is named, else of the last login.

    Raises:
        Trouble: there is none, or it is no address.
    """
    from pydantic import ValidationError

    from mini_llm.wallet.config import WalletConfig

    if url is None:
        if wallet is None or wallet.base_url is None:
            raise Trouble("which router? Name it: mini-llm login --url https://…", MISUSED)
        return wallet.base_url
    try:
        base_url = WalletConfig.model_validate({"endpoint": url}).base_url or ""
    except ValidationError:
        raise Trouble(f"--url: {url!r} is not an address: write https://…", MISUSED) from None
    parts = urlsplit(base_url)
    if parts.scheme == "http" and parts.hostname not in _LOCAL:
        click.echo("warning: without https anybody on the network can read the key", err=True)
    return base_url


def _show(codes: Codes, *, to_errors: bool) -> None:
    click.echo(f"Open   {codes.uri}", err=to_errors)
    click.echo(f"and type the code   {codes.user_code}", err=to_errors)
    if codes.uri_with_code is not None:
        click.echo(f"or open   {codes.uri_with_code}   and compare the code", err=to_errors)
    sys.stdout.flush()


def _has_browser(environ: Mapping[str, str]) -> bool:
    """A browser that opens a window: one in the terminal would take it away."""
    if sys.platform.startswith(("darwin", "win")):
        return True
    return bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY") or environ.get("BROWSER"))


def _until(credentials: Credentials) -> str:
    seconds = credentials.expires_in_s
    return "" if seconds is None else f"; the key works for {-(-seconds // DAY_S)} days"


def _save(state: State, endpoint: str, credentials: Credentials) -> str:
    """Writes the login down, at once, so that no old key meets a new address. Returns where the key is.

    Raises:
        RouterUnreachable: what the router told is none, and would be in the way of every later command.
    """
    from pydantic import ValidationError

    from mini_llm.wallet.config import WalletConfig
    from mini_llm.wallet.errors import RouterUnreachable

    told = {
        "type": "vibes",
        "endpoint": endpoint,
        "key_id": credentials.key_id,
        "account": credentials.account,
        "chain_id": credentials.chain_id,
        "settlement": credentials.settlement,
        "receipt_signer": credentials.receipt_signer,
    }
    try:
        WalletConfig.model_validate(told | {"api_key": credentials.api_key})
    except ValidationError as error:
        names = {str(item["loc"][0]) for item in error.errors() if item["loc"]}
        raise RouterUnreachable(f"an answer with an impossible {', '.join(sorted(names))}") from None
    if is_reference(credentials.api_key):  # it would be read as one when the settings are
        raise RouterUnreachable("an answer with an impossible api_key")
    keyring = state.user_file.put_secret(("wallet", "api_key"), credentials.api_key, told)
    return f"the keyring ({keyring})" if keyring else f"{state.user_file.path}, for you only"


def _forget(fields: dict[str, Any]) -> object:
    """Takes the login out of the user's file; what else is set there about the wallet stays."""
    wallet = fields.get("wallet", {})
    key = wallet.pop("api_key", None)
    for name in ("key_id", "account"):
        wallet.pop(name, None)
    if set(wallet) <= _OF_THE_ROUTER:
        fields.pop("wallet", None)
    return key


def _forgive(state: State, credentials: Credentials) -> None:
    """A new login goes on with a router that was caught overcharging: the user decided so."""
    from mini_llm.wallet.book import FILE_NAME, Book

    wallet, folder = _own_wallet(state)[0], user_folder(state.environ)
    named = wallet.book if wallet is not None else None
    path = named or (folder / FILE_NAME if folder is not None else None)
    if path is None or not path.is_file() or credentials.account is None:
        return
    book = Book(path, f"{credentials.chain_id}:{credentials.settlement}:{credentials.account}")
    book.resume()
    book.close()

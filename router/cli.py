"""The operator's command line: `vibes-router`."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any, Final, TypeVar

import click
import uvicorn
from sqlalchemy import Connection

from mini_llm.errors import ConfigError
from router.api.app import create_app
from router.config import load_ledger_url, load_settings
from router.db import open_database
from router.ledger import keys as api_keys
from router.ledger import read
from router.ledger.errors import LedgerError
from router.ledger.views import ApiKeyView
from router.ledger.writer import Ledger
from router.receipts import receipt_line

DEFAULT_PORT: Final = 8402
"""Not one of the ports on which local model servers are looked for."""
DRAIN_S: Final = 30
LOG_LEVELS: Final = ("info", "warning", "error")

T = TypeVar("T")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """An OpenAI-compatible gateway that meters each call into a ledger of VIBES.

    \b
    Set up and serve:
      export VIBES_CONFIG=router.json VIBES_LEDGER_URL=sqlite:///ledger.db
      export VIBES_CHAIN_ID=31337 VIBES_SETTLEMENT=0x… VIBES_RECEIPT_KEY_FILE=receipt.key
      vibes-router serve

    \b
    Give account 1 an API key and call with it:
      vibes-router keys create --account 1 --label laptop
      curl http://127.0.0.1:8402/v1/chat/completions -H "Authorization: Bearer sk-vibes-…" \\
        -H "Content-Type: application/json" \\
        -d '{"model": "pithy-1", "messages": [{"role": "user", "content": "Hello"}]}'

    \b
    Hand the receipts to an auditor:
      vibes-router receipts export -o receipts.jsonl
    """


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=DEFAULT_PORT, show_default=True, help="Port; 0 takes a free one.")
@click.option("--log-level", default="info", show_default=True, type=click.Choice(LOG_LEVELS))
def serve(host: str, port: int, log_level: str) -> None:
    """Serve the gateway until it is stopped; calls in flight get 30 s to finish.

    \b
    VIBES_CONFIG            JSON file, see the example below
    VIBES_LEDGER_URL        such as sqlite:////var/lib/vibes/ledger.db
    VIBES_CHAIN_ID          chain of the settlement contract
    VIBES_SETTLEMENT        its address
    VIBES_RECEIPT_KEY_FILE  file with the 0x… private key that signs receipts
    VIBES_MAX_BODY_BYTES    longest request body [default: 4194304]
    VIBES_LEASE_S           how long a dead worker's reservations last [default: 60]

    \b
    A configuration (prices in USD per million tokens, as strings):
      {"partners": [{"id": 1, "name": "pithy-labs", "bps": 3000}],
       "providers": {
         "pithy": {"base_url": "https://api.example.com/v1", "api_key": "${PITHY_API_KEY}"},
         "home": {"type": "local"}},
       "deployments": [
         {"model": "pithy-1", "provider": "pithy", "partner": 1,
          "prompt_usd_per_mtok": "0.15", "completion_usd_per_mtok": "0.60",
          "context_tokens": 8192, "max_output_tokens": 1024}]}
    """
    with _told():
        app = create_app(load_settings(os.environ))
        logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        logging.getLogger("httpx").setLevel(logging.WARNING)  # else it tells each call a second time
        uvicorn.run(
            app,
            host=host,
            port=port,
            log_level=log_level,
            access_log=False,
            timeout_graceful_shutdown=DRAIN_S,
        )


@main.group()
def keys() -> None:
    """API keys; the ledger keeps only their hashes."""


@keys.command("create")
@click.option("--account", "idx", required=True, type=int, help="Index of the account that pays.")
@click.option("--label", default="", help="A name to find the key by.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def create_key(idx: int, label: str, as_json: bool) -> None:
    """Make an API key and print it, this once.

    \b
    Example: vibes-router keys create --account 1 --label laptop
    """
    key = _write(lambda connection: api_keys.create_api_key(connection, idx, label))
    click.echo(json.dumps({"account": idx, "label": label, "api_key": key}) if as_json else key)


@keys.command("list")
@click.option("--account", "idx", type=int, help="Only the keys of this account.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one key a line.")
def list_keys(idx: int | None, as_json: bool) -> None:
    """List API keys by their ids."""
    for key in _read(lambda connection: read.api_keys(connection, idx)):
        click.echo(json.dumps(_key_fields(key)) if as_json else _key_line(key))


@keys.command("revoke")
@click.argument("key_id")
def revoke_key(key_id: str) -> None:
    """Revoke the key with KEY_ID, as shown by `keys list`; it stops working within two seconds."""
    if not _write(lambda connection: api_keys.revoke_api_key(connection, key_id)):
        raise click.ClickException(f"no valid key has the id {key_id!r}: see `vibes-router keys list`")
    click.echo(f"revoked {key_id}")


@main.group()
def receipts() -> None:
    """Signed receipts of charged calls."""


@receipts.command("export")
@click.option("-o", "--output", type=click.File("w", atomic=True), default="-", help="Else the terminal.")
def export_receipts(output: IO[str]) -> None:
    """Write all receipts as JSON lines, by account and sequence, for `vibes audit --receipts FILE`."""
    count = _read(lambda connection: sum(_lines(connection, output)))
    click.echo(f"{count} receipts", err=True)


def _lines(connection: Connection, output: IO[str]) -> Iterator[int]:
    for signed in read.iter_receipts(connection):
        output.write(receipt_line(signed) + "\n")
        yield 1


def _key_fields(key: ApiKeyView) -> dict[str, Any]:
    return {
        "id": key.key_id,
        "account": key.account_idx,
        "label": key.label,
        "created_s": key.created_s,
        "revoked_s": key.revoked_s,
    }


def _key_line(key: ApiKeyView) -> str:
    state = "valid" if key.revoked_s is None else "revoked"
    return f"{key.key_id}  account {key.account_idx:<8} {state:<8} {key.label}"


def _read(operation: Callable[[Connection], T]) -> T:
    with _told(), Ledger(open_database(load_ledger_url(os.environ))) as ledger:
        return ledger.read(operation)


def _write(operation: Callable[[Connection], T]) -> T:
    with _told(), Ledger(open_database(load_ledger_url(os.environ))) as ledger:
        return ledger.run(operation)


@contextmanager
def _told() -> Iterator[None]:
    """Errors that the operator can mend are told in one line, without a traceback."""
    try:
        yield
    except (ConfigError, LedgerError) as error:
        raise click.ClickException(str(error)) from None


if __name__ == "__main__":
    sys.exit(main())

"""The operator's command line: `vibes-router`."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from typing import IO, Final

import click
import uvicorn
from sqlalchemy import Connection

from router.api.app import create_app
from router.commands.keys import keys
from router.commands.ledger import read_ledger, told
from router.config import load_settings
from router.ledger import read
from router.receipts import receipt_line

DEFAULT_PORT: Final = 8402
"""Not one of the ports on which local model servers are looked for."""
DRAIN_S: Final = 30
LOG_LEVELS: Final = ("info", "warning", "error")


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
    with told():
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


main.add_command(keys)


@main.group()
def receipts() -> None:
    """Signed receipts of charged calls."""


@receipts.command("export")
@click.option("-o", "--output", type=click.File("w", atomic=True), default="-", help="Else the terminal.")
def export_receipts(output: IO[str]) -> None:
    """Write all receipts as JSON lines, by account and sequence, for `vibes audit --receipts FILE`."""
    count = read_ledger(lambda connection: sum(_lines(connection, output)))
    click.echo(f"{count} receipts", err=True)


def _lines(connection: Connection, output: IO[str]) -> Iterator[int]:
    for signed in read.iter_receipts(connection):
        output.write(receipt_line(signed) + "\n")
        yield 1


if __name__ == "__main__":
    sys.exit(main())

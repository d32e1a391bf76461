"""The operator's command line: `vibes-router`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import IO, Any, Final

import click
from sqlalchemy import Connection

from mini_llm.cli.lazy import LazyGroup
from mini_llm.errors import ConfigError
from router.api.admin_door import new_admin_key
from router.api.app import create_apps
from router.commands.ledger import read_ledger, told
from router.config import Settings, load_settings
from router.drain import Drain
from router.ledger import read
from router.observe import logs
from router.observe.observer import Observer
from router.receipts import receipt_line
from router.serve import DrainingServer, configure, shared_socket

DEFAULT_PORT: Final = 8402
"""Not one of the ports on which local model servers are looked for."""
LOG_LEVELS: Final = ("info", "warning", "error")
ELSEWHERE: Final = {
    "conductor": "router.commands.conductor:conductor",
    "config": "router.commands.config:config",
    "costs": "router.commands.money:costs",
    "db": "router.commands.db:db",
    "dev-account": "router.commands.development:dev_account",
    "keys": "router.commands.keys:keys",
    "learning": "router.commands.learning:learning",
    "ledger": "router.commands.money:ledger",
    "promo": "router.commands.money:promo",
    "quality": "router.commands.quality:quality",
    "rewards": "router.commands.rewards:rewards",
    "vault": "router.commands.vault:vault",
    "x402": "router.commands.x402:x402",
}
"""Commands that a router which serves need not carry, and where they are."""


@click.group(cls=LazyGroup, elsewhere=ELSEWHERE, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """An OpenAI-compatible gateway that meters each call into a ledger of VIBES.

    \b
    Set up and serve:
      export VIBES_CONFIG=router.json VIBES_LEDGER_URL=sqlite:///ledger.db
      export VIBES_CHAIN_ID=31337 VIBES_SETTLEMENT=0x… VIBES_RECEIPT_KEY_FILE=receipt.key
      vibes-router serve

    \b
    Without contracts, to try it: an account with play money, and its key
      vibes-router dev-account

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
@click.option("--reuse-port", is_flag=True, help="Share the port with other workers of the ledger.")
@click.option("--log-level", default="info", show_default=True, type=click.Choice(LOG_LEVELS))
@click.option(
    "--log-format",
    default="auto",
    show_default=True,
    type=click.Choice(logs.FORMATS),
    help="auto: text on a terminal, else one JSON object a line.",
)
@click.option("--admin-host", default="127.0.0.1", show_default=True, help="Address of the operator's API.")
@click.option("--admin-port", type=int, help="Its port, with /metrics; 0 takes a free one  [default: none]")
def serve(
    host: str,
    port: int,
    reuse_port: bool,
    log_level: str,
    log_format: str,
    admin_host: str,
    admin_port: int | None,
) -> None:
    """Serve the gateway until it is stopped.

    The first SIGTERM or SIGINT lets running calls finish and takes no new ones; the second ends them now.

    \b
    VIBES_CONFIG            JSON or TOML file, see below; read again when it changes and on SIGHUP
    VIBES_LEDGER_URL        such as sqlite:////var/lib/vibes/ledger.db
    VIBES_CHAIN_ID          chain of the settlement contract
    VIBES_SETTLEMENT        its address
    VIBES_RECEIPT_KEY_FILE  file with the 0x… private key that signs receipts
    VIBES_MAX_BODY_BYTES    longest request body [default: 4194304]
    VIBES_LEASE_S           how long a dead worker's reservations last [default: 60]

    \b
    Limits and addresses (all optional, see docs/gateway/operating.md):
    VIBES_READ_S            a client sends its request within so long [default: 30]
    VIBES_KEEP_ALIVE_S      an idle connection is kept so long [default: 75]
    VIBES_MAX_HEADERS       most headers of a request [default: 100]
    VIBES_MAX_HEADER_BYTES  most bytes of its head [default: 32768]
    VIBES_DRAIN_S           running calls get so long at the end [default: 30]
    VIBES_DRAIN_NOTICE_S    /readyz fails so long before the socket closes [default: 0]
    VIBES_TRUSTED_HOSTS     names that requests may be for, as api.example,localhost
    VIBES_TRUSTED_PROXIES   addresses whose X-Forwarded-For is believed, as 10.0.0.0/8
    VIBES_CORS_ORIGINS      web pages that may call, as https://app.example
    VIBES_HSTS_S            Strict-Transport-Security for so long [default: off]

    \b
    People (all optional, see docs/gateway/keys.md):
    VIBES_PUBLIC_URL         where users reach the router; without it no wallet signs in
    VIBES_RPC_URL            a node that is asked about contract wallets
    VIBES_MASTER_KEY         seals users' provider keys and session keys, as file:/etc/vibes/master.keys
    VIBES_PRIVATE_ENDPOINTS  yes: users may name endpoints in this network [default: no]

    \b
    Looking on (--admin-port 8403 opens /operator, /metrics and /admin/v1 on this machine only):
    VIBES_ADMIN_HOSTS             names by which browsers reach it, as ops.example [default: localhost]
    VIBES_CONFIG_EDITOR           no: operators' pages show the configuration file and do not change it
    VIBES_ADMIN_KEYS_FILE         operators' names and hashed keys; see `vibes-router admin-key --help`
    OTEL_EXPORTER_OTLP_ENDPOINT   receiver of traces, as http://127.0.0.1:4318 [default: no traces]

    \b
    A configuration (prices in USD per million tokens, as strings):
      {"partners": [{"id": 1, "name": "pithy-labs", "bps": 3000}],
       "providers": {"pithy": {"base_url": "https://api.example.com/v1", "api_key": "${PITHY_API_KEY}"}},
       "deployments": [
         {"model": "pithy-1", "provider": "pithy", "partner": 1,
          "prompt_usd_per_mtok": "0.15", "completion_usd_per_mtok": "0.60",
          "context_tokens": 8192, "max_output_tokens": 1024}]}
    """
    with told():
        settings = load_settings(os.environ)
        operating = settings.operating
        as_json = logs.set_up(log_level, log_format)
        calls = logs.CallLog(sys.stderr, as_json) if log_level == "info" else None
        drain = Drain(operating.drain_s, operating.drain_notice_s)
        apps = create_apps(settings, Observer(calls, _tracer(settings)), drain)
    admin = None
    if admin_port is not None:
        admin = configure(apps.admin, admin_host, admin_port, operating, lifespan="off")
    sockets = [shared_socket(host, port)] if reuse_port else None
    DrainingServer(configure(apps.public, host, port, operating), drain, admin).run(sockets)


def _tracer(settings: Settings) -> Any:
    """Traces, if an endpoint is configured."""
    endpoint = settings.operating.otlp_endpoint
    if endpoint is None:
        return None
    try:
        from router.observe.traces import Tracer
    except ImportError:
        reason = "is set, and traces need an extra: pip install 'vibes-rails[telemetry]'"
        raise ConfigError("OTEL_EXPORTER_OTLP_ENDPOINT", reason) from None
    urls = {name: one.base_url for name, one in settings.config.providers.items()}
    places = {name: (url.host or "", url.port or 443) for name, url in urls.items() if url is not None}
    return Tracer(endpoint, places)


@main.command("admin-key")
@click.argument("name")
def admin_key(name: str) -> None:
    """Make an operator's key for NAME and print it, this once, with its line for VIBES_ADMIN_KEYS_FILE.

    \b
    Example: vibes-router admin-key alice 2>>admin.keys
    The key goes to standard output, the line with its hash to standard error.
    """
    key, line = new_admin_key(name)
    click.echo(key)
    click.echo(line, err=True)


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

"""`vibes-router serve`, as it is called. What it does is in `serving`, which is loaded when it is called."""

from __future__ import annotations

import os
import signal
import sys
from typing import Final

import click

from mini_llm.cli.lazy import loading

DEFAULT_PORT: Final = 8402
"""Not one of the ports on which local model servers are looked for."""
PORT: Final = click.IntRange(0, 65_535)
LOG_LEVELS: Final = ("info", "warning", "error")
LOG_FORMATS: Final = ("auto", "json", "text")


HELP: Final = """Serve the gateway until it is stopped.

The first SIGTERM or SIGINT lets running calls finish and takes no new ones; the second ends them now.

\b
VIBES_CONFIG            JSON or TOML file, see below; read again when it changes and on SIGHUP
VIBES_LEDGER_URL        such as sqlite:////var/lib/vibes/ledger.db
VIBES_CHAIN_ID          chain of the settlement contract
VIBES_SETTLEMENT        its address
VIBES_CREDIT_ONLY       yes: no chain instead of these two, see docs/gateway/switches.md [default: no]
VIBES_RECEIPT_KEY_FILE  file with the 0x… private key that signs receipts
VIBES_MAX_BODY_BYTES    longest request body [default: 4194304]
VIBES_LEASE_S           how long a dead worker's reservations last [default: 60]
VIBES_ANSWERS_S         seconds that answers are kept for replays, sealed [default: until erased]

\b
Limits and addresses (all optional, see docs/gateway/operating.md):
VIBES_READ_S            seconds in which a client must send its request [default: 30]
VIBES_KEEP_ALIVE_S      seconds for which an idle connection is kept [default: 75]
VIBES_MAX_HEADERS       most headers of a request [default: 100]
VIBES_MAX_HEADER_BYTES  most bytes of its head [default: 32768]
VIBES_DRAIN_S           seconds that running calls get at the end [default: 30]
VIBES_DRAIN_NOTICE_S    seconds that /readyz fails before the socket closes [default: 0]
VIBES_WORKER_SILENT_S   seconds after which a hanging worker is replaced; 0: never [default: 60]
VIBES_TRUSTED_HOSTS     host names that requests may be for, such as api.example,localhost
VIBES_TRUSTED_PROXIES   addresses whose X-Forwarded-For is trusted, such as 10.0.0.0/8
VIBES_CORS_ORIGINS      origins of web pages that may call, such as https://app.example
VIBES_HSTS_S            seconds for Strict-Transport-Security [default: off]

\b
People (all optional, see docs/gateway/keys.md):
VIBES_PUBLIC_URL         where users reach the router; without it nobody can sign in
VIBES_SESSION_S          seconds that a sign-in lasts [default: 604800]
VIBES_RPC_URL            a node that is asked about contract wallets
VIBES_WALLET_RPC_URL     a node to offer to wallets, if it is another one
VIBES_CHAIN_NAME         the chain's name in wallets
VIBES_EXPLORER_URL       where pages link addresses and transactions to
VIBES_MASTER_KEY         seals users' provider and session keys, such as file:/etc/vibes/master.keys
VIBES_SCREENING          who says which wallets are refused, such as file:/etc/vibes/refused.txt
VIBES_PRIVATE_ENDPOINTS  yes: users may name endpoints in this network [default: no]

\b
Monitoring (--admin-port 8403 opens /operator, /metrics and /admin/v1 on this machine only):
VIBES_ADMIN_HOSTS             names by which browsers reach it, such as ops.example [default: localhost]
VIBES_CONFIG_EDITOR           no: operators' pages show the configuration file but cannot change it
VIBES_ADMIN_KEYS_FILE         operators' names and hashed keys; see `vibes-router admin-key --help`
OTEL_EXPORTER_OTLP_ENDPOINT   receiver of traces, such as http://127.0.0.1:4318 [default: no traces]

\b
A configuration (prices in USD per million tokens, as strings):
  {"partners": [{"id": 1, "name": "pithy-labs", "bps": 3000}],
   "providers": {"pithy": {"base_url": "https://api.example.com/v1", "api_key": "${PITHY_API_KEY}"}},
   "deployments": [
     {"model": "pithy-1", "provider": "pithy", "partner": 1,
      "prompt_usd_per_mtok": "0.15", "completion_usd_per_mtok": "0.60",
      "context_tokens": 8192, "max_output_tokens": 1024}]}
"""


@click.command(help=HELP)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=DEFAULT_PORT, show_default=True, type=PORT, help="Port; 0 takes a free one.")
@click.option(
    "--workers",
    default=1,
    show_default=True,
    type=click.IntRange(1, 64),
    help="Processes that share the port, and are replaced if they die; one more commits their calls.",
)
@click.option("--reuse-port", is_flag=True, help="Share the port with other routers of the ledger.")
@click.option("--ledger-fd", type=int, hidden=True)  # of a worker: its socket to the process that commits
@click.option("--log-level", default="info", show_default=True, type=click.Choice(LOG_LEVELS))
@click.option(
    "--log-format",
    default="auto",
    show_default=True,
    type=click.Choice(LOG_FORMATS),
    help="auto: text on a terminal, else one JSON object a line.",
)
@click.option("--admin-host", default="127.0.0.1", show_default=True, help="Address of the operator's API.")
@click.option(
    "--admin-port",
    type=PORT,
    help="Its port, with /metrics; 0 takes a free one; worker n = 0, 1 … has PORT + n  [default: none]",
)
def serve(
    host: str,
    port: int,
    workers: int,
    reuse_port: bool,
    ledger_fd: int | None,
    log_level: str,
    log_format: str,
    admin_host: str,
    admin_port: int | None,
) -> None:
    """See `HELP`."""
    # the word to read the configuration again may come before anybody can hear it: nobody is to fall of that
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with loading():
        from router.commands.ledger import told
        from router.commands.serving import serve_here, supervise, warn_of_misspelt, warn_of_open_keys
        from router.config import load_settings
        from router.observe import logs

    as_json = logs.set_up(log_level, log_format)
    with told():
        settings = load_settings(os.environ)
        if ledger_fd is None:
            warn_of_open_keys(settings)
            warn_of_misspelt(os.environ)
        public, admin = (host, port), (admin_host, admin_port)
        if workers == 1:
            calls = logs.CallLog(sys.stderr, as_json) if log_level == "info" else None
            shared = reuse_port or ledger_fd is not None
            with loading():  # until the server has started
                serve_here(settings, calls, public, admin, ledger_fd, shared=shared)
        else:
            sys.exit(supervise(settings, (log_level, log_format), public, admin, workers, shared=reuse_port))

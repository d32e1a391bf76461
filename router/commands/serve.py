"""`vibes-router serve`: one process, or several that share a port and the process that commits for them."""

from __future__ import annotations

import os
import signal
import socket
import sys
from typing import Any, Final

import click

from mini_llm.errors import ConfigError
from router.commands.ledger import told
from router.config import Settings, load_settings
from router.drain import SETTLE_S, Drain
from router.ledger.link import Link
from router.observe import logs

DEFAULT_PORT: Final = 8402
"""Not one of the ports on which local model servers are looked for."""
PORT: Final = click.IntRange(0, 65_535)
LOG_LEVELS: Final = ("info", "warning", "error")


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=DEFAULT_PORT, show_default=True, type=PORT, help="Port; 0 takes a free one.")
@click.option(
    "--workers",
    default=1,
    show_default=True,
    type=click.IntRange(1, 64),
    help="Processes that share the port and are replaced if they fall; one more commits their calls.",
)
@click.option("--reuse-port", is_flag=True, help="Share the port with other routers of the ledger.")
@click.option("--ledger-fd", type=int, hidden=True)  # of a worker: its socket to the process that commits
@click.option("--log-level", default="info", show_default=True, type=click.Choice(LOG_LEVELS))
@click.option(
    "--log-format",
    default="auto",
    show_default=True,
    type=click.Choice(logs.FORMATS),
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
    as_json = logs.set_up(log_level, log_format)
    with told():
        settings = load_settings(os.environ)
        public, admin = (host, port), (admin_host, admin_port)
        if workers == 1:
            calls = logs.CallLog(sys.stderr, as_json) if log_level == "info" else None
            _serve_here(settings, calls, public, admin, ledger_fd, shared=reuse_port or ledger_fd is not None)
        else:
            sys.exit(_supervise(settings, (log_level, log_format), public, admin, workers, shared=reuse_port))


def _serve_here(
    settings: Settings,
    calls: logs.CallLog | None,
    address: tuple[str, int],
    admin_address: tuple[str, int | None],
    ledger_fd: int | None,
    *,
    shared: bool,
) -> None:
    """Serves in this process; with `shared` others may listen at the same address."""
    from router.api.app import create_apps  # a supervisor need not carry what serves
    from router.observe.observer import Observer
    from router.serve import DrainingServer, configure

    operating = settings.operating
    drain = Drain(operating.drain_s, operating.drain_notice_s)
    link = None if ledger_fd is None else _link(ledger_fd, drain)
    apps = create_apps(settings, Observer(calls, _tracer(settings)), drain, link)
    admin, (admin_host, admin_port) = None, admin_address
    if admin_port is not None:
        if admin_port and address[1] == admin_port:
            raise ConfigError("--admin-port", f"{admin_port} is the port of the public address: take another")
        admin = configure(apps.admin, admin_host, admin_port, operating, lifespan="off")
        _shared_socket(admin_host, admin_port, setting="--admin-port", alone=True).close()
    if not shared:
        _shared_socket(*address, alone=True).close()
    sockets = [_shared_socket(*address)] if shared else None
    DrainingServer(configure(apps.public, *address, operating), drain, admin, link).run(sockets)


def _supervise(
    settings: Settings,
    logged: tuple[str, str],
    address: tuple[str, int],
    admin_address: tuple[str, int | None],
    workers: int,
    *,
    shared: bool,
) -> int:
    """Runs workers, and commits what they ask for; returns the exit status."""
    from router.supervisor import Supervisor

    operating = settings.operating
    if not shared:  # the workers' sockets would take half of the calls from whoever listens there
        _shared_socket(*address, alone=True).close()
    with _shared_socket(*address) as claim:  # never listens: it keeps the port, and finds a free one for 0
        # -P: a folder named router where this was started is not the program
        command = [sys.executable, "-P", "-m", "router.cli", "serve", "--log-level", logged[0]]
        command += ["--log-format", logged[1], "--host", address[0], "--port", str(claim.getsockname()[1])]
        admin_host, admin_port = admin_address
        if admin_port and claim.getsockname()[1] in range(admin_port, admin_port + workers):
            raise ConfigError("--admin-port", f"{workers} workers need the ports from {admin_port} on for it")
        commands = []
        for number in range(workers):
            own_port = admin_port and str(admin_port + number)  # 0 takes a free one for each
            own = () if admin_port is None else ("--admin-host", admin_host, "--admin-port", own_port or "0")
            commands.append([*command, *own])
        drain_s = operating.drain_notice_s + operating.drain_s + SETTLE_S
        return Supervisor(settings.ledger_url, commands, drain_s).run()


def _link(ledger_fd: int, drain: Drain) -> Link:
    """A worker's link; once it is lost the worker stops, as if it were told to."""
    os.set_inheritable(ledger_fd, False)

    def stop() -> None:
        if not drain.begun:
            signal.raise_signal(signal.SIGTERM)

    return Link(socket.socket(fileno=ledger_fd), stop)


def _shared_socket(host: str, port: int, *, setting: str = "--port", alone: bool = False) -> socket.socket:
    """A socket on which several processes may listen at once; the system spreads the connections.

    With `alone` it is none of these, to see whether anybody listens there; `setting` is what says where.

    Raises:
        ConfigError: the address cannot be had.
    """
    opened = None
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        opened = socket.socket(family, kind, protocol)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 0 if alone else 1)
        opened.bind(address)
    except OSError as error:
        if opened is not None:
            opened.close()
        raise ConfigError(setting, f"{host}:{port} cannot be listened on: {error.strerror}") from None
    return opened


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

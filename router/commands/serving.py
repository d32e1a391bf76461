"""What `vibes-router serve` does: one process, or several that share a port and one that commits for them."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import stat
import sys
from collections.abc import Mapping
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from mini_llm.errors import ConfigError
from router.commands.serve import HELP
from router.config import Settings
from router.drain import SETTLE_S, Drain
from router.ledger.link import Link
from router.observe import logs

SETTINGS: Final = frozenset(re.findall(r"VIBES_[A-Z_]+", HELP))
ALIKE: Final = 0.81
"""How alike a misspelt name is to a setting's; the bridge's settings are less so."""

log = logging.getLogger(__name__)


def warn_of_open_keys(settings: Settings) -> None:
    """Tells of files with private keys that everybody on this machine may read; a group may be meant to."""
    relay, master = settings.config.relay, settings.people.master_key or ""
    named = {
        "VIBES_RECEIPT_KEY_FILE": settings.environ.get("VIBES_RECEIPT_KEY_FILE"),
        "VIBES_MASTER_KEY": master.removeprefix("file:") if master.startswith("file:") else None,
        "relay.key_file": None if relay is None else str(relay.key_file),
    }
    for name, file in named.items():
        with suppress(OSError):  # who needs the file says what is wrong with it
            if file and Path(file).stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
                log.warning("%s: every user of this machine can read %s: chmod 600 %s", name, file, file)


def warn_of_misspelt(environ: Mapping[str, str]) -> None:
    """Tells of variables that nobody reads and that look like settings which are not there."""
    missing = SETTINGS - environ.keys()
    for name in sorted(environ.keys() - SETTINGS):
        if name.startswith("VIBES_") and (near := get_close_matches(name, missing, 1, ALIKE)):
            log.warning("%s is no setting and has no effect: did you mean %s?", name, near[0])


def serve_here(
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
        _bound(admin_host, admin_port, setting="--admin-port", alone=True).close()
    if not shared:
        _bound(*address, alone=True).close()
    sockets = [_bound(*address)] if shared else None
    DrainingServer(configure(apps.public, *address, operating), drain, admin, link).run(sockets)


def supervise(
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
        _bound(*address, alone=True).close()
    with _bound(*address) as claim:  # never listens: it keeps the port, and finds a free one for 0
        # -P: a folder named router where this was started is not the program
        command = [sys.executable, "-P", "-m", "router.cli", "serve", "--log-level", logged[0]]
        command += ["--log-format", logged[1], "--host", address[0], "--port", str(claim.getsockname()[1])]
        admin_host, admin_port = admin_address
        if admin_port and claim.getsockname()[1] in range(admin_port, admin_port + workers):
            raise ConfigError("--admin-port", f"{workers} workers need the ports from {admin_port} on for it")
        commands = [list(command) for _ in range(workers)]
        if admin_port is not None:
            for number, one in enumerate(commands):
                own_port = admin_port and admin_port + number  # 0 takes a free one for each
                one += ["--admin-host", admin_host, "--admin-port", str(own_port)]
        drain_s = operating.drain_notice_s + operating.drain_s + SETTLE_S
        return Supervisor(settings.ledger_url, commands, drain_s, operating.silent_s).run()


def _link(ledger_fd: int, drain: Drain) -> Link:
    """A worker's link; once it is lost the worker stops, as if it were told to."""
    os.set_inheritable(ledger_fd, False)

    def stop() -> None:
        if not drain.begun:
            signal.raise_signal(signal.SIGTERM)

    return Link(socket.socket(fileno=ledger_fd), stop)


def _bound(host: str, port: int, *, setting: str = "--port", alone: bool = False) -> socket.socket:
    """A socket at an address.

    Args:
        host: name or address.
        port: 0 takes a free one.
        setting: what says where.
        alone: only if nobody listens there. Else several processes may share the address: the system spreads
            the connections.

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
    return Tracer(endpoint, settings.config)

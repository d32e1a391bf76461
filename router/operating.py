"""How the router is operated: limits, drain, hosts, proxies, the operator's own address."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Final

from mini_llm.errors import ConfigError

DEFAULT_MAX_HEADER_BYTES: Final = 32 * 2**10
DEFAULT_MAX_HEADERS: Final = 100
DEFAULT_READ_S: Final = 30
DEFAULT_KEEP_ALIVE_S: Final = 75
DEFAULT_DRAIN_S: Final = 30
DEFAULT_SILENT_S: Final = 60
_ORIGIN: Final = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?")
_HOST: Final = re.compile(r"[a-z0-9.-]+|\[[0-9a-f:]+\]")


@dataclass(frozen=True)
class Operating:
    """Settings of the operation; every one has a default that is safe.

    Attributes:
        max_headers, max_header_bytes: most headers of a request, and most bytes of its head.
        read_s: seconds in which a client sends a whole request.
        keep_alive_s: seconds that an idle connection is kept.
        drain_s: seconds that running calls get after the first SIGTERM.
        drain_notice_s: seconds after the first SIGTERM in which the socket stays open although no call runs,
            so that load balancers see `/readyz` fail first.
        silent_s: seconds without a sign of life after which a worker is replaced; 0: never.
        hosts: names that a request's Host may have; none: any.
        proxies: addresses whose `X-Forwarded-For` and `-Proto` are believed; none: nobody's.
        origins: web origins whose pages may call; none: CORS is off.
        hsts_s: `Strict-Transport-Security` for so long; 0: not sent.
        admin_hosts: names under which browsers reach the operator's pages, beside addresses and localhost.
        editable: operators may change the configuration file on a page.
        admin_keys: file with the hashes of the operators' keys; None: no admin API.
        otlp_endpoint: base URL of an OTLP/HTTP receiver of traces; None: no traces.
    """

    max_headers: int = DEFAULT_MAX_HEADERS
    max_header_bytes: int = DEFAULT_MAX_HEADER_BYTES
    read_s: int = DEFAULT_READ_S
    keep_alive_s: int = DEFAULT_KEEP_ALIVE_S
    drain_s: int = DEFAULT_DRAIN_S
    drain_notice_s: int = 0
    silent_s: int = DEFAULT_SILENT_S
    hosts: frozenset[str] = frozenset()
    proxies: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    hsts_s: int = 0
    admin_hosts: frozenset[str] = frozenset()
    editable: bool = True
    admin_keys: Path | None = None
    otlp_endpoint: str | None = None


def load_operating(environ: Mapping[str, str]) -> Operating:
    """Reads the settings from the environment; `vibes-router serve --help` lists them.

    Raises:
        ConfigError: a value is unusable.
    """
    admin_keys = environ.get("VIBES_ADMIN_KEYS_FILE")
    untraced = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"  # OpenTelemetry's own switch
    return Operating(
        max_headers=_number(environ, "VIBES_MAX_HEADERS", DEFAULT_MAX_HEADERS, least=1),
        max_header_bytes=_number(environ, "VIBES_MAX_HEADER_BYTES", DEFAULT_MAX_HEADER_BYTES, least=1024),
        read_s=_number(environ, "VIBES_READ_S", DEFAULT_READ_S, least=1),
        keep_alive_s=_number(environ, "VIBES_KEEP_ALIVE_S", DEFAULT_KEEP_ALIVE_S, least=1),
        drain_s=_number(environ, "VIBES_DRAIN_S", DEFAULT_DRAIN_S),
        drain_notice_s=_number(environ, "VIBES_DRAIN_NOTICE_S", 0),
        silent_s=_number(environ, "VIBES_WORKER_SILENT_S", DEFAULT_SILENT_S),
        hosts=frozenset(
            _words(environ, "VIBES_TRUSTED_HOSTS", _HOST.fullmatch, "a host name without a port")
        ),
        proxies=_words(
            environ,
            "VIBES_TRUSTED_PROXIES",
            _is_network,
            "an address, or a network such as 10.0.0.0/8 whose other bits are 0",
        ),
        origins=_words(
            environ,
            "VIBES_CORS_ORIGINS",
            _ORIGIN.fullmatch,
            "an exact origin such as https://app.example (no wildcard)",
        ),
        hsts_s=_number(environ, "VIBES_HSTS_S", 0),
        admin_hosts=frozenset(
            _words(environ, "VIBES_ADMIN_HOSTS", _HOST.fullmatch, "a host name without a port")
        ),
        editable=_switch(environ, "VIBES_CONFIG_EDITOR"),
        admin_keys=Path(admin_keys) if admin_keys else None,
        otlp_endpoint=None if untraced else environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or None,
    )


def _switch(environ: Mapping[str, str], name: str) -> bool:
    text = environ.get(name) or "yes"
    if text not in ("yes", "no"):
        raise ConfigError(name, f"{text!r} is neither yes nor no")
    return text == "yes"


def _number(environ: Mapping[str, str], name: str, default: int, least: int = 0) -> int:
    text = environ.get(name)
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 19) or int(text) < least:
        raise ConfigError(name, f"{text!r} is not an integer of {least} or more")
    return int(text)


def _is_network(text: str) -> bool:
    """Whether it is one for uvicorn too, to which anything else is a name that no address has."""
    try:
        ip_network(text)
    except ValueError:
        return False
    return True


def _words(
    environ: Mapping[str, str], name: str, fits: Callable[[str], object], meaning: str
) -> tuple[str, ...]:
    words = tuple(part.strip().lower() for part in environ.get(name, "").split(",") if part.strip())
    for word in words:
        if not fits(word):
            raise ConfigError(name, f"{word!r} is not {meaning}")
    return words

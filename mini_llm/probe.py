"""Asking a provider how it is: whether it answers, takes the key, and what it serves. Costs no tokens.

Every company and server of OpenAI's style lists its models under ``/models``, and so do Anthropic and Google.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal

from mini_llm.config import ProviderConfig
from mini_llm.errors import UpstreamProtocolError
from mini_llm.http_transport import HttpTransport
from mini_llm.providers.company import Company, Wiring
from mini_llm.providers.local import USUAL_SERVERS, LocalProvider
from mini_llm.providers.registry import find
from mini_llm.providers.wire import MAX_ANSWER_BYTES, OK, PLAIN_HEADERS, TRANSPORT_FAILURES, provider_failure
from mini_llm.surfaces.wording import json_or_none
from mini_llm.transport import Timeouts, Transport

State = Literal["ok", "no list", "key refused", "busy", "failing", "unreachable", "untold"]
"""``no list``: it answers and lists no models, so the key is not known to be good. ``untold``: a plugin."""
ASKING: Final = Timeouts(connect_s=5.0, first_byte_s=10.0, idle_s=10.0, total_s=15.0)
HEALTHY: Final = frozenset({"ok", "no list", "untold"})
_KEY_REFUSED: Final = frozenset({401, 403})
_NO_LIST: Final = frozenset({404, 405, 501})
_BUSY: Final = 429


@dataclass(frozen=True, slots=True)
class Probe:
    """How a provider is.

    Attributes:
        provider: its configured name.
        state: in one word.
        detail: the same in a few.
        ms: until its answer, milliseconds; None if there was none.
        models: what it lists, None if it does not.
        ahead_s: by how many seconds its clock is ahead of ours, None if it does not tell.
    """

    provider: str
    state: State
    detail: str
    ms: int | None = None
    models: tuple[str, ...] | None = None
    ahead_s: int | None = None

    @property
    def healthy(self) -> bool:
        """Nothing speaks against calling it."""
        return self.state in HEALTHY


async def probe(name: str, config: ProviderConfig, http: Transport) -> Probe:
    """Asks one provider.

    Raises:
        ConfigError: it cannot be made as configured.
    """
    factory = find(name, config.type)
    if config.type == "local":
        return await _probe_local(name, config, http)
    if not isinstance(factory, Company):
        return Probe(name, "untold", "a plugin: only a call shows how it is")
    kept: list[Wiring] = []

    def keep(wiring: Wiring) -> Any:
        kept.append(wiring)

    asked = config.model_copy(update={"surfaces": None})  # which formats it takes is not asked
    replace(factory, wire=keep)(name, asked, http)
    return await _probe_company(kept[0])


async def probe_all(configs: Mapping[str, ProviderConfig]) -> list[Probe]:
    """Asks all of them at once, over connections of its own.

    Raises:
        ConfigError: one cannot be made as configured.
    """
    http = HttpTransport()
    try:
        return await asyncio.gather(*(probe(name, config, http) for name, config in configs.items()))
    finally:
        await http.aclose()


async def _probe_company(wiring: Wiring) -> Probe:
    begun = time.monotonic()
    try:
        response = await wiring.http.send(
            "GET", f"{wiring.base_url}/models", PLAIN_HEADERS | dict(wiring.headers), None, ASKING
        )
        ms = int((time.monotonic() - begun) * 1000)
        ahead_s = _ahead_s(response.header("date"))
        try:
            listed = json_or_none(await response.read(MAX_ANSWER_BYTES))
        finally:
            await response.aclose()
    except TRANSPORT_FAILURES as error:
        failure = provider_failure(wiring.name, error)
        if isinstance(failure, UpstreamProtocolError):
            return Probe(wiring.name, "failing", failure.problem)
        return Probe(wiring.name, "unreachable", str(failure).partition(f"{wiring.name!r} ")[2])
    state, detail = _judged(response.status)
    models = _names(listed) if state == "ok" else None
    if state == "ok" and models is None:
        state, detail = "no list", "answers, and what it lists are no models"
    return Probe(wiring.name, state, detail, ms, models, ahead_s)


async def _probe_local(name: str, config: ProviderConfig, http: Transport) -> Probe:
    servers = [str(url) for url in config.servers] if config.servers else list(USUAL_SERVERS.values())
    begun = time.monotonic()
    found = await LocalProvider(name, http, servers=servers).discover()
    ms = int((time.monotonic() - begun) * 1000)
    if not found:
        return Probe(name, "unreachable", f"no model server at {', '.join(servers)}")
    return Probe(name, "ok", "answers", ms, tuple(one.model for one in found))


def _judged(status: int) -> tuple[State, str]:
    if status == OK:
        return "ok", "answers"
    if status in _KEY_REFUSED:
        return "key refused", f"refuses the key (status {status})"
    if status in _NO_LIST:
        return "no list", f"answers, and does not list its models (status {status})"
    if status == _BUSY:
        return "busy", f"wants fewer calls (status {status})"
    return "failing", f"fails (status {status})"


def _names(listed: object) -> tuple[str, ...] | None:
    """Names of models: ``data`` with ``id`` at OpenAI and Anthropic, ``models`` with ``name`` at Google."""
    if isinstance(listed, list):  # Together
        listed = {"data": listed}
    if not isinstance(listed, Mapping):
        return None
    for key, field in (("data", "id"), ("models", "name")):
        items = listed.get(key)
        if isinstance(items, list):
            names = [item.get(field) for item in items if isinstance(item, dict)]
            return tuple(name.removeprefix("models/") for name in names if isinstance(name, str))
    return None


def _ahead_s(date: str | None) -> int | None:
    """The distance of a ``Date`` header from this machine's clock."""
    try:
        return round(parsedate_to_datetime(date).timestamp() - time.time()) if date else None
    except ValueError:
        return None

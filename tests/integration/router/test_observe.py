"""Metrics, traces and logs of a real router; and that no secret ever gets into any of them."""

from __future__ import annotations

import base64
import json
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from router_upstream import PROMPT_TOKENS, WORDS
from router_world import COMPLETION_BASE, PROMPT_BASE, World, put, read_when
from support.otlp import Receiver, attributes, receiving

from router.observe import exposition
from router.observe.gauges import Gauges
from router.observe.metrics import Metrics

CHARGE_BASE = PROMPT_TOKENS * PROMPT_BASE + len(WORDS) * COMPLETION_BASE


@dataclass
class Watched:
    """A router with everything on."""

    world: World
    receiver: Receiver

    def metric(self, name: str, **labels: str) -> float:
        text = httpx.get(self.world.router.admin_url + "/metrics").text
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )


@pytest.fixture(scope="module")
def watched(new_world: Any) -> Iterator[Watched]:
    with receiving() as receiver:
        world = new_world(
            "--admin-port", "0", OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url, OTEL_BSP_SCHEDULE_DELAY="100"
        )
        yield Watched(world, receiver)


def asked(watched: Watched, model: str, request_id: str, **more: Any) -> httpx.Response:
    """One call with an id of its own."""
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}]} | more
    with watched.world.user().http() as client:
        return client.post("/chat/completions", json=body, headers={"x-request-id": request_id})


def test_calls_tokens_and_charges_are_counted(watched: Watched) -> None:
    labels = {"surface": "chat", "model": "plain", "status": "200"}
    counted = (
        ("vibes_requests_total", labels | {"provider": "up"}, 2),
        ("vibes_calls_total", {"surface": "chat", "outcome": "ok"}, 2),
        ("vibes_tokens_total", {"model": "plain", "kind": "prompt"}, 2 * PROMPT_TOKENS),
        ("vibes_tokens_total", {"model": "plain", "kind": "completion"}, 2 * len(WORDS)),
        ("vibes_charged_base_total", {"model": "plain"}, 2 * CHARGE_BASE),
        ("vibes_upstream_attempts_total", {"deployment": "up/plain", "outcome": "answered"}, 2),
        ("vibes_streams_ended_total", {"outcome": "ok"}, 1),
        ("vibes_request_seconds_count", {"surface": "chat"}, 2),
        ("vibes_reserve_seconds_count", {}, 2),
        ("vibes_charge_seconds_count", {}, 2),
        ("vibes_streams_in_flight", {}, 0),
        ("vibes_requests_in_flight", {}, 0),
    )
    before = [watched.metric(name, **labels) for name, labels, _ in counted]
    assert asked(watched, "plain", "count-1").status_code == 200
    assert asked(watched, "plain", "count-2", stream=True).status_code == 200
    after = [watched.metric(name, **labels) for name, labels, _ in counted]
    for (name, labels, more), was, now in zip(counted, before, after, strict=True):
        assert now - was == more, (name, labels)
    assert watched.metric("vibes_ready") == 1
    assert watched.metric("vibes_ledger_commit_seconds_count") > 0
    groups = watched.metric("vibes_ledger_group_size_count")  # first: more may come between the two looks
    assert watched.metric("vibes_ledger_group_size_sum") >= groups


def test_labels_come_from_the_configuration_only(watched: Watched) -> None:
    for number in range(5):
        assert asked(watched, f"made-up-{number}", f"unknown-{number}").status_code == 404
    assert asked(watched, "http-500", "fails").status_code == 502
    text = httpx.get(watched.world.router.admin_url + "/metrics").text
    assert "made-up" not in text
    assert watched.metric("vibes_requests_total", surface="chat", model="other", status="404") == 5
    failed = {"deployment": "up/http-500", "outcome": "UpstreamRefused"}
    assert watched.metric("vibes_upstream_attempts_total", **failed) >= 1
    assert watched.metric("vibes_breaker_state", deployment="up/plain") == 0


def test_metrics_are_not_public(watched: Watched) -> None:
    answer = httpx.get(watched.world.router.url.removesuffix("/v1") + "/metrics")
    assert answer.status_code == 404


def test_a_call_is_one_trace_that_continues_the_clients(watched: Watched) -> None:
    trace_id, parent_id = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    headers = {"traceparent": f"00-{trace_id}-{parent_id}-01", "x-request-id": "traced"}
    body = {"model": "plain", "messages": [{"role": "user", "content": "hello"}]}
    with watched.world.user().http() as client:
        assert client.post("/chat/completions", json=body, headers=headers).status_code == 200
    server, client_span = watched.receiver.of("traced")
    assert server.trace_id.hex() == trace_id
    assert server.parent_span_id.hex() == parent_id
    assert client_span.parent_span_id == server.span_id
    told = next(one for one in reversed(watched.world.upstream.headers) if "traceparent" in one)
    assert told["traceparent"] == f"00-{trace_id}-{server.span_id.hex()}-01"
    assert (server.name, server.kind, client_span.kind) == ("chat plain", 2, 3)
    found = attributes(client_span)
    upstream = httpx.URL(watched.world.upstream.url)
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "up",
        "gen_ai.request.model": "plain",
        "gen_ai.usage.input_tokens": PROMPT_TOKENS,
        "gen_ai.usage.output_tokens": len(WORDS),
        "server.address": upstream.host,
        "server.port": upstream.port,
    }
    assert expected.items() <= found.items()
    assert server.start_time_unix_nano <= client_span.start_time_unix_nano <= client_span.end_time_unix_nano
    assert client_span.end_time_unix_nano <= server.end_time_unix_nano


def test_a_failure_is_traced_by_its_kind(watched: Watched) -> None:
    assert asked(watched, "http-500", "traced-failure").status_code == 502
    server, client_span, *_ = watched.receiver.of("traced-failure")  # it is tried again
    assert attributes(server)["error.type"] == "upstream_failed"
    assert attributes(client_span)["error.type"] == "UpstreamRefused"
    assert (server.status.code, client_span.status.code) == (2, 2)
    for span in (server, client_span):
        assert not {"gen_ai.usage.input_tokens", "gen_ai.response.model"} & attributes(span).keys()


def test_providers_are_told_by_the_names_of_the_conventions_and_where_they_are(watched: Watched) -> None:
    file = Path(watched.world.router.environ["VIBES_CONFIG"])
    before = json.loads(file.read_text())
    price = {"prompt_usd_per_mtok": "1", "completion_usd_per_mtok": "1"}
    added = {
        "newcomer": {"base_url": before["providers"]["up"]["base_url"], "api_key": "k"},
        "cloud": {"type": "bedrock", "base_url": before["providers"]["up"]["base_url"], "api_key": "k"},
    }
    deployments = [{"model": f"plain-{name}", "upstream_model": "plain", "provider": name} for name in added]
    put(
        watched.world,
        providers=before["providers"] | added,
        deployments=[*before["deployments"], *[one | price for one in deployments]],
    )
    try:
        upstream = httpx.URL(watched.world.upstream.url)
        for name, known in (("newcomer", "newcomer"), ("cloud", "aws.bedrock")):
            assert asked(watched, f"plain-{name}", f"traced-{name}").status_code == 200
            found = attributes(watched.receiver.of(f"traced-{name}")[1])
            assert (found["gen_ai.provider.name"], found["vibes.provider"]) == (known, name)
            assert (found["server.address"], found["server.port"]) == (upstream.host, upstream.port)
            assert found["gen_ai.response.model"] == "plain"  # the provider's own name for it
    finally:
        put(watched.world, **{name: before[name] for name in ("providers", "deployments")})


def test_a_call_is_told_of_the_model_that_served_it(watched: Watched) -> None:
    file = Path(watched.world.router.environ["VIBES_CONFIG"])
    before = json.loads(file.read_text())
    spare = before["deployments"][0] | {"model": "spare", "upstream_model": "plain"}
    put(watched.world, deployments=[*before["deployments"], spare], aliases={"either": ["http-503", "spare"]})
    try:
        answer = asked(watched, "either", "fell-back")
        assert (answer.status_code, answer.headers["x-vibes-deployment"]) == (200, "up/spare")
        receipt = json.loads(base64.b64decode(answer.headers["x-vibes-receipt"]))["receipt"]
        assert receipt["model"] == "spare"
        assert watched.metric("vibes_tokens_total", model="spare", kind="prompt") == PROMPT_TOKENS
        assert watched.metric("vibes_charged_base_total", model="spare") == int(receipt["chargeBase"])
        assert watched.metric("vibes_requests_total", model="spare", status="200") == 1
        server, *tries = map(attributes, watched.receiver.of("fell-back"))
        assert (server["gen_ai.request.model"], server["gen_ai.response.model"]) == ("http-503", "spare")
        assert {one["gen_ai.request.model"] for one in tries[:-1]} == {"http-503"}
        assert (tries[-1]["gen_ai.request.model"], tries[-1]["gen_ai.response.model"]) == ("plain", "plain")
        assert '"model":"spare"' in read_when(watched.world.router.log, '"request_id":"fell-back"')
    finally:
        put(watched.world, deployments=before["deployments"], aliases=before.get("aliases", {}))


def test_a_configuration_that_is_not_in_force_is_counted(watched: Watched) -> None:
    file, process = Path(watched.world.router.environ["VIBES_CONFIG"]), watched.world.router.process
    before = file.read_text()
    assert process is not None
    file.write_text("{")
    process.send_signal(signal.SIGHUP)
    read_when(watched.world.router.log, "configuration not reloaded")
    assert watched.metric("vibes_config_refused") == 1
    file.write_text(before)
    put(watched.world)
    assert watched.metric("vibes_config_refused") == 0


def test_a_call_is_one_line_of_json(watched: Watched) -> None:
    assert asked(watched, "plain", "logged").status_code == 200
    log = read_when(watched.world.router.log, '"request_id":"logged"')
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    (line,) = [one for one in lines if one.get("request_id") == "logged"]
    expected = {
        "message": "call",
        "surface": "chat",
        "model": "plain",
        "deployment": "up/plain",
        "prompt_tokens": PROMPT_TOKENS,
        "completion_tokens": len(WORDS),
        "charge_base": CHARGE_BASE,
        "status": 200,
        "outcome": "ok",
    }
    assert expected.items() <= line.items()
    assert {"at", "account", "key", "call", "ms"} <= line.keys()


def secret(place: str) -> str:
    return f"marked-secret-{place}"


def test_no_secret_gets_into_logs_traces_metrics_or_the_ledger(watched: Watched) -> None:
    """Marks what a client or a provider says, everywhere that it can, and looks for the mark."""
    world = watched.world
    user = world.user()
    headers = {
        "x-secret": secret("header"),
        "cookie": secret("cookie"),
        "user-agent": secret("agent"),
        "tracestate": "a=" + secret("state"),
        "idempotency-key": secret("idempotency"),
    }
    messages = [{"role": "user", "content": secret("prompt")}]
    odd: list[Any] = [
        {"model": secret("model"), "messages": messages},
        {"model": "plain", "messages": secret("messages")},
        {"model": "plain", "messages": messages, secret("field"): 1, "n": secret("n")},
        {"model": "plain", "messages": messages, "max_tokens": secret("cap")},
    ]
    models = ("plain", "http-400", "http-401", "http-404", "http-500", "not-json", "breaks", "error-event")
    odd += [
        {"model": m, "messages": messages, "user": secret("user"), "stream": s}
        for m in models
        for s in (0, 1)
    ]
    url = world.router.url
    with user.http() as client:
        for number, body in enumerate(odd):
            key = {"idempotency-key": f"{secret('idempotency')}-{number}"}
            client.post("/chat/completions", json=body, headers=headers | key)
        client.post("/chat/completions", content=b'{"' + secret("broken").encode(), headers=headers)
        client.get(f"/models/{secret('path')}?key={secret('query')}", headers=headers)
        client.get(f"/receipts/{secret('receipt')}", headers=headers)
        client.post("/account/ceiling", json={secret("ceiling"): secret("ceiling")}, headers=headers)
        client.request("SECRET", "/account", headers=headers)
    httpx.get(url + "/account", headers={"authorization": "Bearer " + secret("key")})
    httpx.get(
        world.router.admin_url + "/admin/v1/audit", headers={"authorization": "Bearer " + secret("admin")}
    )
    httpx.get(f"{world.router.admin_url}/{secret('path')}")
    with socket.create_connection(("127.0.0.1", world.router.port)) as connection:
        connection.sendall(f"NONSENSE {secret('line')}\x00\r\n\r\n".encode())
        connection.recv(1000)
    assert asked(watched, "plain", "the-last").status_code == 200
    log = read_when(world.router.log, '"request_id":"the-last"')
    watched.receiver.of("the-last")
    written = [log.encode(), *watched.receiver.raw]
    written.append(httpx.get(world.router.admin_url + "/metrics").content)
    with user.ledger.engine.connect() as connection:
        for column in ("reason", "id", "origin_key"):
            rows = connection.exec_driver_sql(f"SELECT {column} FROM entry").all()
            written.append(repr(rows).encode())
    everything = b"\n".join(written)
    assert b"the-last" in everything
    for words in (
        "marked-secret",
        user.api_key,
        "sk-operator-secret",
        "stack trace",
        "GPU on fire",
        WORDS[0] + " " + WORDS[1],
    ):
        assert words.encode() not in everything, words
    assert "Traceback" not in log


def test_calls_that_nobody_looked_at_are_counted(watched: Watched) -> None:
    text = httpx.get(watched.world.router.admin_url + "/metrics").text
    assert 'vibes_dropped_total{wanted="outcomes"} 0.0' in text
    assert 'wanted="scores"' not in text  # this router scores nothing
    told = exposition.render(Metrics(), Gauges(True, 0, dropped={"scores": 3})).decode()
    assert 'vibes_dropped_total{wanted="scores"} 3.0' in told

"""Traces by OpenTelemetry, in its conventions for generative AI. Imported only if an endpoint is configured.

A request is one server span under the parent that the client named; each try at a provider is a client span
under it. Providers are told the server span. Paths, prompts, answers and errors' words are never in them.
Source: https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/
"""

from __future__ import annotations

import time
from typing import Any, Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    SpanKind,
    Status,
    StatusCode,
    format_span_id,
    format_trace_id,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from pydantic import HttpUrl

from mini_llm.config import ProviderConfig, RoutingConfig
from mini_llm.deployment import Deployment
from mini_llm.providers.registry import COMPANIES
from mini_llm.routing.run import OVERTAKEN
from router.observe.record import TRACEPARENT, CallRecord

OPERATIONS: Final = {"embeddings": "embeddings", "gemini": "generate_content"}
"""`gen_ai.operation.name` by surface; all others are "chat"."""
DEFAULT_SERVICE: Final = "vibes-router"
CLOSE_S: Final = 5
_PROPAGATOR: Final = TraceContextTextMapPropagator()

NAMES: Final = {
    "anthropic": "anthropic",
    "azure": "azure.ai.openai",
    "azure-deployments": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "cohere": "cohere",
    "deepseek": "deepseek",
    "google": "gcp.gemini",
    "groq": "groq",
    "mistral": "mistral_ai",
    "openai": "openai",
    "perplexity": "perplexity",
    "xai": "x_ai",
}
"""What the conventions call a company, by the type of provider; any other has the operator's own name."""


def _described(name: str, provider: ProviderConfig) -> dict[str, Any]:
    """Attributes of tries at a provider: who it is, and where. A company is known by its address."""
    row = COMPANIES.get(provider.type)
    usual = HttpUrl(row.url) if row is not None and row.url is not None else None
    url = provider.base_url or usual
    is_company = row is not None and (usual is None or (url is not None and url.host == usual.host))
    known = NAMES.get(provider.type) if is_company else None
    attributes: dict[str, Any] = {"gen_ai.provider.name": known or name, "vibes.provider": name}
    if url is not None and url.host:
        attributes |= {"server.address": url.host, "server.port": url.port or 443}
    return attributes


class Tracer:
    """Makes the spans of each request and sends them in the background.

    Args:
        endpoint: base URL of an OTLP receiver over HTTP; `/v1/traces` is appended. Headers, samplers and
            limits are the SDK's own `OTEL_…` variables.
        config: who the providers are.
    """

    def __init__(self, endpoint: str, config: RoutingConfig) -> None:
        resource = Resource({SERVICE_NAME: DEFAULT_SERVICE}).merge(_named())
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint.rstrip("/") + "/v1/traces")
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("router")
        self.adopt(config)
        self._epoch_ns = time.time_ns() - time.perf_counter_ns()

    def adopt(self, config: RoutingConfig) -> None:
        """Takes the providers of a new configuration."""
        self._described = {name: _described(name, one) for name, one in config.providers.items()}

    def began(self, record: CallRecord, method: str) -> None:
        """Opens the server span, and makes it what providers are told to continue."""
        parent = _PROPAGATOR.extract({TRACEPARENT: record.traceparent}) if record.traceparent else None
        attributes = {"http.request.method": method, "vibes.request_id": record.request_id}
        span = self._tracer.start_span(
            method,
            context=parent,
            kind=SpanKind.SERVER,
            attributes=attributes,
            start_time=self._epoch_ns + record.started_ns,
        )
        record.span = span
        context = span.get_span_context()
        trace_id, span_id = format_trace_id(context.trace_id), format_span_id(context.span_id)
        record.traceparent = f"00-{trace_id}-{span_id}-{int(context.trace_flags):02x}"

    def ended(self, record: CallRecord) -> None:
        """Closes the spans of a request."""
        span = record.span
        span.set_attribute("http.response.status_code", record.status)
        if record.surface:
            span.update_name(f"{OPERATIONS.get(record.surface, 'chat')} {record.model or 'unknown model'}")
            span.set_attributes(self._call(record) | self._usage(record))
            if record.outcome != "ok":
                span.set_attribute("error.type", record.outcome)
            elif record.served is not None:  # an answer that is given again was served before
                span.set_attribute("gen_ai.response.model", record.served)
            self._tries(record)
        if record.status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        span.end()

    def close(self) -> None:
        """Sends what waits, for `CLOSE_S` at most."""
        self._provider.force_flush(CLOSE_S * 1000)
        self._provider.shutdown()

    def _tries(self, record: CallRecord) -> None:
        """One client span for each try; two that were asked at one time overlap."""
        for one in record.tries:
            ended_ns, error = one.ended_ns, one.outcome
            if error == "ok" and record.deployment in (None, one.deployment.id):
                ended_ns = max(ended_ns, record.answered_ns)  # of a stream, when it ended or broke off
                error = "" if record.deployment else record.outcome
            elif error == "ok":
                error = OVERTAKEN
            self._try(record, one.deployment, (one.began_ns, ended_ns), error)

    def _try(self, record: CallRecord, asked: Deployment, times_ns: tuple[int, int], error: str) -> None:
        attributes = self._call(record) | {"vibes.deployment": asked.id}
        attributes["gen_ai.request.model"] = asked.upstream_model
        attributes |= self._described.get(asked.provider, {"gen_ai.provider.name": asked.provider})
        if error:
            attributes["error.type"] = error
        else:
            attributes |= self._usage(record) | {"gen_ai.response.model": asked.upstream_model}
        span = self._tracer.start_span(
            f"{attributes['gen_ai.operation.name']} {asked.upstream_model}",
            context=set_span_in_context(record.span),
            kind=SpanKind.CLIENT,
            attributes=attributes,
            start_time=self._epoch_ns + times_ns[0],
        )
        if error:
            span.set_status(Status(StatusCode.ERROR))
        span.end(self._epoch_ns + times_ns[1])

    @staticmethod
    def _call(record: CallRecord) -> dict[str, Any]:
        attributes: dict[str, Any] = {
            "gen_ai.operation.name": OPERATIONS.get(record.surface, "chat"),
            "gen_ai.request.stream": record.stream,
        }
        if record.model is not None:
            attributes["gen_ai.request.model"] = record.model
        return attributes

    @staticmethod
    def _usage(record: CallRecord) -> dict[str, Any]:
        usage = record.usage
        if usage is None:
            return {}
        parts = {
            "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens,
            "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens,
        }
        return {
            "gen_ai.usage.input_tokens": usage.prompt_tokens,
            "gen_ai.usage.output_tokens": usage.completion_tokens,
            "vibes.charge_base": record.charge_base,
        } | {name: tokens for name, tokens in parts.items() if tokens}


def _named() -> Resource:
    """What `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` say, if they name the service."""
    told = Resource.create()
    if str(told.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        return Resource({name: value for name, value in told.attributes.items() if name != SERVICE_NAME})
    return told

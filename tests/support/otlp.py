"""A receiver of OpenTelemetry traces: real OTLP over HTTP with protobuf, on loopback."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Receiver:
    """What has come so far."""

    def __init__(self) -> None:
        self.raw: list[bytes] = []
        self.url = ""

    @property
    def spans(self) -> list[Span]:
        """Every span."""
        found: list[Span] = []
        for body in list(self.raw):
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    found += scope.spans
        return found

    def of(self, request_id: str) -> list[Span]:
        """The spans of a request's trace once its server span has come, by start."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            spans = self.spans
            traces = {one.trace_id for one in spans if attributes(one).get("vibes.request_id") == request_id}
            if traces:
                return sorted(
                    (one for one in spans if one.trace_id in traces), key=lambda one: one.start_time_unix_nano
                )
            time.sleep(0.1)
        raise AssertionError(f"no trace of {request_id}")


def attributes(span: Span) -> dict[str, Any]:
    """A span's attributes as Python values."""
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Receives until the end of the block."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.path != "/v1/traces" or self.headers["content-type"] != "application/x-protobuf":
                self.send_error(400)
                return
            receiver.raw.append(body)
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.end_headers()
            self.wfile.write(ExportTraceServiceResponse().SerializeToString())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()

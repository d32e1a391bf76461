"""A load client: keeps so many connections busy for so long, or for so many calls, and prints JSON.

python benchmarks/gateway_load.py PORT PATH CONNECTIONS SECONDS CALLS MODEL STREAM 'Header: value|…'
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import uvloop

MESSAGES = [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": "Tell me about the quick brown fox in fifty words."},
]


class Client(asyncio.Protocol):
    """One connection that asks again as soon as it has its answer."""

    def __init__(self, request: bytes, until: float, stream: bool, left: list[int]) -> None:
        self.request, self.until, self.stream, self.left = request, until, stream, left
        self.latencies: list[float] = []
        self.first: list[float] = []
        self.chunks = self.refused = 0
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.WriteTransport = transport  # type: ignore[assignment]
        self.ask()

    def ask(self) -> None:
        if time.perf_counter() >= self.until or not self.left[0]:
            self.transport.close()
            return
        self.left[0] -= 1
        self.received, self.spoke = b"", False
        self.began = time.perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.received += data
        if self.stream:
            self.chunks += data.count(b"data: ")
            if not self.spoke and b'"content"' in self.received:
                self.spoke = True
                self.first.append(time.perf_counter() - self.began)
            ended = self.received.endswith(b"0\r\n\r\n") or not self.received.startswith(b"HTTP/1.1 200")
        else:
            head, blank, body = self.received.partition(b"\r\n\r\n")
            start = head.lower().find(b"content-length: ")
            ended = bool(blank) and len(body) >= int(head[start + 16 :].split(b"\r\n", 1)[0])
        if ended:
            self.refused += not self.received.startswith(b"HTTP/1.1 200")
            self.latencies.append(time.perf_counter() - self.began)
            self.ask()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


def percentile(values: list[float], part: float) -> float | None:
    """In milliseconds."""
    return round(sorted(values)[min(len(values) - 1, int(len(values) * part))] * 1000, 3) if values else None


async def main() -> None:
    port, path, connections, seconds, calls, model, stream, headers = sys.argv[1:9]
    fields = {"model": model, "messages": MESSAGES, "max_tokens": 100, "stream": stream == "1"}
    body = json.dumps(fields).encode()
    lines = [f"POST {path} HTTP/1.1", "host: 127.0.0.1", "content-type: application/json"]
    lines += [f"content-length: {len(body)}", *filter(None, headers.split("|"))]
    request = "\r\n".join(lines).encode() + b"\r\n\r\n" + body
    until = time.perf_counter() + float(seconds) if float(seconds) else float("inf")
    left = [int(calls) or 2**62]
    loop, began = asyncio.get_running_loop(), time.perf_counter()
    opened = [
        await loop.create_connection(
            lambda: Client(request, until, stream == "1", left), "127.0.0.1", int(port)
        )
        for _ in range(int(connections))
    ]
    clients = [client for _, client in opened]
    await asyncio.gather(*(client.done for client in clients))
    took_s = time.perf_counter() - began
    latencies = [one for client in clients for one in client.latencies]
    first = [one for client in clients for one in client.first]
    result = {
        "answered": len(latencies),
        "refused": sum(client.refused for client in clients),
        "seconds": round(took_s, 2),
        "per_s": round(len(latencies) / took_s, 1),
        "p50_ms": percentile(latencies, 0.5),
        "p90_ms": percentile(latencies, 0.9),
        "p99_ms": percentile(latencies, 0.99),
    }
    if stream == "1":
        result["chunks_per_s"] = round(sum(client.chunks for client in clients) / took_s, 1)
        result |= {"first_p50_ms": percentile(first, 0.5), "first_p99_ms": percentile(first, 0.99)}
    print(json.dumps(result))


if __name__ == "__main__":
    uvloop.run(main())

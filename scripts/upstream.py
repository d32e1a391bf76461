"""The models that the demo sells: the project's answerers, or a server already running on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

KNOWN_SERVERS = (
    ("Ollama", "http://127.0.0.1:11434/v1"),
    ("llama.cpp", "http://127.0.0.1:8080/v1"),
    ("vLLM", "http://127.0.0.1:8000/v1"),
    ("LM Studio", "http://127.0.0.1:1234/v1"),
)
LIVE_MAX_TOKENS = 160
"""Longest answer asked of a live model: on two cores a language model writes slowly."""


class NoLiveServer(Exception):
    """No OpenAI-compatible server with a model was found."""

    def __init__(self, looked_at: list[str]) -> None:
        super().__init__(
            "LIVE: no OpenAI-compatible server with a model answers at " + ", ".join(looked_at) + ". "
            "Start one (for example: ollama serve, and ollama pull a small model), or name it with "
            "LIVE=http://127.0.0.1:PORT/v1, or run without LIVE."
        )
        self.looked_at = looked_at


@dataclass(frozen=True)
class LiveServer:
    """A server found on this machine and the model that will answer."""

    name: str
    base_url: str
    model: str


@dataclass(frozen=True)
class Offer:
    """A model on the demo's price list; prices in USD per million tokens, decimal strings."""

    model: str
    partner: str
    partner_bps: int
    prompt_usd: str
    completion_usd: str


OFFERS = (
    Offer("pithy-1", "pithy-labs", 3000, "0.50", "2.00"),
    Offer("deep-1", "deep-works", 2500, "3.00", "12.00"),
)


def find_live_server(wanted: str) -> LiveServer:
    """Looks for a server.

    Args:
        wanted: "1" to try the usual ports, else a base URL on this machine.

    Raises:
        NoLiveServer: none of them lists a model.
    """
    places = KNOWN_SERVERS if wanted == "1" else ((urlsplit(wanted).netloc, wanted.rstrip("/")),)
    for name, base_url in places:
        try:
            models = httpx.get(f"{base_url}/models", timeout=2).raise_for_status().json()["data"]
            # An embedding model answers no questions; its name is the only thing that tells.
            model = next(model["id"] for model in models if "embed" not in model["id"])
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, LookupError, TypeError, StopIteration):
            continue
        return LiveServer(name, base_url, model)
    raise NoLiveServer([base_url for _, base_url in places])


def router_config(base_urls: dict[str, str], live: LiveServer | None) -> dict[str, Any]:
    """The router's configuration file.

    Args:
        base_urls: where each offered model answers.
        live: the server behind all of them, None for the answerers.
    """
    key = {} if live else {"api_key": "${ANSWERERS_API_KEY}"}
    return {
        "vibes_per_usd": 100,
        "policy": {"fee_bps": 1500, "burn_bps": 500, "pool_bps": 1000, "wholesale_bps": 5000},
        "partners": [
            {"id": number, "name": offer.partner, "bps": offer.partner_bps}
            for number, offer in enumerate(OFFERS, 1)
        ],
        "providers": {
            offer.partner: {"type": "openai", "base_url": base_urls[offer.model], **key} for offer in OFFERS
        },
        "deployments": [
            {
                "model": offer.model,
                "provider": offer.partner,
                "upstream_model": live.model if live else offer.model,
                "partner": number,
                "prompt_usd_per_mtok": offer.prompt_usd,
                "completion_usd_per_mtok": offer.completion_usd,
                "context_tokens": 8192,
                "max_output_tokens": 1024,
            }
            for number, offer in enumerate(OFFERS, 1)
        ],
    }

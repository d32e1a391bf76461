"""Language models from one place: own keys, own servers, and a wallet when those fail.

    from mini_llm import Client

    print(Client().chat("What is a ledger?", model="gpt-4o-mini").text)

What is heavy is imported when it is first used, so that importing this costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mini_llm.client import AsyncClient, Client
    from mini_llm.errors import (
        AnswerLost,
        AnswerTooLarge,
        BadRequest,
        ConfigError,
        MiniLLMError,
        NoneCanServe,
        NotSetUp,
        ProviderError,
        StreamBrokeOff,
        UnknownModel,
        UpstreamProtocolError,
        UpstreamRefused,
        UpstreamTimeout,
        UpstreamUnreachable,
    )
    from mini_llm.official import async_openai_client, openai_client
    from mini_llm.records import Chunk, Result
    from mini_llm.settings import Settings, read_settings
    from mini_llm.streams import AsyncChatStream, ChatStream

__all__ = [
    "AnswerLost",
    "AnswerTooLarge",
    "AsyncChatStream",
    "AsyncClient",
    "BadRequest",
    "ChatStream",
    "Chunk",
    "Client",
    "ConfigError",
    "MiniLLMError",
    "NoneCanServe",
    "NotSetUp",
    "ProviderError",
    "Result",
    "Settings",
    "StreamBrokeOff",
    "UnknownModel",
    "UpstreamProtocolError",
    "UpstreamRefused",
    "UpstreamTimeout",
    "UpstreamUnreachable",
    "async_openai_client",
    "openai_client",
    "read_settings",
]

_HOMES = {
    "mini_llm.client": ("AsyncClient", "Client"),
    "mini_llm.official": ("async_openai_client", "openai_client"),
    "mini_llm.records": ("Chunk", "Result"),
    "mini_llm.settings": ("Settings", "read_settings"),
    "mini_llm.streams": ("AsyncChatStream", "ChatStream"),
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = next((home for home, names in _HOMES.items() if name in names), "mini_llm.errors")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""What each company of OpenAI's format documents, written down apart from the registry that it checks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mini_llm.price import Usage
from support.companies.error_bodies import (
    Body,
    cloudflare_error,
    detail_error,
    flat_error,
    mistral_error,
    nested_error,
    numbered_error,
    openai_error,
    reason_error,
    text_error,
)

ErrorBody = Callable[[int, str], Any]
PROMPT, COMPLETION, CACHED, REASONING = 20, 7, 8, 3
WRITTEN = 5
"""Tokens put into a cache."""
TOTALS: Body = {
    "prompt_tokens": PROMPT,
    "completion_tokens": COMPLETION,
    "total_tokens": PROMPT + COMPLETION,
}
DETAILED: Body = TOTALS | {
    "prompt_tokens_details": {"cached_tokens": CACHED},
    "completion_tokens_details": {"reasoning_tokens": REASONING},
}
SPLIT = Usage(PROMPT, COMPLETION, cached_tokens=CACHED, reasoning_tokens=REASONING)
TOLD_WAIT_S = 7.0
TURN = frozenset({"role", "content", "name", "tool_calls", "function_call"})
CALL = frozenset({"id", "type", "index", "function", "custom"})
"""Members of a tool call."""
OPENAI_TURN = TURN | {"refusal", "annotations", "audio"}
MISTRAL_TAKES = frozenset(
    {"model", "messages", "temperature", "top_p", "max_tokens", "stream", "stop", "random_seed", "metadata"}
    | {"response_format", "tools", "tool_choice", "presence_penalty", "frequency_penalty", "n", "prediction"}
    | {"parallel_tool_calls", "reasoning_effort", "prompt_mode", "guardrails", "prompt_cache_key"}
    | {"safe_prompt"}
)
"""https://github.com/mistralai/client-python: models/chatcompletionrequest.py, assistantmessage.py."""


@dataclass(frozen=True)
class Facts:
    """One company, as its documentation has it.

    Attributes:
        type: of the row that must fit.
        host, path, query: where chat is asked for.
        base_url: what the configuration says, for a company whose customers have an own address.
        auth: header of the key, and what stands before the key.
        cap_field: the field that limits a completion.
        refuses: fields that it answers 400 to.
        takes: the fields that it takes, of a company that names all of them.
        turn: members that an assistant's message may have.
        named: roles whose messages may have a name.
        insists: a turn that calls tools must have ``reasoning_content``.
        developer: it knows that role.
        marks: it takes ``cache_control`` in parts of messages and in tools.
        call_id: what ids of tool calls look like.
        usage: its usage object, and what it means.
        asked: usage comes in streams only if ``stream_options`` asks; the field is refused otherwise.
        stream: manner of its streams, a function of ``openai_style``.
        error: its error body.
        busy: headers of a 429, which say that ``TOLD_WAIT_S`` must pass.
        id_header: header that names the call.
        also: formats that it takes beside chat, under the same root.
    """

    type: str
    host: str
    path: str
    query: str = ""
    base_url: str | None = None
    auth: tuple[str, str] = ("authorization", "Bearer ")
    cap_field: str = "max_tokens"
    refuses: frozenset[str] = frozenset()
    takes: frozenset[str] | None = None
    turn: frozenset[str] = OPENAI_TURN | {"reasoning_content", "reasoning", "reasoning_details"}
    named: frozenset[str] = frozenset({"user", "system", "developer", "assistant", "tool"})
    insists: bool = False
    developer: bool = False
    marks: bool = False
    call_id: str = ".+"
    usage: Body = field(default_factory=lambda: DETAILED)
    means: Usage = SPLIT
    asked: bool = True
    stream: str = "plain"
    error: ErrorBody = openai_error
    busy: Body = field(default_factory=lambda: {"retry-after": "7"})
    id_header: str = "x-request-id"
    also: frozenset[str] = frozenset()


EMBEDS = frozenset({"embeddings"})
RESPONDS = frozenset({"responses"})
NEW_CAP = "max_completion_tokens"
OPENAI_BUSY = {
    "x-ratelimit-limit-requests": "60",
    "x-ratelimit-remaining-requests": "0",
    "x-ratelimit-reset-requests": "7s",
    "x-ratelimit-limit-tokens": "150000",
    "x-ratelimit-remaining-tokens": "149984",
    "x-ratelimit-reset-tokens": "6m0s",
}
CEREBRAS_BUSY = {
    "x-ratelimit-limit-requests-day": "1000000",
    "x-ratelimit-remaining-requests-day": "999997",
    "x-ratelimit-reset-requests-day": "33011.382867",
    "x-ratelimit-remaining-tokens-minute": "0",
    "x-ratelimit-reset-tokens-minute": "7.0",
}
WINDOW_BUSY = {"x-ratelimit-limit": "10", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "7"}
AZURE = {
    "base_url": "https://acme.openai.azure.com/openai/v1",
    "host": "acme.openai.azure.com",
    "auth": ("api-key", ""),
    "cap_field": NEW_CAP,
    "stream": "azure",
    "turn": OPENAI_TURN,
    "developer": True,
    "refuses": frozenset({"top_k"}),
    "error": numbered_error,
    "busy": {"retry-after-ms": "7000", "retry-after": "8"},
    "id_header": "apim-request-id",
}

COMPANIES: tuple[Facts, ...] = (
    Facts(
        "openai",
        "api.openai.com",
        "/v1/chat/completions",
        cap_field=NEW_CAP,
        busy=OPENAI_BUSY,
        turn=OPENAI_TURN,
        developer=True,
        refuses=frozenset({"top_k"}),
        also=EMBEDS | RESPONDS,
    ),
    Facts("azure", path="/openai/v1/chat/completions", also=EMBEDS | RESPONDS, **AZURE),
    Facts(
        "azure-deployments",
        path="/openai/deployments/upstream-1/chat/completions",
        query="api-version=2024-10-21",
        also=EMBEDS,
        **(AZURE | {"base_url": "https://acme.openai.azure.com/openai"}),
    ),
    Facts(
        "bedrock",
        "bedrock-runtime.us-west-2.amazonaws.com",
        "/openai/v1/chat/completions",
        base_url="https://bedrock-runtime.us-west-2.amazonaws.com/openai/v1",
        cap_field=NEW_CAP,
        turn=OPENAI_TURN,
        id_header="x-amzn-requestid",
        also=RESPONDS,
    ),
    Facts(
        "cerebras",
        "api.cerebras.ai",
        "/v1/chat/completions",
        cap_field=NEW_CAP,
        turn=OPENAI_TURN | {"reasoning"},
        error=flat_error,
        busy=CEREBRAS_BUSY,
    ),
    Facts(
        "cloudflare",
        "api.cloudflare.com",
        "/client/v4/accounts/0123/ai/v1/chat/completions",
        base_url="https://api.cloudflare.com/client/v4/accounts/0123/ai/v1",
        error=cloudflare_error,
        id_header="cf-ray",
        also=EMBEDS | RESPONDS,
    ),
    Facts(
        "cohere",
        "api.cohere.ai",
        "/compatibility/v1/chat/completions",
        refuses=frozenset({"stream_options"}),
        turn=OPENAI_TURN,
        asked=False,
        error=flat_error,
        also=EMBEDS,
    ),
    Facts(
        "dashscope",
        "dashscope-intl.aliyuncs.com",
        "/compatible-mode/v1/chat/completions",
        usage=TOTALS
        | {"prompt_tokens_details": {"cached_tokens": CACHED, "cache_creation_input_tokens": WRITTEN}}
        | {"completion_tokens_details": {"reasoning_tokens": REASONING}},
        means=SPLIT._replace(cache_write_tokens=WRITTEN),
        marks=True,
        also=EMBEDS,
    ),
    Facts(
        "deepinfra",
        "api.deepinfra.com",
        "/v1/openai/chat/completions",
        marks=True,
        error=nested_error,
        also=EMBEDS,
    ),
    Facts(
        "deepseek",
        "api.deepseek.com",
        "/chat/completions",
        usage=TOTALS
        | {"prompt_cache_hit_tokens": CACHED, "prompt_cache_miss_tokens": PROMPT - CACHED}
        | {"completion_tokens_details": {"reasoning_tokens": REASONING}},
        insists=True,
        stream="keep_alive",
    ),
    Facts(
        "fireworks",
        "api.fireworks.ai",
        "/inference/v1/chat/completions",
        turn=OPENAI_TURN | {"reasoning_content"},
        also=EMBEDS | RESPONDS,
    ),
    Facts(
        "groq",
        "api.groq.com",
        "/openai/v1/chat/completions",
        cap_field=NEW_CAP,
        refuses=frozenset({"logit_bias", "logprobs", "top_logprobs", "top_k"}),
        turn=TURN | {"reasoning"},
        named=frozenset({"tool"}),
        stream="groq",
    ),
    Facts("huggingface", "router.huggingface.co", "/v1/chat/completions", error=text_error),
    Facts("hyperbolic", "api.hyperbolic.xyz", "/v1/chat/completions", error=detail_error),
    Facts(
        "mistral",
        "api.mistral.ai",
        "/v1/chat/completions",
        takes=MISTRAL_TAKES,
        turn=frozenset({"role", "content", "tool_calls", "prefix"}),
        named=frozenset({"tool"}),
        call_id="[a-zA-Z0-9]{9}",
        usage=TOTALS,
        means=Usage(PROMPT, COMPLETION),
        asked=False,
        stream="with_last",
        error=mistral_error,
        also=EMBEDS,
    ),
    Facts(
        "moonshot",
        "api.moonshot.ai",
        "/v1/chat/completions",
        insists=True,
        usage=TOTALS | {"cached_tokens": CACHED},
        means=Usage(PROMPT, COMPLETION, cached_tokens=CACHED),
    ),
    Facts("nebius", "api.tokenfactory.nebius.com", "/v1/chat/completions", also=EMBEDS),
    Facts("novita", "api.novita.ai", "/v3/openai/chat/completions", error=reason_error),
    Facts(
        "nvidia",
        "integrate.api.nvidia.com",
        "/v1/chat/completions",
        refuses=frozenset({"prompt_cache_key"}),
        error=detail_error,
        also=EMBEDS,
    ),
    Facts(
        "openrouter",
        "openrouter.ai",
        "/api/v1/chat/completions",
        usage=DETAILED | {"cost": 0.000_214, "cost_details": {"upstream_inference_cost": None}},
        stream="comments",
        marks=True,
        error=numbered_error,
        busy=WINDOW_BUSY,
        id_header="x-generation-id",
        also=RESPONDS,
    ),
    Facts(
        "perplexity",
        "api.perplexity.ai",
        "/chat/completions",
        refuses=frozenset({"stream_options"}),
        turn=OPENAI_TURN,
        named=frozenset(),
        usage={
            "prompt_tokens": PROMPT,
            "completion_tokens": 4,
            "total_tokens": PROMPT + 4,
            "citation_tokens": 1,
            "reasoning_tokens": 2,
            "num_search_queries": 1,
        },
        means=Usage(PROMPT, COMPLETION, reasoning_tokens=2),
        asked=False,
        stream="every",
        error=numbered_error,
    ),
    Facts("sambanova", "api.sambanova.ai", "/v1/chat/completions", also=EMBEDS),
    Facts("together", "api.together.ai", "/v1/chat/completions", busy=WINDOW_BUSY, also=EMBEDS),
    Facts("vercel", "ai-gateway.vercel.sh", "/v1/chat/completions", marks=True, also=EMBEDS),
    Facts(
        "xai",
        "api.x.ai",
        "/v1/chat/completions",
        usage={
            "prompt_tokens": PROMPT,
            "completion_tokens": COMPLETION - REASONING,
            "total_tokens": PROMPT + COMPLETION,
            "prompt_tokens_details": {"cached_tokens": CACHED},
            "completion_tokens_details": {"reasoning_tokens": REASONING},
        },
        named=frozenset({"user"}),
        error=text_error,
        also=RESPONDS,
    ),
    Facts("zai", "api.z.ai", "/api/paas/v4/chat/completions"),
)

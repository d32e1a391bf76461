"""A request of Anthropic's Messages API as chat.

Source: https://docs.anthropic.com/en/api/messages and the types of the package ``anthropic``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any, Final

from mini_llm.errors import BadRequest
from mini_llm.request import Need, billed_beside_tokens
from mini_llm.surfaces.chat_needs import effort_of
from mini_llm.surfaces.lenient import at, listed, member
from mini_llm.surfaces.messages_content import chat_messages, content_needs
from mini_llm.surfaces.wording import Wording, kind_of, mapping, objects, text, untranslatable

FIELDS: Final = Wording(
    said=frozenset(
        {"model", "messages", "max_tokens", "system", "stop_sequences", "stream", "temperature", "top_p"}
        | {"top_k", "tools", "tool_choice", "thinking", "metadata", "output_config"}
    ),
    dropped={
        "cache_control": "caching is up to the provider",
        "diagnostics": "about Anthropic's cache",
        "service_tier": "the provider's default is used",
        "speed": "the provider's default is used",
    },
    refused={
        "compaction": "Anthropic sums up the conversation",
        "container": "containers run at Anthropic",
        "context_management": "Anthropic edits the conversation (edits that only clear are dropped)",
        "inference_geo": "where the call is computed cannot be promised (global is dropped)",
        "mcp_servers": "Anthropic calls the servers",
        "user_profile_id": "profiles are kept at Anthropic",
        "workspace_id": "workspaces are kept at Anthropic",
    },
)
TOOL: Final = Wording(
    said=frozenset({"type", "name", "description", "input_schema", "strict"}),
    dropped={
        "cache_control": "caching is up to the provider",
        "eager_input_streaming": "arguments stream as the provider sends them",
        "input_examples": "hints beside the schema",
    },
    refused={
        "allowed_callers": "programs that call tools run at Anthropic",
        "defer_loading": "tool search runs at Anthropic",
    },
)
MOST_USER_LETTERS: Final = 64
_OWN_TOOLS: Final = ("custom", "bash_", "text_editor_", "computer_", "browser_", "memory_")
"""How kinds of tools begin that the client runs; all others run at Anthropic."""
_BILLED: Final = frozenset(
    {"container", "mcp_servers", "inference_geo", "speed", "billing_policy", "compaction"}
)
"""Fields of what costs more, or of tokens that are not in the totals of the usage."""
_EFFORTS: Final = {"low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "xhigh"}


def chat_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the same call as chat.

    Raises:
        BadRequest: malformed, or chat cannot say it.
    """
    FIELDS.check({name: value for name, value in fields.items() if not _is_harmless(name, value)})
    chat: dict[str, Any] = {"model": fields["model"], "messages": list(chat_messages(fields))}
    for name, there in (
        ("max_tokens", "max_tokens"),
        ("temperature", "temperature"),
        ("top_p", "top_p"),
        ("top_k", "top_k"),
        ("stop_sequences", "stop"),
        ("stream", "stream"),
    ):
        if fields.get(name) not in (None, []):
            chat[there] = fields[name]
    if tools := fields.get("tools"):
        chat["tools"] = [_tool(tool, f"tools.{i}") for i, tool in enumerate(objects(tools, "tools"))]
        if fields.get("tool_choice") is not None:
            chat.update(_tool_choice(mapping(fields["tool_choice"], "tool_choice")))
    chat.update(_thinking_and_format(fields))
    user = mapping(fields.get("metadata") or {}, "metadata").get("user_id")
    if user is not None:
        chat["user"] = _short(text(user, "metadata.user_id"))
    return chat


def needs_of(fields: Mapping[str, Any]) -> frozenset[str]:
    """What a request asks of a deployment."""
    needs = {need for message in fields["messages"] for need in content_needs(message.get("content"))}
    if tools := fields.get("tools"):
        needs.add(Need.TOOLS)
        if not isinstance(tools, list) or any(kind_of(tool, "custom") != "custom" for tool in tools):
            needs.add(Need.FILES)  # what a hosted tool adds to the prompt does not follow from the request
    kinds = [kind_of(tool, "custom") for tool in listed(tools)]
    hosted = [kind for kind in kinds if not kind.startswith(_OWN_TOOLS)]
    told = {name: value for name, value in fields.items() if not _is_harmless(name, value)}
    if billed_beside_tokens(told, hosted, _BILLED) or _summarises(fields.get("context_management")):
        needs.add(Need.HOSTED)
    if asks_thoughts(fields):
        needs.add(Need.REASONING)
    if at(fields, "output_config.format"):
        needs.add(Need.JSON_SCHEMA)
    return frozenset(needs)


def _is_harmless(name: str, value: object) -> bool:
    """A field that says what holds without it, or only clears old thoughts and results away."""
    if name == "context_management":
        edits = value.get("edits", []) if isinstance(value, dict) else None
        return isinstance(edits, list) and all(kind_of(edit).startswith("clear_") for edit in edits)
    return (name, value) in (("speed", "standard"), ("inference_geo", "global"))


def _short(user: str) -> str:
    """An id of a user, of which OpenAI takes 64 letters: Claude Code's is longer, and goes as its hash."""
    return user if len(user) <= MOST_USER_LETTERS else sha256(user.encode()).hexdigest()


def _summarises(management: object) -> bool:
    """Anthropic may sum up the conversation on the way; the totals of the usage do not have those tokens."""
    return any(kind_of(edit).startswith("compact") for edit in listed(member(management, "edits")))


def asks_thoughts(fields: Mapping[str, Any]) -> bool:
    """The client wants to see the model's thoughts."""
    return at(fields, "thinking.type") in ("enabled", "adaptive")


def _tool(tool: Mapping[str, Any], path: str) -> dict[str, Any]:
    if tool.get("type") not in (None, "custom"):
        raise untranslatable(f"{path}.type", f"the hosted tool {tool.get('type')!r}")
    told = {
        name: value
        for name, value in tool.items()
        if not (name == "defer_loading" and value is False)
        and not (name == "allowed_callers" and value == ["direct"])
    }
    TOOL.check(told, f"{path}.")
    function: dict[str, Any] = {"name": text(tool.get("name"), f"{path}.name")}
    for name, there in (("description", "description"), ("input_schema", "parameters"), ("strict", "strict")):
        if tool.get(name) is not None:
            function[there] = tool[name]
    return {"type": "function", "function": function}


def _tool_choice(choice: Mapping[str, Any]) -> dict[str, Any]:
    kind = kind_of(choice)
    plain = {"auto": "auto", "any": "required", "none": "none"}
    chosen: dict[str, Any]
    if kind == "tool":
        name = text(choice.get("name"), "tool_choice.name")
        chosen = {"tool_choice": {"type": "function", "function": {"name": name}}}
    elif kind in plain:
        chosen = {"tool_choice": plain[kind]}
    else:
        raise BadRequest("'tool_choice.type' must be auto, any, tool or none", "tool_choice.type")
    if choice.get("disable_parallel_tool_use"):
        chosen["parallel_tool_calls"] = False
    return chosen


def _thinking_and_format(fields: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    config = mapping(fields.get("output_config") or {}, "output_config")
    Wording(said=frozenset({"effort", "format"})).check(config, "output_config.")
    thinking = mapping(fields.get("thinking") or {}, "thinking")
    budget = thinking.get("budget_tokens")
    if (effort := config.get("effort")) is not None:
        if not isinstance(effort, str) or effort not in _EFFORTS:
            raise BadRequest("'output_config.effort' is unknown", "output_config.effort")
        yield "reasoning_effort", _EFFORTS[effort]
    elif thinking.get("type") == "enabled" and type(budget) is int:
        yield "reasoning_effort", effort_of(budget)
    if (shape := config.get("format")) is not None:
        shape = mapping(shape, "output_config.format")
        if shape.get("type") != "json_schema":
            raise untranslatable("output_config.format.type", f"the format {shape.get('type')!r}")
        schema = {"name": "answer", "schema": shape.get("schema"), "strict": True}
        yield "response_format", {"type": "json_schema", "json_schema": schema}

"""A request of OpenAI's Responses API as chat.

Source: https://platform.openai.com/docs/api-reference/responses and the types of the package ``openai``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from mini_llm.errors import BadRequest
from mini_llm.request import Need, billed_beside_tokens
from mini_llm.surfaces.lenient import at, fields_of, listed
from mini_llm.surfaces.responses_items import chat_messages, input_items, item_needs
from mini_llm.surfaces.wording import Wording, json_text, kind_of, mapping, objects, text, untranslatable

CODEX: Final = ("access_programs", "client_metadata")
"""What Codex tells OpenAI about itself; other companies refuse what they do not know."""
FIELDS: Final = Wording(
    said=frozenset(
        {"model", "input", "instructions", "max_output_tokens", "stream", "temperature", "top_p", "tools"}
        | {"tool_choice", "parallel_tool_calls", "text", "reasoning", "include", "top_logprobs", "user"}
        | {"metadata"}
    ),
    dropped={
        **dict.fromkeys(CODEX, "about the client, for OpenAI"),
        "prompt_cache_key": "caching is up to the provider",
        "prompt_cache_options": "caching is up to the provider",
        "prompt_cache_retention": "caching is up to the provider",
        "safety_identifier": "the provider knows the operator, not its users",
        "service_tier": "the provider's default is used",
        "stream_options": "no padding is added to the events",
        "truncation": "a prompt that does not fit is refused, as with 'disabled'",
    },
    refused={
        "background": "answers are not kept to be fetched later",
        "context_management": "the provider edits the conversation",
        "conversation": "conversations are kept at the provider",
        "max_tool_calls": "it limits hosted tools",
        "moderation": "it runs at the provider",
        "previous_response_id": "earlier responses are kept at the provider: send the whole conversation",
        "prompt": "prompt templates are kept at the provider",
        "store": "answers are not kept to be fetched later: leave it out or say false",
    },
)
REASONING: Final = Wording(
    said=frozenset({"effort"}),
    dropped={
        "context": "thoughts go back as the conversation has them",
        "generate_summary": "thoughts are told as the provider gives them",
        "summary": "thoughts are told as the provider gives them",
    },
    refused={"mode": "other ways to reason are hosted"},
)
_DECLARED: Final = ("function", "custom", "namespace")
"""Kinds of tools that the request says all of; a namespace is a group of the others."""
_RUN_BY_CLIENT: Final = ("local_shell", "apply_patch", "computer", "computer_use_preview")
"""Kinds that OpenAI describes to the model and the client runs."""
_SAME: Final = ("model", "temperature", "top_p", "stream", "user")
_INCLUDED: Final = "message.output_text.logprobs"
_HARMLESS_INCLUDES: Final = frozenset({_INCLUDED, "reasoning.encrypted_content"})


def chat_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the same call as chat.

    Raises:
        BadRequest: malformed, or chat cannot say it.
    """
    told = {
        name: value
        for name, value in fields.items()
        if not (name in ("background", "store") and value is False)
    }
    FIELDS.check(told)
    chat: dict[str, Any] = {name: fields[name] for name in _SAME if fields.get(name) is not None}
    chat["messages"] = list(chat_messages(fields))
    if fields.get("max_output_tokens") is not None:
        chat["max_completion_tokens"] = fields["max_output_tokens"]
    if tools := fields.get("tools"):  # without which chat takes neither of the other two
        chat["tools"] = [_tool(tool, f"tools.{i}") for i, tool in enumerate(objects(tools, "tools"))]
        if fields.get("parallel_tool_calls") is not None:
            chat["parallel_tool_calls"] = fields["parallel_tool_calls"]
        if fields.get("tool_choice") is not None:
            chat["tool_choice"] = _tool_choice(fields["tool_choice"])
    chat.update(_text_and_reasoning(fields))
    chat.update(_logprobs(fields))
    return chat


def needs_of(fields: Mapping[str, Any]) -> frozenset[str]:
    """What a request asks of a deployment."""
    needs = set(item_needs(input_items(fields))) if fields.get("input") is not None else set()
    if fields.get("tools"):
        needs.add(Need.TOOLS)
    special = [tool for tool in listed(fields.get("tools")) if kind_of(tool) not in _DECLARED]
    hosted = [tool for tool in special if not _runs_at_client(tool)]
    if billed_beside_tokens(fields, hosted, frozenset({"background"})):
        needs.add(Need.HOSTED)
    if special or any(fields.get(name) for name in ("previous_response_id", "conversation", "prompt")):
        needs.add(Need.FILES)  # what they add to the prompt does not follow from the request's size
    if at(fields, "reasoning.effort"):
        needs.add(Need.REASONING)
    if at(fields, "text.format.type") == "json_schema":
        needs.add(Need.JSON_SCHEMA)
    if _wants_logprobs(fields):
        needs.add(Need.LOGPROBS)
    return frozenset(needs)


def _runs_at_client(tool: object) -> bool:
    """A tool of OpenAI's that costs no more than its tokens."""
    told = fields_of(tool)
    where = told.get("execution") == "client" or kind_of(told.get("environment")) == "local"
    return kind_of(tool) in _RUN_BY_CLIENT or (kind_of(tool) in ("tool_search", "shell") and where)


def _tool(tool: Mapping[str, Any], path: str) -> dict[str, Any]:
    if tool.get("type") != "function":
        raise untranslatable(f"{path}.type", f"the tool {tool.get('type')!r}")
    if tool.get("defer_loading"):
        raise untranslatable(f"{path}.defer_loading", "loading a tool later")
    function = {"name": text(tool.get("name"), f"{path}.name")}
    for name in ("description", "parameters", "strict"):
        if tool.get(name) is not None:
            function[name] = tool[name]
    return {"type": "function", "function": function}


def _tool_choice(choice: object) -> object:
    if choice in ("auto", "none", "required"):
        return choice
    chosen = mapping(choice, "tool_choice")
    if chosen.get("type") == "function":
        return {"type": "function", "function": {"name": text(chosen.get("name"), "tool_choice.name")}}
    raise untranslatable("tool_choice", f"the tool choice {json_text(chosen.get('type'))}")


def _text_and_reasoning(fields: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    config = mapping(fields.get("text") or {}, "text")
    Wording(said=frozenset({"format", "verbosity"})).check(config, "text.")
    if config.get("verbosity") is not None:
        yield "verbosity", config["verbosity"]
    shape = mapping(config.get("format") or {"type": "text"}, "text.format")
    if shape.get("type") == "json_schema":
        schema = {name: value for name, value in shape.items() if name != "type" and value is not None}
        yield "response_format", {"type": "json_schema", "json_schema": schema}
    elif shape.get("type") == "json_object":
        yield "response_format", {"type": "json_object"}
    elif shape.get("type") != "text":
        raise untranslatable("text.format", f"the format {shape.get('type')!r}")
    reasoning = mapping(fields.get("reasoning") or {}, "reasoning")
    REASONING.check(reasoning, "reasoning.")
    if reasoning.get("effort") is not None:
        yield "reasoning_effort", text(reasoning["effort"], "reasoning.effort")


def _logprobs(fields: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    include = fields.get("include") or []
    if not isinstance(include, list):
        raise BadRequest("'include' must be a list", "include")
    for name in include:
        if not isinstance(name, str) or name not in _HARMLESS_INCLUDES:
            raise untranslatable("include", f"including {name!r}")
    if _wants_logprobs(fields):
        yield "logprobs", True
        if fields.get("top_logprobs") is not None:
            yield "top_logprobs", fields["top_logprobs"]


def _wants_logprobs(fields: Mapping[str, Any]) -> bool:
    return bool(fields.get("top_logprobs")) or _INCLUDED in listed(fields.get("include"))

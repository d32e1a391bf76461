"""A chat request as a Messages request.

What chat can say and Messages cannot is left out if it is a wish (``seed``, ``logit_bias``, penalties, JSON
without a schema, which the prompt asks for anyway) and refused if the answer would be another one.

Sources: https://platform.claude.com/docs/en/api/messages;
https://platform.claude.com/docs/en/build-with-claude/{extended-thinking,structured-outputs}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mini_llm.errors import BadRequest
from mini_llm.providers.chat_shapes import (
    SYSTEM_ROLES,
    Blob,
    arguments_of,
    blob,
    calls_in,
    content_parts,
    function_of,
    json_schema_of,
    plain_text,
    refuse_older_functions,
    stop_texts,
)
from mini_llm.providers.schemas import for_claude
from mini_llm.request import Request
from mini_llm.surfaces.lenient import listed
from mini_llm.surfaces.messages_sent import known_id
from mini_llm.surfaces.wording import kind_of

DEFAULT_MAX_TOKENS: Final = 4096
"""Sent where nobody names a limit: the format requires one."""
MIN_BUDGET_TOKENS: Final = 1024
_BUDGETS: Final = {
    "minimal": 1024,
    "low": 2048,
    "medium": 8192,
    "high": 16_384,
    "xhigh": 32_768,
    "max": 32_768,
}
_EFFORTS: Final = {"none": "low", "minimal": "low", "low": "low", "medium": "medium", "high": "high"}
_PLAIN_MODELS: Final = (
    *("claude-2", "claude-instant", "claude-3-haiku", "claude-3-sonnet", "claude-3-opus", "claude-3-5"),
)
"""Models that do not think."""
_BUDGET_MODELS: Final = (
    *("claude-3-7", "claude-opus-4-0", "claude-opus-4-1", "claude-opus-4-2", "claude-opus-4-5"),
    *("claude-sonnet-4-0", "claude-sonnet-4-2", "claude-sonnet-4-5", "claude-haiku-4"),
)
"""Models that think by a budget (``-4-2`` is the date in claude-opus-4-20250514); later ones by an effort."""
_SAMPLED_MODELS: Final = (*_PLAIN_MODELS, *_BUDGET_MODELS, "claude-opus-4-6", "claude-sonnet-4-6")
"""Models that take sampling parameters; later ones of Anthropic's refuse them."""
_FREELY_SAMPLED_MODELS: Final = (
    *(*_PLAIN_MODELS, "claude-3-7", "claude-opus-4-0", "claude-opus-4-2"),
    *("claude-sonnet-4-0", "claude-sonnet-4-2"),
)
"""Models that take ``temperature`` and ``top_p`` together; later ones of Anthropic's refuse both at once."""
_OWN_MODELS: Final = "claude"
_SAMPLING: Final = ("temperature", "top_p", "top_k")
_CHOICES: Final = {"auto": "auto", "none": "none", "required": "any"}
_THOUGHTS: Final = ("thinking", "redacted_thinking")
_FORCED: Final = ("any", "tool")
"""Choices with which thinking is refused."""


def messages_request(request: Request, model: str, output_cap: int | None) -> dict[str, Any]:
    """The fields of a Messages request that says what a chat request says.

    Raises:
        BadRequest: Messages cannot say it.
    """
    fields = request.fields
    if request.choices > 1:
        raise BadRequest("this provider gives one answer to a request", "n")
    refuse_older_functions(fields)
    body: dict[str, Any] = {"model": model, "max_tokens": output_cap or DEFAULT_MAX_TOKENS}
    system, body["messages"] = _conversation(fields["messages"])
    if system:
        body["system"] = system
    if request.stream:
        body["stream"] = True
    if stop := [text for text in stop_texts(fields) if text.strip()]:  # blank ones are refused
        body["stop_sequences"] = stop
    if isinstance(fields.get("user"), str):
        body["metadata"] = {"user_id": fields["user"]}
    if tools := _tools(fields.get("tools")):
        body["tools"] = tools
        body |= _tool_choice(fields)
    config: dict[str, Any] = {}
    if (schema := json_schema_of(fields)) is not None:
        # Not a forced tool: that excludes thinking, and the client's own tools.
        config["format"] = {"type": "json_schema", "schema": for_claude(schema)}
    config |= _think(body, fields.get("reasoning_effort"), model)
    if config:
        body["output_config"] = config
    if "thinking" not in body:
        body |= _sampling(fields, model)
    return body


def _conversation(messages: list[Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """System texts and turns; results of tools are the user's, and turns of one role in a row become one.

    Where nobody but the system says anything, that is what the user says.

    Raises:
        BadRequest: there is nothing to say, or it cannot be translated.
    """
    system: list[dict[str, Any]] = []
    turns: list[dict[str, Any]] = []
    for position, message in enumerate(messages):
        where, role = f"messages.{position}", message["role"]
        if role in SYSTEM_ROLES:
            system += [_text(value) for _, value in content_parts(message, where)]
            continue
        if role == "tool":
            role, blocks = "user", [_tool_result(message, where)]
        elif role == "assistant":
            blocks = _assistant(message, where)
        elif role == "user":
            blocks = [_block(kind, value, where) for kind, value in content_parts(message, where)]
        else:
            raise BadRequest(f"role {role!r} cannot be translated for this provider", f"{where}.role")
        if not (blocks := _filled(blocks)):
            continue
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": role, "content": blocks})
    system = _filled(system)
    if turns and turns[-1]["role"] == "assistant" and turns[-1]["content"][-1]["type"] == "text":
        begun = turns[-1]["content"][-1]  # to be continued, and refused if it ends in space
        begun["text"] = begun["text"].rstrip()
    if not turns and system:
        system, turns = [], [{"role": "user", "content": system}]
    if not turns:
        raise BadRequest("this provider needs a message that is not empty", "messages")
    return system, turns


def _filled(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Blocks without texts that are blank, which are refused."""
    return [block for block in blocks if block["type"] != "text" or block["text"].strip()]


def _text(value: Mapping[str, Any]) -> dict[str, Any]:
    block = {"type": "text", "text": str(value.get("text") or value.get("refusal") or "")}
    return block | ({"cache_control": value["cache_control"]} if value.get("cache_control") else {})


def _block(kind: str, value: Mapping[str, Any], where: str) -> dict[str, Any]:
    if kind == "text":
        return _text(value)
    if kind == "image_url":
        return {"type": "image", "source": _source(blob(value.get("url"), where))}
    if kind == "file":
        return _document(value, where)
    raise BadRequest(f"content of type {kind!r} cannot be translated for this provider", where)


def _source(found: Blob) -> dict[str, Any]:
    if found.url is not None:
        return {"type": "url", "url": found.url}
    return {"type": "base64", "media_type": found.media_type, "data": found.data}


def _document(value: Mapping[str, Any], where: str) -> dict[str, Any]:
    found = blob(value.get("file_data"), where, fallback="application/pdf")
    source = _source(found)
    if found.media_type.startswith("text/") and found.data is not None:
        source = {"type": "text", "media_type": "text/plain", "data": found.text(where)}
    document = {"type": "document", "source": source}
    name = value.get("filename")
    return document | ({"title": name} if isinstance(name, str) else {})


def _assistant(message: Mapping[str, Any], where: str) -> list[dict[str, Any]]:
    """An earlier answer: signed thoughts first, since they must stand before the calls that came of them."""
    blocks = [_unnumbered(block) for block in listed(message.get("thinking_blocks")) if _is_own(block)]
    if text := plain_text(message, where):
        blocks.append({"type": "text", "text": text})
    for call, function, param in calls_in(message, where):
        arguments = arguments_of(function, param)
        call_id = known_id(call.get("id"))
        blocks.append({"type": "tool_use", "id": call_id, "name": function["name"], "input": arguments})
    return blocks


def _is_own(thought: Any) -> bool:
    """A thought of Anthropic's, which has its signature or is hidden; others are refused."""
    return kind_of(thought) in _THOUGHTS and bool(thought.get("signature") or thought.get("data"))


def _unnumbered(thought: Mapping[str, Any]) -> dict[str, Any]:
    """A thought without its place in a stream."""
    return {name: value for name, value in thought.items() if name != "index"}


def _tool_result(message: Mapping[str, Any], where: str) -> dict[str, Any]:
    result = {"type": "tool_result", "tool_use_id": known_id(message.get("tool_call_id"))}
    blocks = _filled([_block(kind, value, where) for kind, value in content_parts(message, where)])
    return result | ({"content": blocks} if blocks else {})


def _tools(declared: object) -> list[dict[str, Any]]:
    tools = []
    for position, tool in enumerate(listed(declared)):
        function = function_of(tool, f"tools.{position}")
        schema = function.get("parameters") or {"type": "object", "properties": {}}
        entry: dict[str, Any] = {"name": function["name"], "input_schema": schema}
        if function.get("description"):
            entry["description"] = function["description"]
        if function.get("strict"):
            entry |= {"strict": True, "input_schema": for_claude(schema)}
        if tool.get("cache_control"):
            entry["cache_control"] = tool["cache_control"]
        tools.append(entry)
    return tools


def _tool_choice(fields: Mapping[str, Any]) -> dict[str, Any]:
    asked = fields.get("tool_choice")
    choice: dict[str, Any] | None = None
    if isinstance(asked, dict):
        choice = {"type": "tool", "name": function_of(asked, "tool_choice")["name"]}
    elif isinstance(asked, str) and asked in _CHOICES:
        choice = {"type": _CHOICES[asked]}
    elif asked is not None:
        raise BadRequest("'tool_choice' is not one that this provider knows", "tool_choice")
    if fields.get("parallel_tool_calls") is False and (choice or {}).get("type") != "none":
        choice = (choice or {"type": "auto"}) | {"disable_parallel_tool_use": True}
    return {} if choice is None else {"tool_choice": choice}


def _think(body: dict[str, Any], effort: object, model: str) -> dict[str, Any]:
    """Adds ``thinking`` to a body and returns what goes into ``output_config``."""
    if not isinstance(effort, str) or model.startswith(_PLAIN_MODELS):
        return {}
    forced = body.get("tool_choice", {}).get("type") in _FORCED
    if not model.startswith(_BUDGET_MODELS):
        if effort != "none" and not forced:
            body["thinking"] = {"type": "adaptive", "display": "summarized"}
        return {"effort": _EFFORTS.get(effort, "high")}
    budget = min(_BUDGETS.get(effort, 0), body["max_tokens"] - 1)  # thoughts count towards the limit
    if budget >= MIN_BUDGET_TOKENS and not forced and not _unsigned_call(body["messages"]):
        body["thinking"] = {"type": "enabled", "budget_tokens": budget}
    return {}


def _unsigned_call(turns: list[dict[str, Any]]) -> bool:
    """A call of a tool is being answered whose thoughts the client did not keep: then thinking is refused."""
    answers = [turn for turn in turns if turn["role"] == "assistant"]
    kinds = [block["type"] for block in answers[-1]["content"]] if answers else []
    return "tool_use" in kinds and kinds[0] not in _THOUGHTS


def _sampling(fields: Mapping[str, Any], model: str) -> dict[str, Any]:
    """Sampling as asked, where the model takes it; chat's temperature goes to 2 and this format's to 1."""
    others = not model.startswith(_OWN_MODELS)  # of a company that has Anthropic's format too
    if not (others or model.startswith(_SAMPLED_MODELS)):
        return {}
    sampling = {name: fields[name] for name in _SAMPLING if fields.get(name) is not None}
    if isinstance(sampling.get("temperature"), int | float):
        sampling["temperature"] = min(sampling["temperature"], 1)
        if not (others or model.startswith(_FREELY_SAMPLED_MODELS)):
            sampling.pop("top_p", None)
    return sampling

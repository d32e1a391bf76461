"""A chat request as a ``generateContent`` request of the Gemini API.

What chat can say and Gemini cannot is left out if it is a wish (``logit_bias``, ``user``, parallel calls) and
refused if the answer would be another one.

Sources: https://ai.google.dev/api/generate-content; https://ai.google.dev/gemini-api/docs/{thinking,
function-calling,structured-output,thought-signatures}
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic_core import from_json

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
from mini_llm.providers.schemas import for_gemini
from mini_llm.request import Request
from mini_llm.surfaces.lenient import at, listed, member

NO_SIGNATURE: Final = base64.b64encode(b"skip_thought_signature_validator").decode()
"""What Google documents for a call of a tool whose signature the client did not keep."""
SIGNATURE: Final = "extra_content.google.thought_signature"
"""Where a tool call of chat carries its signature, as in Google's own OpenAI-compatible API."""
_BUDGETS: Final = {"none": 0, "minimal": 512, "low": 1024, "medium": 8192, "high": 24_576, "xhigh": 24_576}
_LEVELS: Final = {"none": "LOW", "minimal": "LOW", "low": "LOW", "medium": "MEDIUM"}
_PRO: Final = "gemini-2.5-pro"
_LEAST_OF_PRO: Final = 128
"""It cannot be told not to think."""
_BUDGET_MODELS: Final = ("gemini-1", "gemini-2")
"""Models that think by a budget; later ones by a level."""
_PLAIN: Final = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "seed": "seed",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
}
_CHOICES: Final = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
_AUDIO: Final = {"wav": "audio/wav", "mp3": "audio/mp3"}


def generate_request(request: Request, model: str, output_cap: int | None) -> dict[str, Any]:
    """The fields of a ``generateContent`` request that says what a chat request says.

    Raises:
        BadRequest: Gemini cannot say it.
    """
    fields = request.fields
    if fields.get("audio"):
        raise BadRequest("spoken answers cannot be translated for this provider", "audio")
    if fields.get("logprobs"):
        raise BadRequest("log probabilities cannot be translated for this provider", "logprobs")
    refuse_older_functions(fields)
    system, contents = _conversation(fields["messages"])
    body: dict[str, Any] = {"contents": contents}
    if system:
        body["systemInstruction"] = {"parts": system}
    if declarations := _declarations(fields.get("tools")):
        body["tools"] = [{"functionDeclarations": declarations}]
        if fields.get("tool_choice") is not None:
            body["toolConfig"] = {"functionCallingConfig": _calling(fields["tool_choice"])}
    if config := _generation(request, model, output_cap):
        body["generationConfig"] = config
    return body


def _generation(request: Request, model: str, output_cap: int | None) -> dict[str, Any]:
    fields = request.fields
    config = {theirs: fields[ours] for ours, theirs in _PLAIN.items() if fields.get(ours) is not None}
    if output_cap is not None:
        config["maxOutputTokens"] = output_cap
    if request.choices > 1:
        config["candidateCount"] = request.choices
    if stop := stop_texts(fields):
        config["stopSequences"] = stop
    shape = fields.get("response_format")
    if isinstance(shape, dict) and shape.get("type") in ("json_object", "json_schema"):
        config["responseMimeType"] = "application/json"
    if (schema := json_schema_of(fields)) is not None:
        config["responseJsonSchema"] = for_gemini(schema)
    effort = fields.get("reasoning_effort")
    if isinstance(effort, str):
        thoughts: dict[str, Any] = {"includeThoughts": effort != "none"}
        if model.startswith(_BUDGET_MODELS):
            least = _LEAST_OF_PRO if model.startswith(_PRO) else 0
            thoughts["thinkingBudget"] = max(least, _BUDGETS.get(effort, _BUDGETS["high"]))
        else:
            thoughts["thinkingLevel"] = _LEVELS.get(effort, "HIGH")
        config["thinkingConfig"] = thoughts
    return config


def _conversation(messages: list[Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """System texts and turns; results of tools are the user's, and turns of one role in a row become one.

    Where nobody but the system says anything, that is what the user says.

    Raises:
        BadRequest: there is nothing to say, or it cannot be translated.
    """
    system: list[dict[str, Any]] = []
    turns: list[dict[str, Any]] = []
    called: dict[str, str] = {}  # name of the function by the id of its call
    for position, message in _results_as_called(messages):
        where, role = f"messages.{position}", message["role"]
        if role in SYSTEM_ROLES:
            if text := plain_text(message, where):
                system.append({"text": text})
            continue
        if role == "tool":
            role, parts = "user", [_result(message, called, where)]
        elif role == "assistant":
            role, parts = "model", _answer(message, called, where)
        elif role == "user":
            said = content_parts(message, where)
            parts = [_part(kind, value, where) for kind, value in said if kind != "text" or value["text"]]
        else:
            raise BadRequest(f"role {role!r} cannot be translated for this provider", f"{where}.role")
        if turns and turns[-1]["role"] == role:
            turns[-1]["parts"] += parts
        elif parts:
            turns.append({"role": role, "parts": parts})
    if not turns and system:
        system, turns = [], [{"role": "user", "parts": system}]
    if not turns:
        raise BadRequest("this provider needs a message that is not empty", "messages")
    return system, turns


def _results_as_called(messages: list[Any]) -> Iterator[tuple[int, Any]]:
    """Messages and their positions, the results of tools in the order of their calls: older models of Gemini
    know results of one function by their order."""
    rank: dict[str, tuple[int, int]] = {}
    results: list[tuple[tuple[int, int], int, Any]] = []
    for position, message in enumerate(messages):
        if message["role"] == "tool":
            results.append((rank.get(_id(message.get("tool_call_id")), (0, 0)), position, message))
            continue
        yield from _sorted(results)
        results.clear()
        for index, call in enumerate(listed(message.get("tool_calls"))):
            rank[_id(member(call, "id"))] = position, index
        yield position, message
    yield from _sorted(results)


def _sorted(results: list[tuple[tuple[int, int], int, Any]]) -> Iterator[tuple[int, Any]]:
    yield from ((position, message) for _, position, message in sorted(results, key=lambda one: one[:2]))


def _id(given: object) -> str:
    return given if isinstance(given, str) else ""


def _part(kind: str, value: Mapping[str, Any], where: str) -> dict[str, Any]:
    if kind in ("text", "refusal"):
        return {"text": value[kind]}
    if kind == "image_url":
        return _media(blob(value.get("url"), where))
    if kind == "file":
        return _media(blob(value.get("file_data"), where, fallback="application/pdf"))
    if kind == "input_audio":
        media_type = _AUDIO.get(str(value.get("format")))
        if media_type is None or not isinstance(value.get("data"), str):
            raise BadRequest("'input_audio' must be base64 of format wav or mp3", where)
        return _media(Blob(media_type, value["data"], None))
    raise BadRequest(f"content of type {kind!r} cannot be translated for this provider", where)


def _media(found: Blob) -> dict[str, Any]:
    if found.url is not None:
        return {"fileData": {"mimeType": found.media_type, "fileUri": found.url}}
    return {"inlineData": {"mimeType": found.media_type, "data": found.data}}


def _answer(message: Mapping[str, Any], called: dict[str, str], where: str) -> list[dict[str, Any]]:
    """An earlier answer; the first of its calls must carry a signature."""
    text = plain_text(message, where)
    parts: list[dict[str, Any]] = [{"text": text}] if text else []
    for position, (call, function, param) in enumerate(calls_in(message, where)):
        call_id = _id(call.get("id"))
        called[call_id] = function["name"]
        said = {"name": function["name"], "args": arguments_of(function, param)}
        part: dict[str, Any] = {"functionCall": {"id": call_id, **said} if call_id else said}
        signature = at(call, SIGNATURE)
        if isinstance(signature, str) or position == 0:
            part["thoughtSignature"] = signature if isinstance(signature, str) else NO_SIGNATURE
        parts.append(part)
    return parts


def _result(message: Mapping[str, Any], called: Mapping[str, str], where: str) -> dict[str, Any]:
    """What a tool said; Gemini knows it by the function's name, and by the id where it told one, and wants an
    object."""
    call_id = _id(message.get("tool_call_id"))
    name = called.get(call_id)
    if name is None:
        raise BadRequest("answers no earlier tool call", f"{where}.tool_call_id")
    text = plain_text(message, where)
    try:
        said = from_json(text)
    except ValueError:
        said = text
    answer = {"name": name, "response": said if isinstance(said, dict) else {"result": said}}
    return {"functionResponse": {"id": call_id, **answer} if call_id else answer}


def _declarations(declared: object) -> list[dict[str, Any]]:
    """Functions with their JSON schema; the older ``parameters`` takes a narrower language."""
    declarations = []
    for position, tool in enumerate(listed(declared)):
        function = function_of(tool, f"tools.{position}")
        entry: dict[str, Any] = {"name": function["name"]}
        if function.get("description"):
            entry["description"] = function["description"]
        if function.get("parameters"):
            entry["parametersJsonSchema"] = for_gemini(function["parameters"])
        declarations.append(entry)
    return declarations


def _calling(asked: object) -> dict[str, Any]:
    if isinstance(asked, dict):
        return {"mode": "ANY", "allowedFunctionNames": [function_of(asked, "tool_choice")["name"]]}
    if isinstance(asked, str) and asked in _CHOICES:
        return {"mode": _CHOICES[asked]}
    raise BadRequest("'tool_choice' is not one that this provider knows", "tool_choice")

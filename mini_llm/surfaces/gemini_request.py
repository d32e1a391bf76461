"""A request of Google's Gemini API as chat. Field names come in camel case or in snake case, as at Google.

Source: https://ai.google.dev/api/generate-content and the types of the package ``google-genai``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from mini_llm.errors import BadRequest
from mini_llm.request import Need, billed_beside_tokens
from mini_llm.surfaces.chat_needs import effort_of
from mini_llm.surfaces.gemini_contents import chat_messages, content_list, schema
from mini_llm.surfaces.lenient import objects_in
from mini_llm.surfaces.wording import Wording, camel, mapping, objects, text, untranslatable

FIELDS: Final = Wording(
    said=frozenset({"model", "contents", "systemInstruction", "tools", "toolConfig", "generationConfig"}),
    dropped={
        "labels": "for Google's billing",
        "safetySettings": "other providers have filters of their own",
        "serviceTier": "the provider's default is used",
    },
    refused={
        "cachedContent": "the cache is kept at Google",
        "store": "answers are not kept at the provider",
        "modelArmorConfig": "it runs at Google",
    },
)
CONFIG: Final = Wording(
    said=frozenset(
        {"temperature", "topP", "topK", "candidateCount", "maxOutputTokens", "stopSequences", "seed"}
        | {"presencePenalty", "frequencyPenalty", "responseLogprobs", "logprobs", "responseMimeType"}
        | {"responseSchema", "responseJsonSchema", "responseModalities", "thinkingConfig"}
    ),
    dropped={
        "enableEnhancedCivicAnswers": "a filter of Google's",
        "mediaResolution": "the provider's default is used",
    },
    refused={
        "audioTimestamp": "chat has no word for it",
        "imageConfig": "chat answers with text",
        "routingConfig": "Google chooses the model",
        "speechConfig": "chat has other voices",
    },
)
FUNCTION: Final = Wording(
    said=frozenset({"name", "description", "parameters", "parametersJsonSchema"}),
    dropped={
        "response": "a hint about the result",
        "responseJsonSchema": "a hint about the result",
    },
    refused={"behavior": "calls that do not block exist in live sessions only"},
)
_SAME: Final = {
    "temperature": "temperature",
    "topP": "top_p",
    "topK": "top_k",
    "candidateCount": "n",
    "maxOutputTokens": "max_tokens",
    "stopSequences": "stop",
    "seed": "seed",
    "presencePenalty": "presence_penalty",
    "frequencyPenalty": "frequency_penalty",
    "responseLogprobs": "logprobs",
    "logprobs": "top_logprobs",
}
_CALLING: Final = {"AUTO": "auto", "VALIDATED": "auto", "ANY": "required", "NONE": "none"}


def chat_fields(fields: Mapping[str, Any], model: str, stream: bool) -> dict[str, Any]:
    """The fields of the same call as chat.

    Raises:
        BadRequest: malformed, or chat cannot say it.
    """
    fields = {name: value for name, value in fields.items() if not (name == "store" and value is False)}
    FIELDS.check(fields)
    chat: dict[str, Any] = {"model": model, "messages": list(chat_messages(fields))}
    if stream:
        chat["stream"] = True
    config = generation_config(fields)
    CONFIG.check(config, "generationConfig.")
    chat.update((there, config[name]) for name, there in _SAME.items() if config.get(name) not in (None, []))
    if config.get("responseModalities") not in (None, [], ["TEXT"]):
        raise untranslatable("generationConfig.responseModalities", "an answer that is not text")
    chat.update(_response_format(config))
    chat.update(_effort(config))
    if functions := list(_functions(fields)):
        chat["tools"] = functions
        chat.update(_calling(fields, functions))
    return chat


def generation_config(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The generation config in camel case.

    Raises:
        BadRequest: it is no object.
    """
    return camel(mapping(fields.get("generationConfig") or {}, "generationConfig"))


def needs_of(fields: Mapping[str, Any], config: Mapping[str, Any]) -> frozenset[str]:
    """What a request asks of a deployment."""
    needs: set[str] = set()
    for content in content_list(fields.get("contents")):
        for part in content.get("parts") or ():
            needs.update(_part_needs(camel(part) if isinstance(part, dict) else {"unknown": part}))
    if fields.get("tools"):
        needs.add(Need.TOOLS)
    asked = (item for tool in objects_in(fields.get("tools")) for item in camel(tool).items())
    hosted = [name for name, value in asked if name != "functionDeclarations" and value is not None]
    if billed_beside_tokens(fields, hosted):
        needs.add(Need.HOSTED)
    if fields.get("cachedContent"):
        needs.add(Need.FILES)
    thinking = config.get("thinkingConfig")
    if thinking and not (isinstance(thinking, dict) and camel(thinking).get("thinkingBudget") == 0):
        needs.add(Need.REASONING)
    if config.get("responseSchema") or config.get("responseJsonSchema"):
        needs.add(Need.JSON_SCHEMA)
    if config.get("responseLogprobs"):
        needs.add(Need.LOGPROBS)
    if (config.get("candidateCount") or 1) != 1:
        needs.add(Need.MANY)
    return frozenset(needs)


def thoughts_wanted(config: Mapping[str, Any]) -> bool:
    """The client wants to see the model's thoughts."""
    thinking = config.get("thinkingConfig")
    return isinstance(thinking, dict) and bool(camel(thinking).get("includeThoughts"))


def _part_needs(part: Mapping[str, Any]) -> Iterator[str]:
    """A part that nobody here knows may hold anything, so it counts as a file."""
    blob = part.get("inlineData") or part.get("fileData")
    if isinstance(blob, dict):
        kind = str(camel(blob).get("mimeType"))
        known = {"image": Need.IMAGES, "audio": Need.AUDIO}
        yield known.get(kind.partition("/")[0], Need.FILES)
    elif not any(name in part for name in ("text", "functionCall", "functionResponse")):
        yield Need.FILES


def _response_format(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    mime_type = config.get("responseMimeType") or "text/plain"
    if mime_type not in ("text/plain", "application/json"):
        raise untranslatable("generationConfig.responseMimeType", f"an answer of type {mime_type!r}")
    wanted = config.get("responseJsonSchema")
    if wanted is None and config.get("responseSchema") is not None:
        wanted = schema(config["responseSchema"], "generationConfig.responseSchema")
    if wanted is not None:
        yield "response_format", {"type": "json_schema", "json_schema": {"name": "answer", "schema": wanted}}
    elif mime_type == "application/json":
        yield "response_format", {"type": "json_object"}


def _effort(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """How hard to think: by name, or by a budget of tokens. None (0) and the model's own choice (-1) are not
    said: models that cannot think refuse to be told, and most others think only if they are."""
    where = "generationConfig.thinkingConfig"
    thinking = camel(mapping(config.get("thinkingConfig") or {}, where))
    said = frozenset({"includeThoughts", "thinkingBudget", "thinkingLevel"})
    Wording(said=said).check(thinking, f"{where}.")
    level, budget = thinking.get("thinkingLevel"), thinking.get("thinkingBudget")
    if level is not None and level != "THINKING_LEVEL_UNSPECIFIED":
        yield "reasoning_effort", text(level, f"{where}.thinkingLevel").lower()
    elif type(budget) is int and budget > 0:
        yield "reasoning_effort", effort_of(budget)


def _functions(fields: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for position, tool in enumerate(objects(fields.get("tools") or [], "tools")):
        named = camel(tool)
        for name, value in named.items():
            if name != "functionDeclarations" and value is not None:
                raise untranslatable(f"tools.{position}.{name}", f"the hosted tool {name!r}")
        path = f"tools.{position}.functionDeclarations"
        for declaration in objects(named.get("functionDeclarations") or [], path):
            told = camel(declaration)
            FUNCTION.check(told, f"{path}.")
            function: dict[str, Any] = {"name": text(told.get("name"), f"{path}.name")}
            if told.get("description") is not None:
                function["description"] = told["description"]
            if told.get("parametersJsonSchema") is not None:
                function["parameters"] = told["parametersJsonSchema"]
            elif told.get("parameters") is not None:
                function["parameters"] = schema(told["parameters"], f"{path}.parameters")
            yield {"type": "function", "function": function}


def _calling(fields: Mapping[str, Any], functions: list[dict[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Which functions may or must be called; only those that may be are offered."""
    where = "toolConfig.functionCallingConfig"
    tool_config = camel(mapping(fields.get("toolConfig") or {}, "toolConfig"))
    Wording(said=frozenset({"functionCallingConfig"})).check(tool_config, "toolConfig.")
    calling = camel(mapping(tool_config.get("functionCallingConfig") or {}, where))
    said = frozenset({"mode", "allowedFunctionNames", "streamFunctionCallArguments"})
    Wording(said=said).check(calling, f"{where}.")
    mode = calling.get("mode")
    if mode is not None:
        if not isinstance(mode, str) or mode.upper() not in _CALLING:
            raise BadRequest(f"'{where}.mode' must be one of {', '.join(_CALLING)}", f"{where}.mode")
        yield "tool_choice", _CALLING[mode.upper()]
    allowed = calling.get("allowedFunctionNames")
    if allowed:
        if not isinstance(allowed, list):
            raise BadRequest(f"'{where}.allowedFunctionNames' must be a list", where)
        offered = [one for one in functions if one["function"]["name"] in allowed]
        if not offered:
            raise BadRequest(f"'{where}.allowedFunctionNames' names no function that is declared", where)
        yield "tools", offered

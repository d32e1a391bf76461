"""What the servers of this machine tell about their models.

All list them under OpenAI's ``/v1/models``; context and abilities are told differently by each:

- vLLM: ``max_model_len`` in the list. https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html
- llama.cpp: ``meta`` in the list and ``/props``. https://github.com/ggml-org/llama.cpp/tree/master/tools/server
- LM Studio: ``/api/v0/models``. https://lmstudio.ai/docs/developer/rest/endpoints
- Ollama: ``/api/show`` for each model. https://github.com/ollama/ollama/blob/main/docs/api.md
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from mini_llm.deployment import CHAT_NEEDS
from mini_llm.errors import ProviderError, UpstreamProtocolError
from mini_llm.price import plausible
from mini_llm.providers.wire import Endpoint
from mini_llm.request import Need, encode
from mini_llm.surfaces.lenient import at, member, objects_in

MAX_MODELS: Final = 256
"""Most models of one server that are looked at."""
_MEDIA: Final = frozenset({Need.IMAGES, Need.AUDIO, Need.FILES})
_TEXT_ONLY: Final = CHAT_NEEDS - _MEDIA
_OLLAMA_NEEDS: Final = {"tools": Need.TOOLS, "vision": Need.IMAGES, "thinking": Need.REASONING}


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a server tells about a model.

    Attributes:
        context_tokens: prompt and completion together, None if not told.
        capabilities: needs that it serves, None if not told.
    """

    context_tokens: int | None = None
    capabilities: frozenset[str] | None = None


UNKNOWN: Final = ModelFacts()
EMBEDDER: Final = frozenset({Need.EMBEDDINGS})


async def ask_server(probe: Endpoint, url: str, known: Mapping[str, ModelFacts]) -> dict[str, ModelFacts]:
    """The models of the server at ``url`` (up to and with ``/v1``) and what it tells about them.

    Models in ``known`` keep what was told before, so that looking again costs one short question.

    Raises:
        ProviderError: no server there, or none that lists models.
    """
    listed = await probe.get_json(f"{url}/models")
    try:
        models = {str(model["id"]): model for model in listed["data"][:MAX_MODELS]}
    except (KeyError, TypeError):
        raise UpstreamProtocolError(probe.provider, "GET /models has no list of models") from None
    fresh = {name: model for name, model in models.items() if name not in known}
    told = await _ask_about(probe, url.removesuffix("/v1"), fresh) if fresh else {}
    return {name: known.get(name) or told.get(name, UNKNOWN) for name in models}


async def _ask_about(probe: Endpoint, root: str, models: Mapping[str, Any]) -> dict[str, ModelFacts]:
    first = next(iter(models.values()))
    if "max_model_len" in first:
        return {name: ModelFacts(plausible(model["max_model_len"])) for name, model in models.items()}
    if "meta" in first or first.get("owned_by") == "llamacpp":
        return await _ask_llamacpp(probe, root, models)
    if first.get("owned_by") == "organization_owner":
        return await _ask_lmstudio(probe, root)
    told = await asyncio.gather(*(_ask_ollama(probe, root, name) for name in models))
    return dict(zip(models, told, strict=True))


async def _ask_llamacpp(probe: Endpoint, root: str, models: Mapping[str, Any]) -> dict[str, ModelFacts]:
    """The context of a slot, which the whole server shares; else what the model was trained on."""
    props = await _ask(probe, f"{root}/props")
    slot = plausible(at(props, "default_generation_settings.n_ctx"))
    modalities = at(props, "modalities")
    capabilities = None
    if isinstance(modalities, dict):
        seen = {Need.IMAGES: modalities.get("vision"), Need.AUDIO: modalities.get("audio")}
        capabilities = _TEXT_ONLY.union(need for need, able in seen.items() if able is True)
    return {
        name: ModelFacts(slot or plausible(at(model, "meta.n_ctx_train")), capabilities)
        for name, model in models.items()
    }


async def _ask_lmstudio(probe: Endpoint, root: str) -> dict[str, ModelFacts]:
    models = await _ask(probe, f"{root}/api/v0/models")
    return {
        str(model.get("id")): ModelFacts(
            plausible(model.get("loaded_context_length")) or plausible(model.get("max_context_length")),
            _lmstudio_capabilities(model),
        )
        for model in objects_in(member(models, "data"))
    }


def _lmstudio_capabilities(model: Mapping[str, Any]) -> frozenset[str]:
    if model.get("type") == "embeddings":
        return EMBEDDER
    able = _TEXT_ONLY | {Need.IMAGES} if model.get("type") == "vlm" else _TEXT_ONLY
    told = model.get("capabilities")
    return able if not isinstance(told, list) or "tool_use" in told else able - {Need.TOOLS}


async def _ask_ollama(probe: Endpoint, root: str, model: str) -> ModelFacts:
    shown = await _ask(probe, f"{root}/api/show", encode({"model": model}))
    if not isinstance(shown, dict):
        return UNKNOWN
    info = shown.get("model_info")
    lengths = [
        plausible(value)
        for name, value in (info.items() if isinstance(info, dict) else ())
        if name.endswith(".context_length")
    ]
    told = shown.get("capabilities")
    if not isinstance(told, list):
        return ModelFacts(next(iter(lengths), None))
    if "completion" not in told and "embedding" in told:
        return ModelFacts(next(iter(lengths), None), EMBEDDER)
    able = {need for name, need in _OLLAMA_NEEDS.items() if name in told}
    return ModelFacts(next(iter(lengths), None), frozenset({Need.JSON_SCHEMA, Need.LOGPROBS, *able}))


async def _ask(probe: Endpoint, url: str, body: bytes | None = None) -> Any:
    """What a server says to a question that it need not know; None if it does not."""
    try:
        return await (probe.get_json(url) if body is None else probe.post_json(url, body))
    except ProviderError:
        return None

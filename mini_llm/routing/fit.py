"""Whether a deployment can serve a request at all, before anything is sent."""

from __future__ import annotations

from typing import Final

from mini_llm.deployment import Deployment
from mini_llm.providers.base import Provider
from mini_llm.request import EMBEDS_ONLY, Need, Request
from mini_llm.surfaces import CHAT, SURFACES

SHORTEST_WORD_BYTES: Final = 2
"""A word and the space before the next."""


def unfit(request: Request, deployment: Deployment, provider: Provider) -> str | None:
    """Why the deployment cannot serve the request, for the developer who sent it; None if it may.

    What is not certain is not refused: the provider decides then.
    """
    native = request.surface in provider.surfaces
    lacking = request.needs - deployment.capabilities
    if not native:
        lacking -= {Need.HOSTED}  # the translation to chat leaves it out, or refuses it by name
    if lacking:
        return f"does not take {', '.join(sorted(lacking))}"
    embeds = Need.EMBEDDINGS in request.needs
    if not native and (embeds or CHAT.name not in provider.surfaces):
        return f"does not speak {request.surface}"
    if not embeds and deployment.capabilities == EMBEDS_ONLY:
        return "makes embeddings only"
    return _too_long(request, deployment)


def _too_long(request: Request, deployment: Deployment) -> str | None:
    """The context is too short even for the fewest tokens that the prompt can have, plus the cap asked for.

    The fewest are the words of its text: tokenizers split at spaces first. They are counted only where the
    request's size leaves it open.
    """
    cap = deployment.output_cap(request.output_cap) if request.output_cap is not None else 1
    room = deployment.context_tokens - (cap or 1)
    if request.size_bytes // SHORTEST_WORD_BYTES <= room:
        return None
    least = sum(len(text.split()) for text in SURFACES[request.surface].prompt_texts(request))
    if least <= room:
        return None
    return f"has a context of {deployment.context_tokens} tokens, and this prompt has at least {least}" + (
        f", with {cap} more to write" if request.output_cap is not None else ""
    )

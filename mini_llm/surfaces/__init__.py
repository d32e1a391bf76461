"""The wire formats in which apps call, one row each."""

from __future__ import annotations

from typing import Final

from mini_llm.surfaces.base import Surface
from mini_llm.surfaces.chat import ChatSurface
from mini_llm.surfaces.embeddings import EmbeddingsSurface
from mini_llm.surfaces.gemini import GeminiSurface
from mini_llm.surfaces.messages import MessagesSurface
from mini_llm.surfaces.responses import ResponsesSurface

SURFACES: Final[dict[str, Surface]] = {
    surface.name: surface
    for surface in (
        ChatSurface(),
        ResponsesSurface(),
        MessagesSurface(),
        GeminiSurface(),
        EmbeddingsSurface(),
    )
}
"""Every surface by name."""
CHAT: Final = SURFACES[ChatSurface.name]

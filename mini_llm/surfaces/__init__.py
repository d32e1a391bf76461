"""The wire formats in which apps call, one row each."""

from __future__ import annotations

from typing import Final

from mini_llm.surfaces.base import Surface
from mini_llm.surfaces.chat import ChatSurface

SURFACES: Final[dict[str, Surface]] = {surface.name: surface for surface in (ChatSurface(),)}
"""Every surface by name."""
CHAT: Final = SURFACES[ChatSurface.name]

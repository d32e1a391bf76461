"""Prompts as vectors: an optional, small model whose weights come with its package.

Source: WordLlama (MIT), token embeddings of a large language model, averaged; 256 dimensions, 16 MB.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

import numpy as np

from router.bench.errors import MissingExtra
from router.bench.fit import Embed
from router.bench.sweep import Floats

MAX_CHARS: Final = 4_000
"""Of a longer prompt only the beginning is looked at."""
BATCH: Final = 64


def open_embedding() -> Embed:
    """The model, ready to use.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import wordllama
    except ModuleNotFoundError:
        raise MissingExtra("wordllama", "embeddings") from None
    logging.getLogger("wordllama").setLevel(logging.WARNING)  # it tells of every load
    model = wordllama.load()

    def embed(prompts: Sequence[str]) -> Floats:
        texts = [prompt[:MAX_CHARS] for prompt in prompts]
        found = [model.embed(texts[at : at + BATCH]) for at in range(0, len(texts), BATCH)]
        vectors: Floats = np.concatenate(found).astype(np.float64)
        return vectors

    return embed

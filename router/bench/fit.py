"""A correction of the shipped predictions, learned from some rows: by level, by slope, by words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from mini_llm.auto.features import NAMES, measure, read
from router.bench.sweep import Floats

PLACES: Final = 1024
PENALTY: Final = 30.0
"""Of the ridge regression, in rows: a word that is in fewer prompts than this says little."""
MEASURES: Final = 0.1
"""Weight of the measures beside the words: a tenth lets them count where hundreds of rows agree."""
LEVEL_ROWS: Final = 30.0
"""Rows that a model's predicted level is worth: its name says little once there are more."""
SLOPE_ROWS: Final = 100.0
"""Rows that the shipped predictions are worth: with so many fitted on, both are believed alike."""
FOLDS: Final = 5
CHUNK_ROWS: Final = 4096
"""Rows that are corrected at a time: 33 MB for each copy of their words."""
_FEW: Final = 1e-9
_WORDS_FROM: Final = len(NAMES)
_VECTOR_FROM: Final = _WORDS_FROM + PLACES

Described = NDArray[np.float32]
"""What `describe` makes: half the memory of what is reckoned with, which is made for some rows at a time."""
Embed = Callable[[Sequence[str]], Floats]
"""Texts as vectors, (n, d)."""


def split(prompts: Sequence[str], fraction: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows to fit on and rows to judge on; equal prompts are on the same side."""
    distinct = sorted(set(prompts))
    order = np.random.default_rng(seed).permutation(len(distinct))
    chosen = {distinct[int(at)] for at in order[: round(fraction * len(distinct))]}
    inside = np.array([prompt in chosen for prompt in prompts], dtype=bool)
    return np.flatnonzero(inside), np.flatnonzero(~inside)


def describe(prompts: Sequence[str], embed: Embed | None = None) -> Described:
    """(n, d): each prompt's measures, its words, hashed into signed places, and its vector if asked for."""
    vectors = np.empty((len(prompts), 0)) if embed is None else embed(prompts)
    described = np.zeros((len(prompts), _VECTOR_FROM + vectors.shape[1]), dtype=np.float32)
    described[:, _VECTOR_FROM:] = vectors
    for row, prompt in zip(described, prompts, strict=True):
        text = read(prompt)
        row[:_WORDS_FROM] = measure(text)
        for word in set(text.words):
            code = crc32(word.encode("utf-8", "replace"))
            row[_WORDS_FROM + code % PLACES] += 1.0 if code & 0x8000 else -1.0
    return described


class Correction:
    """What the shipped predictions of some rows miss, learned and taken out.

    Each model's prediction is first put right by a straight line, then by ridge regression of the rest on
    words (by how rare they are), measures, and vectors if there are any. Source: Hoerl and Kennard 1970;
    Jones 1972.
    """

    def __init__(self, described: Described, predicted: Floats, quality: Floats) -> None:
        """Fits; described: (n, d) of `describe`, predicted and quality: (n, m)."""
        measures, words, vectors = _parts(described)
        self._middle, self._spread = measures.mean(axis=0), measures.std(axis=0) + _FEW
        self._centre = vectors.mean(axis=0)
        self._rarity = np.log(len(words) / (1 + (words != 0).sum(axis=0)) + 1)
        self._usual = predicted.mean(axis=0)
        self._level = (quality.sum(axis=0) + LEVEL_ROWS * self._usual) / (len(quality) + LEVEL_ROWS)
        moved, rest = predicted - self._usual, quality - quality.mean(axis=0)
        variance = (moved**2).mean(axis=0) + _FEW
        worth = SLOPE_ROWS * variance
        self._line = ((moved * rest).sum(axis=0) + worth) / (len(moved) * variance + worth)
        rest = rest - moved * self._line
        inputs = self._inputs(described)
        square = inputs.T @ inputs + PENALTY * np.eye(inputs.shape[1])
        self._slopes = np.linalg.solve(square, inputs.T @ rest)

    def apply(self, described: Described, predicted: Floats) -> Floats:
        """Corrected predictions of other rows, (n, m)."""
        corrected = self._straight(predicted)
        for at in range(0, len(described), CHUNK_ROWS):
            rows = slice(at, at + CHUNK_ROWS)
            corrected[rows] += self._inputs(described[rows]) @ self._slopes
        return corrected

    def _straight(self, predicted: Floats) -> Floats:
        straight: Floats = self._level + (predicted - self._usual) * self._line
        return straight

    def _inputs(self, described: Described) -> Floats:
        measures, words, vectors = _parts(described)
        measures = np.clip((measures - self._middle) / self._spread, -4, 4) * MEASURES
        return np.concatenate([measures, _unit(words * self._rarity), _unit(vectors - self._centre)], axis=1)


def crossed(described: Described, predicted: Floats, quality: Floats) -> Floats:
    """(n, m): the fitted rows, each corrected by what others taught alone.

    Else a model that was lucky on these rows would look as good as it was lucky.
    """
    corrected = np.empty(predicted.shape)
    fold = np.arange(len(predicted)) % FOLDS
    for at in range(FOLDS):
        inside, outside = fold != at, fold == at
        taught = Correction(described[inside], predicted[inside], quality[inside])
        corrected[outside] = taught.apply(described[outside], predicted[outside])
    return corrected


def _parts(described: Described) -> tuple[Floats, Floats, Floats]:
    """Measures, words and vectors."""
    wide = described.astype(np.float64)
    return wide[:, :_WORDS_FROM], wide[:, _WORDS_FROM:_VECTOR_FROM], wide[:, _VECTOR_FROM:]


def _unit(rows: Floats) -> Floats:
    """Each row at length 1, or 0 where it is nothing."""
    scaled: Floats = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), _FEW)
    return scaled

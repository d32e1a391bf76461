"""The project's own documentation, cut into passages and sentences and searched with BM25."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import bm25s
import numpy as np

DOCUMENTATION = ("README.md", "CONTRIBUTING.md", "docs/**/*.md")
PASSAGE_CHARS = 900
"""A passage takes whole blocks of one section until it is this long."""

_FENCE = re.compile(r"^\s*(```|~~~)")
_HEADING = re.compile(r"^(#{1,6})\s+(.*?)\s*#*$")
_ITEM = re.compile(r"^\s*(?:[-*+]|\d+\.)\s+")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z`*\"(])")
_SUFFIX = re.compile(r"(?<=\w{3})(?:ings?|ed|es|s|e|al|als)$")


class EmptyCorpus(Exception):
    """No text was found to answer from."""

    def __init__(self, root: Path) -> None:
        super().__init__(f"no documentation under {root}: looked for {', '.join(DOCUMENTATION)}")
        self.root = root


@dataclass(frozen=True)
class Passage:
    """A stretch of text and where it stands.

    Attributes:
        source: file and headings, as in ``docs/protocol.md › Batches``.
        text: the text without markup, blocks separated by newlines.
    """

    source: str
    text: str


def _blocks(markdown: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yields (heading path, text) of every paragraph, list item and table row; code blocks are left out."""
    headings: list[str] = []
    lines: list[str] = []
    fenced = False
    for line in [*_COMMENT.sub("", markdown).splitlines(), ""]:
        if _FENCE.match(line):
            fenced = not fenced
            line = ""
        elif fenced:
            continue
        heading = _HEADING.match(line)
        if lines and (heading or not line.strip() or _ITEM.match(line) or line.lstrip().startswith("|")):
            yield tuple(headings), " ".join(lines)
            lines = []
        if heading:
            headings = [*headings[: len(heading[1]) - 1], heading[2]]
        elif line.strip():
            lines.append(_plain(line))


def _plain(line: str) -> str:
    """One line without list markers, link targets and table bars."""
    line = _LINK.sub(r"\1", _ITEM.sub("", line)).strip()
    if line.startswith("|"):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        line = "" if all(set(cell) <= set("-: ") for cell in cells) else " – ".join(cells)
    return line


def load_passages(root: Path) -> list[Passage]:
    """Reads the documentation under ``root``, at most ``PASSAGE_CHARS`` to a passage where blocks allow it.

    Raises:
        EmptyCorpus: there is no text.
    """
    passages: list[Passage] = []
    for path in sorted({path for pattern in DOCUMENTATION for path in root.glob(pattern)}):
        section: tuple[str, ...] | None = None
        for headings, text in _blocks(path.read_text(encoding="utf-8")):
            if not text.strip():
                continue
            last = passages[-1] if headings == section else None
            section = headings
            if last and len(last.text) + len(text) < PASSAGE_CHARS:
                passages[-1] = Passage(last.source, f"{last.text}\n{text}")
            else:
                passages.append(Passage(" › ".join([str(path.relative_to(root)), *headings]), text))
    if not passages:
        raise EmptyCorpus(root)
    return passages


def sentences(text: str) -> list[str]:
    """The sentences of a passage that have at least four words, or the whole text if none has."""
    cut = [sentence.strip() for block in text.split("\n") for sentence in _SENTENCE_END.split(block)]
    return [sentence for sentence in cut if len(sentence.split()) >= 4] or [text]


def _stem(words: Sequence[str]) -> list[str]:
    """Strips common endings, so that a question about "settling" finds "settles" and "settled"."""
    return [_SUFFIX.sub("", word) for word in words]


class Index:
    """BM25 over passages and their sentences; both are found by their headings too.

    Raises:
        EmptyCorpus: there are no passages.
    """

    def __init__(self, root: Path) -> None:
        self.passages = load_passages(root)
        self.sentences = [
            (number, sentence)
            for number, passage in enumerate(self.passages)
            for sentence in sentences(passage.text)
        ]
        self._passages = _ranking([f"{passage.source} {passage.text}" for passage in self.passages])
        self._sentences = _ranking(
            [f"{self.passages[number].source} {text}" for number, text in self.sentences]
        )

    def best_passages(self, question: str, count: int) -> list[Passage]:
        """The best ``count`` passages or fewer, best first; none when no word of the question occurs."""
        (words,) = _words([question])
        if not words:
            return []
        scores = self._passages.get_scores(words)
        best = np.argsort(-scores, kind="stable")[:count]
        return [self.passages[number] for number in best if scores[number] > 0]

    def best_sentence(self, question: str) -> str | None:
        """The best sentence, judged by itself and by the passage it stands in; None if no word occurs."""
        (words,) = _words([question])
        if not words:
            return None
        within = self._passages.get_scores(words)[[number for number, _ in self.sentences]]
        scores = self._sentences.get_scores(words) + within
        best = int(np.argmax(scores))
        return self.sentences[best][1] if scores[best] > 0 else None


def _ranking(texts: list[str]) -> bm25s.BM25:
    ranking = bm25s.BM25()
    ranking.index(_words(texts), show_progress=False)
    return ranking


def _words(texts: list[str]) -> list[list[str]]:
    found: list[list[str]] = bm25s.tokenize(
        texts, stopwords="en_plus", stemmer=_stem, return_ids=False, show_progress=False
    )
    return found

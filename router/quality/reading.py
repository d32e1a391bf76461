"""A text as the measures see it: what it says for the first time, and how much of it says nothing.

Whatever was said before (in the prompt, in earlier turns or further up in the same text) and whatever is no
language is set aside *before* anything is measured, and then only lowers the score. So repeating, echoing or
padding cannot raise a measure by construction.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import accumulate, chain, compress
from typing import Final

from router.quality.language import (
    LEAST_TYPICAL_BARE,
    UNKNOWN,
    Language,
    function_share,
    is_noise,
    language_of,
    letters_of,
    prose_words,
)

LOOKED_AT: Final = 16_384
"""Characters of a text that are read; more changes no score worth telling apart and would cost time."""
RAW_LOOKED_AT: Final = 4 * LOOKED_AT
"""Characters that are cleaned to get those."""
RUN: Final = 4
"""Words in a row that were seen before make a repetition; shorter runs are how people write."""
ALONE_LETTERS: Final = 60
"""Characters of new words from which a passage is judged for noise by itself."""
BARE_LETTERS: Final = 80
"""Letters of words that carry something after which these are judged for noise without the others."""
LISTED: Final = 40
"""New words of mere lists that are counted; a longer list says little more."""
PROSE_SHARE: Final = 0.1
"""Share of function words below which a passage is a list of words."""
SIGN_EACH: Final = 4
"""A sign to so many words makes a passage code, a table or a formula."""
_SIGN: Final = re.compile(r"[=(){}\[\]<>|_/\\;:`\"+&%$@^~]")
_INVISIBLE: Final = frozenset({"Cf", "Cc", "Cs", "Co", "Cn"})
_SPACED: Final = re.compile(r"[^\S\n]+")
_LINES: Final = re.compile(r"\s*\n\s*")
_MARKER: Final = re.compile(r"^\d{1,3}[.)]\s")
"""Of an item: its number is no word of the text."""
_PLACEHOLDER: Final = re.compile(r"<[^<>\n]*>|\[[^\[\]\n]*\]")
"""A text that is nothing else stands for one, as in "<no output>"."""
_STRETCHED: Final = re.compile(r"(\S)\1{3,}")
_SENTENCE_END: Final = re.compile(r"(?<=[.!?…])(?<!\d\.)\s+|(?<=[。！？।])\s*|\n")
# Scripts that put no space between words: Thai, Lao, Burmese, Khmer, Japanese, Chinese.
_UNSPACED: Final = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_WORD: Final = re.compile(rf"[{_UNSPACED}]+|(?:(?![{_UNSPACED}])\w)+(?:['’](?:(?![{_UNSPACED}])\w)+)*")
_IS_UNSPACED: Final = re.compile(rf"[{_UNSPACED}]")
_DIGIT: Final = re.compile(r"\d")


class Kind(IntEnum):
    """What a word of a text is."""

    NEW = 0
    ECHO = 1
    """In a run that stands in what came before."""
    REPEATED = 2
    """In a run that stands further up in the same text."""
    NOISE = 3
    """In a passage that is no language."""
    HEAPED = 4
    """Beyond the first few in passages that are mere lists of words."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A sentence or line.

    Attributes:
        text: as it stands, cleaned.
        words: its words in lower case; two characters each in scripts without spaces.
        kinds: of each word.
        new: the words that say something for the first time.
    """

    text: str
    words: tuple[str, ...]
    kinds: tuple[Kind, ...]
    new: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """A text, read.

    Attributes:
        language: of what is no noise.
        kept: passages with at least one new word.
        counts: words of each ``Kind``.
    """

    language: Language
    kept: tuple[Passage, ...]
    counts: Mapping[Kind, int]

    def share(self, kind: Kind) -> float:
        """Share of a kind among all words, 0 to 1."""
        return self.counts[kind] / max(1, sum(self.counts.values()))


def clean(text: str) -> str:
    """A text in one spelling: compatibility forms folded, invisible characters and stretched runs removed."""
    raw = unicodedata.normalize("NFKC", text[:RAW_LOOKED_AT])
    if not raw.isascii() or not raw.isprintable():
        raw = "".join(
            char for char in raw if char in "\n\t\r" or unicodedata.category(char) not in _INVISIBLE
        )
    raw = _LINES.sub("\n", _SPACED.sub(" ", raw.replace("\r", "\n")))
    plain = _STRETCHED.sub(r"\1\1\1", raw).strip()[:LOOKED_AT]
    return "" if _PLACEHOLDER.fullmatch(plain) else plain


def read(text: str, before: Iterable[str] = ()) -> Reading:
    """Read a text.

    Args:
        text: as it was sent; the first ``LOOKED_AT`` characters count.
        before: what its reader has read already: the prompt, earlier turns.
    """
    parts = [(part, words_of(_MARKER.sub("", part))) for part in _SENTENCE_END.split(clean(text))]
    parts = [(part, words) for part, words in parts if words]
    said = {run for earlier in before for run in _runs(words_of(clean(earlier)))}
    kinds = _stale([words for _, words in parts], said)
    passages = _without_noise(
        [_passage(part, words, kind) for (part, words), kind in zip(parts, kinds, strict=True)]
    )
    language = _language(passages)
    if unsound := _made_up(passages, language):
        passages = [
            _as(Kind.NOISE, passage, len(passage.new)) if at in unsound else passage
            for at, passage in enumerate(passages)
        ]
        language = _language(passages)
    passages = _without_heaps(passages, language)
    counts = Counter(kind for passage in passages for kind in passage.kinds)
    return Reading(language, tuple(passage for passage in passages if passage.new), counts)


def _language(passages: list[Passage]) -> Language:
    kept = [passage.text for passage in passages if passage.new]
    return language_of("\n".join(kept)) if kept else UNKNOWN


def _passage(text: str, words: tuple[str, ...], kinds: tuple[Kind, ...]) -> Passage:
    return Passage(text, words, kinds, tuple(compress(words, (kind is Kind.NEW for kind in kinds))))


def words_of(text: str) -> tuple[str, ...]:
    """Words in lower case; in scripts without spaces each pair of neighbouring characters."""
    return tuple(_words(text))


def _words(text: str) -> Iterator[str]:
    for found in _WORD.findall(text):
        if len(found) > 2 and _IS_UNSPACED.match(found):
            yield from (found[at : at + 2] for at in range(len(found) - 1))
        else:
            yield found.casefold()


def _without_noise(passages: list[Passage]) -> list[Passage]:
    """Passages whose new words are marked as noise where they make no language.

    Only new words are judged, so that repetitions around noise cannot hide it; those of passages too short to
    be judged alone are judged together.
    """
    texts = [" ".join(passage.new) for passage in passages]
    short = [len(text) < ALONE_LETTERS for text in texts]
    together = is_noise("\n".join(text for text, is_short in zip(texts, short, strict=True) if is_short))
    noisy = [together if is_short else is_noise(text) for text, is_short in zip(texts, short, strict=True)]
    return [
        _as(Kind.NOISE, passage, len(passage.new)) if bad else passage
        for passage, bad in zip(passages, noisy, strict=True)
    ]


def _made_up(passages: list[Passage], language: Language) -> set[int]:
    """Which passages have words of their own that make no language.

    Function words around made-up ones make a passage look like language, so each word that is none is judged,
    where it stands for the first time, with those of the passages beside it, and with all of the text.
    """
    known = set(prose_words(language))
    if not known:
        return set()
    own: dict[int, str] = {}
    for at, passage in enumerate(passages):
        words = [word for word in dict.fromkeys(passage.new) if word not in known]
        if words and not _is_signs(passage):
            known.update(words)
            own[at] = " ".join(words)
    if letters_of(" ".join(own.values())) < BARE_LETTERS:
        return set()
    groups = [list(own), *_side_by_side(own)]
    noisy = [group for group in groups if is_noise("\n".join(own[at] for at in group), LEAST_TYPICAL_BARE)]
    return set(chain.from_iterable(noisy))


def _side_by_side(texts: Mapping[int, str]) -> list[list[int]]:
    """Groups of neighbours with ``BARE_LETTERS`` each; what is left over at the end goes to the last."""
    groups: list[list[int]] = [[]]
    letters = 0
    for at, text in texts.items():
        if letters >= BARE_LETTERS:
            groups.append([])
            letters = 0
        groups[-1].append(at)
        letters += letters_of(text)
    if letters < BARE_LETTERS and len(groups) > 1:
        last = groups.pop()
        groups[-1] += last
    return groups


def _without_heaps(passages: list[Passage], language: Language) -> list[Passage]:
    """Passages where new words without function words between them are marked beyond the first ``LISTED``."""
    left = LISTED
    kept = []
    for passage in passages:
        if _is_list(passage, language):
            heaped = len(passage.new) - left
            left = max(0, -heaped)
            passage = _as(Kind.HEAPED, passage, max(0, heaped))
        kept.append(passage)
    return kept


def _is_list(passage: Passage, language: Language) -> bool:
    """True for passages of bare words or numbers; code and formulas have signs between them."""
    if _is_signs(passage):
        return False
    share = function_share(passage.new, language)
    numbers = sum(map(str.isdigit, passage.new))
    return (share is not None and share < PROSE_SHARE) or 2 * numbers > len(passage.new)


def _is_signs(passage: Passage) -> bool:
    """True for code, tables and formulas."""
    return len(_SIGN.findall(passage.text)) * SIGN_EACH >= len(passage.words)


def _as(kind: Kind, passage: Passage, last: int) -> Passage:
    """The passage with its last so many new words of another kind."""
    skipped = len(passage.new) - last
    kinds = []
    for old in passage.kinds:
        skipped -= old is Kind.NEW
        kinds.append(kind if old is Kind.NEW and skipped < 0 else old)
    return _passage(passage.text, passage.words, tuple(kinds))


def _runs(words: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Runs of ``RUN`` words. Beside words, digits count as equal: numbering a repetition does not hide it."""
    masked = [_DIGIT.sub("0", word) for word in words]
    for at in range(len(words) - RUN + 1):
        run = masked[at : at + RUN]
        numbers = sum("0" in word for word in run)
        yield tuple(run if numbers < RUN else words[at : at + RUN])


def _stale(passages: list[tuple[str, ...]], said: set[tuple[str, ...]]) -> list[tuple[Kind, ...]]:
    """Which words of each passage were said before. Runs go across the ends of passages."""
    flat = tuple(chain.from_iterable(passages))
    ends = list(accumulate(map(len, passages)))
    spans = [slice(end - len(words), end) for words, end in zip(passages, ends, strict=True)]
    marks = [Kind.NEW] * len(flat)
    own: set[tuple[str, ...]] = set()
    for at, run in enumerate(_runs(flat)):
        if run in own:
            marks[at : at + RUN] = [Kind.REPEATED] * RUN
        elif run in said:
            marks[at : at + RUN] = [Kind.ECHO] * RUN
        own.add(run)
    for span in _short_repetitions(flat, spans):
        marks[span] = [Kind.REPEATED] * (span.stop - span.start)
    return [tuple(marks[span]) for span in spans]


def _short_repetitions(flat: tuple[str, ...], spans: list[slice]) -> Iterator[slice]:
    """Passages of fewer than ``RUN`` words that stand further up."""
    seen: set[tuple[str, ...]] = set()
    for span in spans:
        if span.stop - span.start < RUN and flat[span] in seen:
            yield span
        for width in range(1, RUN):
            first = max(0, span.start - width + 1)
            seen.update(flat[at : at + width] for at in range(first, span.stop - width + 1))

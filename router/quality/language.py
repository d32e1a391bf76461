"""Which language a text is in, whether it is one at all, and which of its words carry nothing.

CLD2 (Chromium's detector, 83 languages, its tables inside the wheel) says how typical a text is of the
language it is taken for: about 1000 for prose, 400 and more for names, tables and code, under 200 for
random letters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import pycld2
import stopwordsiso

ENOUGH_LETTERS: Final = 40
"""Fewest letters that are judged; of less, real text and noise look alike."""
LEAST_TYPICAL: Final = 300.0
"""Below this it is no language: under 1 % of real passages of 40 letters, 95 % of random letters."""
LEAST_TYPICAL_HAN: Final = 1000.0
"""The same where characters are Han, which CLD2 knows one by one: random ones have up to 900, lists of names
1700."""
LEAST_TYPICAL_BARE: Final = 250.0
"""Below this words without the function words between them are of no language: 2 in 1,000 real texts, made-up
words nearly always."""
SHORT_WORD: Final = 3
"""Words of at most so many letters carry nothing in a language whose function words are not known."""
_HAN: Final = frozenset({"zh", "zh-Hant", "ja"})
_CODES: Final = {"iw": "he", "no": "nb", "nb": "no", "zh-Hant": "zh", "jw": "jv", "bs": "hr", "sr": "hr"}
"""CLD2's name of a language → that of the stop words."""
_PROSE: Final = frozenset({
    "af", "ar", "bg", "bs", "ca", "cs", "da", "de", "el", "en", "eo", "es", "et", "eu",
    "fa", "fi", "fr", "ga", "gl", "hr", "hu", "id", "it", "lt", "lv", "ms", "nl",
    "no", "pl", "pt", "ro", "ru", "sk", "sl", "sr", "sv", "sw", "tr", "uk", "vi",
})  # fmt: skip
"""Languages in whose prose every fifth word and more is a function word that is known here."""


@dataclass(frozen=True, slots=True)
class Language:
    """What a text is written in.

    Attributes:
        code: ISO 639-1 as CLD2 spells it, "un" if unknown.
        typical: how typical the text is of it, 0 upward; prose has about 1000.
    """

    code: str
    typical: float


UNKNOWN: Final = Language("un", 0.0)


def language_of(text: str) -> Language:
    """The main language of a text that was cleaned of control characters."""
    try:
        _, _, found = pycld2.detect(text, bestEffort=True)
    except pycld2.error:  # characters that it takes for none
        return UNKNOWN
    _, code, _, typical = found[0]
    return Language(code, float(typical))


def is_noise(text: str, least: float = LEAST_TYPICAL) -> bool:
    """True if the letters of a passage make no language; passages too short to tell are taken as one.

    Args:
        text: the passage.
        least: how typical it has to be of one whose characters are not Han.
    """
    if letters_of(text) < ENOUGH_LETTERS:
        return False
    language = language_of(text)
    return language.typical < (LEAST_TYPICAL_HAN if language.code in _HAN else least)


def letters_of(text: str) -> int:
    """How many letters it has."""
    return sum(map(str.isalpha, text))


def prose_words(language: Language) -> frozenset[str]:
    """Function words of a language whose prose is full of them; empty in others."""
    return function_words(language.code) if language.code in _PROSE else frozenset()


@cache
def function_words(code: str) -> frozenset[str]:
    """Words such as "the" of a language; empty if they are not known."""
    for name in (code, _CODES.get(code)):
        if name is not None and stopwordsiso.has_lang(name):
            return frozenset(word.casefold() for word in stopwordsiso.stopwords(name))
    return frozenset()


def carries(word: str, functions: frozenset[str]) -> bool:
    """True if a word says something by itself: a number, or no function word."""
    if functions:
        return word not in functions
    return len(word) > SHORT_WORD or word.isdigit() or not word.isascii()


def function_share(words: Sequence[str], language: Language) -> float | None:
    """Share of function words, 0 to 1; None in a language of which it tells nothing."""
    if language.code == UNKNOWN.code or not words:
        return 0.0
    functions = prose_words(language)
    if not functions:
        return None
    return sum(word in functions for word in words) / len(words)

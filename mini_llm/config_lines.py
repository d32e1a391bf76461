"""Where each value of a JSON or TOML text stands: the line for every path.

The texts have been parsed before, by parsers that tell no lines. So these scanners may trust them to be
well-formed; they only look for where things begin.
"""

from __future__ import annotations

import json
import re
import tomllib
from typing import Final

Place = tuple[int | str, ...]
"""A path into a document: keys and positions."""

_JSON_GAP: Final = re.compile(r"[ \t\r\n,]*")
_JSON_SCALAR: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s,\]}]+')
_TOML_GAP: Final = re.compile(r"(?:[ \t\r\n,]|#[^\n]*)*")
_TOML_KEY: Final = re.compile(r"""[ \t]*("(?:[^"\\]|\\.)*"|'[^']*'|[A-Za-z0-9_-]+)[ \t]*(\.?)""")
_TOML_SCALAR: Final = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}'  # a text over several lines may end in one or two quotation marks of its own
    r"|'''.*?'{3,5}"
    r'|"(?:[^"\\]|\\.)*"'
    r"|'[^']*'"
    r"|[^,\]}#\r\n]+",
    re.DOTALL,
)


class _Scanner:
    """A position in a text that moves forward, and the lines found so far."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0
        self.lines: dict[Place, int] = {}
        self.repeats: list[tuple[Place, int, int]] = []
        self._line, self._counted = 1, 0

    def found(self, place: Place) -> int:
        """Something begins here, in the line that is told; what a place was first found at stays."""
        self._line += self.text.count("\n", self._counted, self.at)
        self._counted = self.at
        self.lines.setdefault(place, self._line)
        return self._line

    def skip(self, pattern: re.Pattern[str]) -> str:
        """Moves over what matches here."""
        match = pattern.match(self.text, self.at)
        if match is None:
            return ""
        self.at = match.end()
        return match[0]

    def take(self, mark: str) -> bool:
        """Moves over a mark if it is here."""
        if not self.text.startswith(mark, self.at):
            return False
        self.at += len(mark)
        return True

    def closes(self, mark: str, gap: re.Pattern[str]) -> bool:
        """Moves to the next element, or over the mark that ends them."""
        self.skip(gap)
        return self.take(mark)


def json_lines(text: str) -> dict[Place, int]:
    """The line, from 1, at which each value of a JSON text (or its key) begins."""
    scanner = _Scanner(text)
    _json_value(scanner, ())
    return scanner.lines


def json_repeats(text: str) -> list[tuple[Place, int, int]]:
    """Keys that an object has twice, each with both lines; not what is in them."""
    scanner = _Scanner(text)
    _json_value(scanner, ())
    outer = {place for place, _, _ in scanner.repeats}
    return [
        one for one in scanner.repeats if not any(one[0][:length] in outer for length in range(len(one[0])))
    ]


def _json_value(scanner: _Scanner, place: Place) -> None:
    scanner.skip(_JSON_GAP)
    scanner.found(place)
    if scanner.take("{"):
        while not scanner.closes("}", _JSON_GAP):
            inner = (*place, json.loads(scanner.skip(_JSON_SCALAR)))
            first = scanner.lines.get(inner)
            line = scanner.found(inner)
            if first is not None:
                scanner.repeats.append((inner, first, line))
            scanner.skip(_JSON_GAP)
            scanner.take(":")
            _json_value(scanner, inner)
    elif scanner.take("["):
        position = 0
        while not scanner.closes("]", _JSON_GAP):
            _json_value(scanner, (*place, position))
            position += 1
    else:
        scanner.skip(_JSON_SCALAR)


def toml_lines(text: str) -> dict[Place, int]:
    """The line, from 1, at which each key, table and array element of a TOML text begins."""
    scanner = _Scanner(text)
    table: Place = ()
    lengths: dict[Place, int] = {}  # of the arrays of tables
    scanner.skip(_TOML_GAP)
    while scanner.at < len(text):
        if scanner.take("[["):
            array = _within_arrays(_toml_key(scanner, ()), lengths)
            scanner.found(array)
            table = (*array, lengths.get(array, 0))
            lengths[array] = lengths.get(array, 0) + 1
            scanner.found(table)
            scanner.take("]]")
        elif scanner.take("["):
            table = _within_arrays(_toml_key(scanner, ()), lengths)
            scanner.found(table)
            scanner.take("]")
        else:
            _toml_pair(scanner, table)
        scanner.skip(_TOML_GAP)
    return scanner.lines


def _within_arrays(place: Place, lengths: dict[Place, int]) -> Place:
    """A header's path: where it leads through an array of tables, it means the array's last table."""
    resolved: Place = ()
    for part in place[:-1]:
        resolved = (*resolved, part)
        if resolved in lengths:
            resolved = (*resolved, lengths[resolved] - 1)
    return (*resolved, place[-1])


def _toml_key(scanner: _Scanner, place: Place) -> Place:
    """A key, dotted or not, below a place."""
    dot = True
    while dot:
        match = _TOML_KEY.match(scanner.text, scanner.at)
        if match is None:
            raise ValueError(f"no key at {scanner.at}")
        scanner.at = match.end()
        part = match[1]
        place = (*place, tomllib.loads(f"x = {part}")["x"] if part[0] in "\"'" else part)
        dot = bool(match[2])
    return place


def _toml_pair(scanner: _Scanner, table: Place) -> None:
    begin = scanner.at
    place = _toml_key(scanner, table)
    end, scanner.at = scanner.at, begin
    for length in range(len(table) + 1, len(place) + 1):
        scanner.found(place[:length])
    scanner.at = end
    scanner.take("=")
    _toml_value(scanner, place)


def _toml_value(scanner: _Scanner, place: Place) -> None:
    scanner.skip(_TOML_GAP)
    scanner.found(place)
    if scanner.take("["):
        position = 0
        while not scanner.closes("]", _TOML_GAP):
            _toml_value(scanner, (*place, position))
            position += 1
    elif scanner.take("{"):
        while not scanner.closes("}", _TOML_GAP):
            _toml_pair(scanner, place)
    else:
        scanner.skip(_TOML_SCALAR)

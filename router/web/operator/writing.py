"""The configuration file as operators change it: what may be shown, what is wrong, and how it is replaced."""

from __future__ import annotations

import difflib
import fcntl
import hashlib
import os
import re
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic_core import from_json

from mini_llm.config_file import read_text
from mini_llm.errors import ConfigError, ConfigErrors
from router.errors import FileChanged, HoldsSecret, NotEditable

MAX_BYTES: Final = 2**20
"""A longer file is not edited in a browser."""
MOST_LETTERS: Final = 120
"""Of a line that is shown beside what is wrong with it."""
SECRETS: Final = (("providers", "*", "api_key"), ("relay", "rpc_url"))
"""Where the schema has secrets; `*` is any name."""
_FIELD: Final = re.compile(r"""(?:api_key|rpc_url)["']?\s*[:=]\s*["']+([^"'\n]*)""")
_REFERENCE: Final = re.compile(r"\$\{[^{}]+\}")
_LOGIN: Final = re.compile(r"""://[^/?#\s"'@]*[^/?#\s"'@:][^/?#\s"'@]*@""")
"""A user or password within an address."""


@dataclass(frozen=True)
class Fault:
    """Something wrong with a text: its line, from 1 (None if it is not known), and that line's words."""

    line: int | None
    text: str
    problem: str


def digest(text: str) -> str:
    """What tells one state of the file from another."""
    return hashlib.sha256(text.encode()).hexdigest()


def read_file(path: Path) -> str:
    """The file's text, to be shown.

    Raises:
        NotEditable: it cannot be read, or is too long.
        HoldsSecret: it may not be shown.
    """
    try:
        text = read_text(path)
    except ConfigError as error:
        raise NotEditable(f"it {error.problem}") from None
    if len(text.encode()) > MAX_BYTES:
        raise NotEditable(f"it is larger than {MAX_BYTES} bytes")
    require_no_secret(path, text)
    return text


def require_no_secret(path: Path, text: str) -> None:
    """Raises HoldsSecret if a text has a secret where a reference belongs, as far as a broken text tells."""
    try:
        raw = tomllib.loads(text) if path.suffix == ".toml" else from_json(text)
    except ValueError:
        raw = {}
    found = tuple(
        ".".join(place) for pattern in SECRETS for place, value in _values(raw, pattern) if _is_secret(value)
    )
    # of what cannot be read, and of comments, the letters have to do
    letters = any(map(_is_secret, _FIELD.findall(text))) or _LOGIN.search(_REFERENCE.sub("", text))
    if found or letters:
        raise HoldsSecret(found or ("a line of it",))


def faults(error: ConfigError, text: str) -> list[Fault]:
    """All that is wrong, beside the lines that it is about."""
    lines = text.splitlines()
    errors = error.errors if isinstance(error, ConfigErrors) else (error,)
    found = []
    for one in errors:
        near = lines[one.line - 1].strip()[:MOST_LETTERS] if one.line and one.line <= len(lines) else ""
        where = one.where.rpartition(": ")[2] if ": " in one.where else ""
        found.append(Fault(one.line, near, f"{where}: {one.problem}" if where else one.problem))
    return found


def difference(old: str, new: str) -> list[tuple[str, str]]:
    """What changes: `same`, `out`, `in` or `gap`, and the line."""
    kinds = {" ": "same", "-": "out", "+": "in", "@": "gap"}
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="")
    return [(kinds[line[0]], line[1:] if line[0] in " -+" else "…") for line in list(lines)[2:]]


def why_not(path: Path, editable: bool) -> str | None:
    """Why the file cannot be changed here, None if it can."""
    if not editable:
        return "VIBES_CONFIG_EDITOR is no"
    if not os.access(path, os.W_OK):
        return f"the router may not write {path}"
    if not os.access(path.resolve().parent, os.W_OK):
        return f"the router may not write into the folder of {path}"
    return None


def replace_file(path: Path, text: str, expected: str) -> None:
    """Puts a text in the place of the file, whole or not at all; owner and mode stay.

    Raises:
        FileChanged: the file is not the one whose `digest` is expected.
        NotEditable: the system refuses.
    """
    place = path.resolve()
    with place.open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of two who write at once, the second finds another file
        if digest(read_text(place)) != expected:
            raise FileChanged
        _replace(place, text)


def _replace(place: Path, text: str) -> None:
    try:
        was = place.stat()
        number, name = tempfile.mkstemp(prefix=f".{place.name}.", dir=place.parent)
        try:
            with os.fdopen(number, "w", encoding="utf-8", newline="") as file:
                file.write(text)
                file.flush()
                os.fchmod(file.fileno(), was.st_mode & 0o7777)
                with suppress(PermissionError):  # only root gives files away
                    os.fchown(file.fileno(), was.st_uid, was.st_gid)
                os.fsync(file.fileno())
            Path(name).replace(place)
        except BaseException:
            with suppress(OSError):
                Path(name).unlink()
            raise
    except OSError as error:
        raise NotEditable(error.strerror or type(error).__name__) from None


def _values(
    raw: Any, pattern: tuple[str, ...], place: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    if not pattern:
        yield place, raw
    elif isinstance(raw, dict):
        for name in raw if pattern[0] == "*" else {pattern[0]} & raw.keys():
            yield from _values(raw[name], pattern[1:], (*place, str(name)))


def _is_secret(value: Any) -> bool:
    """It is more than references."""
    return isinstance(value, str) and bool(_REFERENCE.sub("", value).strip())

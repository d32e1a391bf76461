"""Reading a configuration file: JSON or TOML, secrets by reference, every error with its line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from mini_llm.config_lines import Place, json_lines, json_repeats, toml_lines
from mini_llm.config_words import problems_of
from mini_llm.errors import ConfigError, ConfigErrors

_REFERENCE = re.compile(r"\$\{(file:|keyring:)?([^{}]*)\}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_AT_LINE = re.compile(r"\bline ([0-9]+)")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
MAX_FILE_BYTES = 2**24
MAX_SECRET_BYTES = 2**16

Model = TypeVar("Model", bound=BaseModel)
Problem = tuple[Place, str]
"""Where in the configuration, and what is wrong there."""


def load_config(
    path: Path,
    schema: type[Model],
    environ: Mapping[str, str],
    written: Callable[[Any], Iterable[Problem]] | None = None,
) -> Model:
    """Reads a file into a schema; a name that ends in ``.toml`` says TOML, any other JSON.

    In strings ``${NAME}`` is taken from ``environ``, ``${file:/run/secrets/x}`` from that file, without the
    newline at its end, and ``${keyring:x}`` from the system's keyring. ``written`` looks at what the file
    says before any reference is followed.

    Raises:
        ConfigError: the file cannot be read or is not of its format.
        ConfigErrors: all values and references that do not fit, with their lines.
    """
    return parse_config(path, read_text(path), schema, environ, written=written)


def parse_config(
    path: Path,
    text: str,
    schema: type[Model],
    environ: Mapping[str, str],
    check: Callable[[Model], Iterable[Problem]] | None = None,
    written: Callable[[Any], Iterable[Problem]] | None = None,
) -> Model:
    """Like ``load_config``, of a text that is not in the file, or not yet; ``check`` looks at what the schema
    cannot say."""
    toml = path.suffix == ".toml"
    try:
        # pydantic's parser bounds nesting by itself; the standard library's rests on a raisable limit
        raw = tomllib.loads(text) if toml else from_json(text, allow_inf_nan=False)
    except ValueError as error:
        line = _AT_LINE.search(str(error))
        problem = f"is not {'TOML' if toml else 'JSON'}: {error}"
        raise ConfigError(str(path), problem, int(line[1]) if line else None) from None
    if isinstance(raw, dict):
        raw.pop("$schema", None)  # what editors look for
    repeats = [] if toml else json_repeats(text)  # TOML's parser refuses them itself
    if repeats:
        raise located(path, text, toml, [(place, _twice(*lines)) for place, *lines in repeats])
    problems: list[Problem] = [] if written is None else list(written(raw))
    if problems:
        raise located(path, text, toml, problems)
    resolved = _resolve(raw, environ, (), problems)
    if problems:
        raise located(path, text, toml, problems)
    try:
        config = schema.model_validate(resolved)
    except ValidationError as error:
        raise located(path, text, toml, problems_of(error, schema)) from None
    if check is not None and (problems := list(check(config))):
        raise located(path, text, toml, problems)
    return config


def _twice(first: int, second: int) -> str:
    return f"is written twice, in lines {first} and {second}: one of them would be forgotten"


def dotted(place: Place) -> str:
    """A place in words."""
    return ".".join(map(str, place)) or "top level"


def read_text(path: Path) -> str:
    """What a configuration file says.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise ConfigError(str(path), f"is larger than {MAX_FILE_BYTES} bytes")
        return data.decode("utf-8-sig")  # some editors begin a file with a mark
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ConfigError(str(path), "is not UTF-8") from None


def located(path: Path, text: str, toml: bool, problems: Iterable[Problem]) -> ConfigErrors:
    """The problems with file and line: of the value at fault, or of the nearest thing around it."""
    lines = (toml_lines if toml else json_lines)(text)
    told = []
    for place, problem in problems:
        near = next((place[:length] for length in range(len(place), 0, -1) if place[:length] in lines), None)
        line = lines[near] if near else None
        where = f"{path}:{line}" if line else str(path)
        told.append(ConfigError(f"{where}: {dotted(place)}", problem, line))
    return ConfigErrors(told)


def _resolve(value: Any, environ: Mapping[str, str], place: Place, problems: list[Problem]) -> Any:
    """Replaces the references in every string of a value; those that lead nowhere become problems."""
    if isinstance(value, dict):
        return {name: _resolve(item, environ, (*place, name), problems) for name, item in value.items()}
    if isinstance(value, list):
        return [_resolve(item, environ, (*place, at), problems) for at, item in enumerate(value)]
    if not isinstance(value, str):
        return value

    def lookup(match: re.Match[str]) -> str:
        try:
            if match[1] is None:
                found = _variable(match[2], environ)
            else:
                found = (_secret_file if match[1] == "file:" else _from_keyring)(match[2])
            return _usable(match[0], found)
        except LookupError as error:
            problems.append((place, str(error.args[0])))
            return ""

    return _REFERENCE.sub(lookup, value)


def _usable(reference: str, found: str) -> str:
    """A value that a reference leads to: some, on one line."""
    if not found:
        raise LookupError(f"{reference} is empty: give it a value, or remove the reference")
    if _CONTROL.search(found):
        raise LookupError(
            f"{reference} contains a line break or another control character, but must be a single line"
        )
    return found


def _variable(name: str, environ: Mapping[str, str]) -> str:
    if not _VARIABLE.fullmatch(name):
        raise LookupError(f"${{{name}}} is not a valid reference: write ${{NAME}} or ${{file:/path}}")
    if name not in environ:
        raise LookupError(f"${{{name}}} is not set: export {name}=… before the start")
    return environ[name]


def _from_keyring(name: str) -> str:
    from mini_llm.keychain import NoSecret, read_secret  # few configurations need it

    try:
        return read_secret(name)
    except NoSecret:
        raise LookupError(
            f"${{keyring:{name}}} is not in this machine's keyring: set the key again"
        ) from None


def _secret_file(name: str) -> str:
    try:
        with Path(name).open("rb") as file:
            data = file.read(MAX_SECRET_BYTES + 1)
        if len(data) > MAX_SECRET_BYTES:
            raise LookupError(f"${{file:{name}}} is larger than {MAX_SECRET_BYTES} bytes")
        return data.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise LookupError(f"${{file:{name}}} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise LookupError(f"${{file:{name}}} is not UTF-8") from None

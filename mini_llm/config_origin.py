"""Where a setting that was gathered from several places was written: its file and line."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic_core import from_json

from mini_llm.config import RoutingConfig
from mini_llm.config_file import Problem, dotted, located, read_text
from mini_llm.config_lines import Place
from mini_llm.errors import ConfigError, ConfigErrors

_DEPLOYMENTS: Final = "deployments"
"""Gathered into one list: a position in it is another one in the file."""


def told(config: RoutingConfig, problems: Iterable[Problem]) -> ConfigErrors:
    """The problems, each with the file and line at which it was written, as far as that is known."""
    errors: list[ConfigError] = []
    for place, problem in problems:
        errors += _told(config, place, problem)
    return ConfigErrors(errors)


def _told(config: RoutingConfig, place: Place, problem: str) -> Iterable[ConfigError]:
    origins: Mapping[str, str] = getattr(config, "origins", {})
    key = _id(config.deployments[int(place[1])]) if _is_deployment(place) else ".".join(map(str, place[1:2]))
    origin = origins.get(f"{place[0]}.{key}") or origins.get(str(place[0]))
    if origin is None:
        return [ConfigError(dotted(place), problem)]
    path = Path(origin)
    try:
        text = read_text(path)
    except ConfigError:  # no file: an argument, or the environment
        return [ConfigError(f"{origin}: {dotted(place)}", problem)]
    toml = path.suffix == ".toml"
    if _is_deployment(place):
        written = _written(text, toml)
        here = next((at for at, item in enumerate(written) if _id(item) == key), None)
        place = place if here is None else (_DEPLOYMENTS, here, *place[2:])
    return located(path, text, toml, [(place, problem)]).errors


def _is_deployment(place: Place) -> bool:
    return place[0] == _DEPLOYMENTS and len(place) > 1


def _written(text: str, toml: bool) -> list[Any]:
    try:
        raw = tomllib.loads(text) if toml else from_json(text)
        return list(raw[_DEPLOYMENTS])
    except (ValueError, KeyError, TypeError):  # it was changed since it was read
        return []


def _id(item: Any) -> str:
    fields = item if isinstance(item, Mapping) else vars(item)
    return fields.get("id") or f"{fields.get('provider')}/{fields.get('model')}"

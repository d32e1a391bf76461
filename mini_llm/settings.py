"""The settings of the library: gathered here, once, from everywhere they may be.

In this order, each thing from the first place that has it: arguments, ``mini-llm.config.json`` of the
project, ``config.json`` of the user's folder, keys in the environment. A provider, alias or route is taken
whole: an address from one place never meets a key from another.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from mini_llm.config_file import dotted, load_config
from mini_llm.config_sdk import Settings
from mini_llm.config_words import problems_of
from mini_llm.errors import ConfigError, ConfigErrors
from mini_llm.project_keys import strangers
from mini_llm.providers.registry import COMPANIES, find, with_key
from mini_llm.routing.build import deployment_id, overlaid
from mini_llm.userfile import FILE_NAME, current_folder, user_folder

__all__ = ["PROJECT_FILE", "Settings", "project_file", "read_settings"]

PROJECT_FILE: Final = "mini-llm.config.json"
USAGE_FILE: Final = "usage.db"
LOG_VARIABLE: Final = "MINI_LLM_USAGE_LOG"
_ARGUMENTS: Final = "arguments"
_OFF: Final = frozenset({"0", "false", "no", "off"})
_BASE_URLS: Final = {"openai": ("OPENAI_BASE_URL", ""), "anthropic": ("ANTHROPIC_BASE_URL", "/v1")}
"""Variables of official clients that say where their key is for, and what those clients add to it."""


@dataclass(frozen=True, slots=True)
class _Level:
    """What one place says."""

    origin: str
    settings: Settings


def read_settings(
    explicit: Mapping[str, Any] | None = None,
    *,
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    folder: Path | None = None,
) -> Settings:
    """Gathers the settings; ``Settings.origins`` says where each came from.

    Args:
        explicit: fields of ``Settings`` that the caller sets; they win over everything.
        file: a configuration file to read instead of the project's.
        environ: the environment; None is the process's.
        cwd: where the search for the project's file begins; None is the current folder.
        folder: the user's folder; None is ``$MINI_LLM_HOME`` or ``~/.mini-llm``.

    Raises:
        ConfigErrors: everything that is wrong in the first place that has something wrong.
    """
    environ = os.environ if environ is None else environ
    folder = folder or user_folder(environ)
    levels = list(_levels(explicit, file, environ, cwd or current_folder(), folder))
    settings, origins = _merged(levels)
    providers = {
        name: with_key(item, find(name, item.type), environ) for name, item in settings.providers.items()
    }
    log = environ.get(LOG_VARIABLE)
    if log is not None and origins.get("usage_log") != _ARGUMENTS:
        settings = settings.model_copy(update={"usage_log": log.strip().lower() not in _OFF})
        origins["usage_log"] = f"environment {LOG_VARIABLE}"
    usage_path = folder / USAGE_FILE if folder is not None else None
    return settings.model_copy(update={"providers": providers}).found(origins, usage_path)


def project_file(cwd: Path) -> Path | None:
    """The project's file: in ``cwd`` or, inside a repository, in a folder above it, up to the root."""
    roots = [cwd, *cwd.parents]
    top = next((place for place, folder in enumerate(roots) if _seen((folder / ".git").exists)), 0)
    return next(
        (found for folder in roots[: top + 1] if _seen((found := folder / PROJECT_FILE).exists)), None
    )


def _seen(look: Callable[[], bool]) -> bool:
    """Something is there; in a folder that this user may not look into (as after ``sudo -u``) is nothing."""
    try:
        return look()
    except PermissionError:
        return False


def _levels(
    explicit: Mapping[str, Any] | None,
    file: Path | None,
    environ: Mapping[str, str],
    cwd: Path,
    folder: Path | None,
) -> Iterator[_Level]:
    """What each place says, the first to be heard first."""
    if explicit:
        yield _Level(_ARGUMENTS, _checked(_ARGUMENTS, explicit))
    project = file or project_file(cwd)
    if project is not None:  # found and not named, it may be a stranger's
        written = strangers if file is None else None
        yield _Level(str(project), load_config(project, Settings, environ, written=written))
    user = folder / FILE_NAME if folder is not None else None
    if user is not None and _seen(user.exists):
        yield _Level(str(user), load_config(user, Settings, environ))
    for company in COMPANIES.values():
        if company.url is not None and company.key_variable and environ.get(company.key_variable):
            provider: dict[str, Any] = {"type": company.type, "api_key": environ[company.key_variable]}
            variable, suffix = _BASE_URLS.get(company.type, ("", ""))
            if url := environ.get(variable):
                provider["base_url"] = url.rstrip("/") + suffix
            origin = f"environment {company.key_variable}"
            yield _Level(origin, _checked(f"environment {variable}", {"providers": {company.type: provider}}))


def _checked(where: str, fields: Mapping[str, Any]) -> Settings:
    try:
        return Settings.model_validate(dict(fields))
    except ValidationError as error:
        found = problems_of(error, Settings)
        problems = [ConfigError(f"{where}: {dotted(place)}", problem) for place, problem in found]
        raise ConfigErrors(problems) from None


def _merged(levels: list[_Level]) -> tuple[Settings, dict[str, str]]:
    """Each thing from the first level that has it, and where that is."""
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for level in levels:
        for name in Settings.model_fields:
            if name in level.settings.model_fields_set:
                said = getattr(level.settings, name)
                values[name] = _joined(name, values.get(name), said, level.origin, origins)
    return Settings.model_validate({}).model_copy(update=values), origins


def _joined(name: str, known: Any, said: Any, origin: str, origins: dict[str, str]) -> Any:
    """What is known of a field with what a later place says about it."""
    if isinstance(said, Mapping):
        fresh = {key: item for key, item in said.items() if key not in (known or {})}
        origins.update({f"{name}.{key}": origin for key in fresh})
        return {**(known or {}), **fresh}
    if name == "deployments":
        ids = {deployment_id(item) for item in known or ()}
        fresh_items = tuple(item for item in said if deployment_id(item) not in ids)
        origins.update({f"{name}.{deployment_id(item)}": origin for item in fresh_items})
        return (*(known or ()), *fresh_items)
    if name in origins:
        if isinstance(said, BaseModel) and isinstance(known, BaseModel) and name != "wallet":
            return overlaid(said, known)  # type: ignore[type-var]
        return known
    origins[name] = origin
    return said

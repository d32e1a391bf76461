"""From what a person says of a provider to what is written down."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import click

from mini_llm.cli.ending import MISUSED, Trouble

CUSTOM: Final = "openai"
"""What a server of one's own is taken to speak."""


def kind_of(name: str, url: str | None) -> str:
    """What a provider of this name speaks.

    Raises:
        Trouble: nobody knows, and no address is given.
    """
    from mini_llm.providers.plugins import plugin_names
    from mini_llm.providers.registry import COMPANIES

    known = {"local", *COMPANIES, *plugin_names()}
    if name in known:
        return name
    if url is None:
        told = ", ".join(sorted(known))
        raise Trouble(f"{name!r} is not a known provider: say --url http://…, or take one of {told}", MISUSED)
    return CUSTOM


def address_of(kind: str, url: str) -> str:
    """The address up to and with the version.

    Raises:
        Trouble: it is none.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Trouble(f"{url!r} is not an address: write it as http://localhost:8080", MISUSED)
    bare = url.rstrip("/")
    return f"{bare}/v1" if kind == CUSTOM and not parts.path.strip("/") else bare


def key_of(
    environ: Mapping[str, str], name: str, kind: str, url: str | None, given: str | None
) -> str | None:
    """The key to keep, None to keep none.

    Raises:
        Trouble: one is needed and there is none, or it can be no key.
    """
    from pydantic import SecretStr

    from mini_llm.config_base import for_header

    key = _key_of(environ, name, kind, url, given)
    try:
        return for_header(SecretStr(key)).get_secret_value() if key else None
    except ValueError as error:
        raise Trouble(f"this key {error}", MISUSED) from None


def _key_of(
    environ: Mapping[str, str], name: str, kind: str, url: str | None, given: str | None
) -> str | None:
    from mini_llm.providers.registry import COMPANIES

    if given == "-":
        given = sys.stdin.readline().strip()
        if not given:
            raise Trouble("there is no key on standard input", MISUSED)
    if given:
        return given
    company = COMPANIES.get(kind)
    variable = company.key_variable if company else None
    if company is None or variable is None:
        return None
    if url is None and environ.get(variable):
        click.echo(f"its key is taken from {variable} at each call")
        return None
    if sys.stdin.isatty():
        if url is None:
            return str(click.prompt(f"API key of {company.title}", hide_input=True, err=True))
        words = f"API key of {name} (empty for none)"
        return click.prompt(words, hide_input=True, err=True, default="", show_default=False) or None
    if url is None:
        raise Trouble(
            f"{company.title} needs a key: pipe it to `mini-llm providers add {name} --key -`", MISUSED
        )
    return None


def check_entry(name: str, entry: dict[str, Any], environ: Mapping[str, str]) -> None:
    """Looks at an entry before it is written.

    Raises:
        Trouble, ConfigErrors: it cannot work.
    """
    from pydantic import ValidationError

    from mini_llm.config_file import dotted
    from mini_llm.config_sdk import VIBES_PER_USD, Settings
    from mini_llm.config_words import problems_of
    from mini_llm.routing.build import check

    try:
        settings = Settings.model_validate({"providers": {name: entry}})
    except ValidationError as error:
        place, problem = problems_of(error, Settings)[0]
        raise Trouble(f"{dotted(place)}: {problem}", MISUSED) from None
    check(settings, VIBES_PER_USD, environ)

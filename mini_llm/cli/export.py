"""``mini-llm export``: plain OpenAI settings, for programs that know nothing of this one."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from mini_llm.cli.ending import MISUSED, NOT_SET_UP, Trouble
from mini_llm.cli.state import State, pass_state, print_json
from mini_llm.config_sdk import WALLET

if TYPE_CHECKING:
    from mini_llm.settings import Settings

_OPENAI_PATHS: Final = {"anthropic": "", "google": "/openai"}
"""Where those companies take OpenAI's format, after their own address.

Source: https://platform.claude.com/docs/en/api/openai-sdk, https://ai.google.dev/gemini-api/docs/openai
"""


@dataclass(frozen=True, slots=True)
class _Plain:
    """An address that speaks OpenAI's format, its key, and the variable that the key came from."""

    base_url: str
    key: str | None
    variable: str | None


@click.command()
@click.option("--provider", help="Which provider to print.  [default: the first, else the wallet]")
@click.option(
    "--format",
    "form",
    type=click.Choice(["shell", "dotenv", "json"]),
    default="shell",
    show_default=True,
    help="Lines for a shell or a .env file, or JSON with all providers.",
)
@click.option("--show-keys", is_flag=True, help="Write the keys themselves.")
@pass_state
def export(state: State, provider: str | None, form: str, show_keys: bool) -> None:
    """Print settings that any OpenAI client understands, so that you can leave this program.

    A key is written only with --show-keys; where it comes from a variable, the variable is named.

    \b
    Examples:
      eval "$(mini-llm export --show-keys)"
      mini-llm export --provider groq --format dotenv --show-keys > .env
      mini-llm export --format json
    """
    settings = state.settings()
    plain = {
        name: one for name in (*settings.providers, WALLET) if (one := _plain(settings, name)) is not None
    }
    if provider is not None and provider not in plain:
        raise Trouble(
            f"there is no {provider!r} with an address; there is: {', '.join(plain) or 'none'}", MISUSED
        )
    if not plain:
        raise Trouble(
            "there is nothing to export: add a provider, or sign in with `mini-llm login`", NOT_SET_UP
        )
    if form == "json":
        chosen = plain if provider is None else {provider: plain[provider]}
        print_json({"providers": {name: _fields(one, show_keys) for name, one in chosen.items()}})
    else:
        for line in _lines(plain[provider or next(iter(plain))], form, show_keys):
            click.echo(line)


def _plain(settings: Settings, name: str) -> _Plain | None:
    """A provider's address and key; None for one without (the servers of this machine, plugins)."""
    from mini_llm.providers.registry import COMPANIES

    if name == WALLET:
        wallet = settings.wallet
        if wallet is None or wallet.base_url is None:
            return None
        return _Plain(wallet.base_url, wallet.api_key.get_secret_value() if wallet.api_key else None, None)
    item = settings.providers[name]
    company = COMPANIES.get(item.type)
    url = str(item.base_url) if item.base_url is not None else company.url if company else None
    if url is None:
        return None
    origin = settings.origins.get(f"providers.{name}", "")
    variable = origin.removeprefix("environment ") if origin.startswith("environment ") else None
    key = item.api_key.get_secret_value() if item.api_key is not None else None
    return _Plain(url.rstrip("/") + _OPENAI_PATHS.get(item.type, ""), key, variable)


def _fields(plain: _Plain, show_keys: bool) -> dict[str, Any]:
    return {
        "base_url": plain.base_url,
        "api_key": plain.key if show_keys else None,
        "has_key": plain.key is not None,
        "key_variable": plain.variable,
    }


def _lines(plain: _Plain, form: str, show_keys: bool) -> list[str]:
    shell = form == "shell"
    word, quoted = ("export ", shlex.quote) if shell else ("", _dotenv)
    lines = [f"{word}OPENAI_BASE_URL={quoted(plain.base_url)}"]
    if plain.key is None:
        lines.append(f"{word}OPENAI_API_KEY=none")  # clients insist on one
    elif show_keys:
        lines.append(f"{word}OPENAI_API_KEY={quoted(plain.key)}")
    elif plain.variable is not None and shell:
        lines.append(f'export OPENAI_API_KEY="${plain.variable}"')
    else:
        lines.append("# OPENAI_API_KEY is left out: --show-keys writes it")
    return lines


def _dotenv(value: str) -> str:
    return (
        value
        if value.isascii() and not set(value) & set(" #'\"$\\`\n")
        else "'" + value.replace("'", "\\'") + "'"
    )

"""``mini-llm providers``: add, list, remove and test."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from mini_llm.cli import adding
from mini_llm.cli.ending import MISUSED, UNWELL, Trouble
from mini_llm.cli.state import State, json_option, pass_state, print_json, printable, table
from mini_llm.userfile import forget_secret

if TYPE_CHECKING:
    from mini_llm.config_sdk import OpenProviderConfig, Settings
    from mini_llm.probe import Probe


@click.group(invoke_without_command=True)
@click.pass_context
def providers(context: click.Context) -> None:
    """Manage companies, servers of your own and servers on this machine; without a command, list them.

    \b
    Examples:
      mini-llm providers add openai                     asks for the key, hidden
      pass show openai | mini-llm providers add openai --key -
      mini-llm providers add custom --url http://localhost:8080
      mini-llm providers add local                      Ollama, llama.cpp, vLLM, LM Studio
      mini-llm providers test
    """
    if context.invoked_subcommand is None:
        context.invoke(list_providers)


@providers.command("add")
@click.argument("name")
@click.option(
    "--key", help="API key; - reads it from standard input, ${NAME} from the environment at each call."
)
@click.option("--url", help="Address of a server of your own, with or without /v1.")
@click.option("--type", "kind", help="What it speaks.  [default: NAME if that is known, else openai]")
@click.option("--model", "models", multiple=True, help="A model that it serves, or pattern*; repeatable.")
@click.option("--no-test", is_flag=True, help="Do not test whether it accepts the key.")
@pass_state
def add_provider(
    state: State,
    name: str,
    key: str | None,
    url: str | None,
    kind: str | None,
    models: tuple[str, ...],
    no_test: bool,
) -> None:
    """Add the provider NAME to your own settings, or replace it.

    The key goes to the system's keyring where one works, else to ~/.mini-llm/config.json, which only you can
    read. Without --key it is taken from the company's variable, or asked for on a terminal.

    \b
    Examples:
      mini-llm providers add anthropic
      echo "$KEY" | mini-llm providers add groq --key -
      mini-llm providers add work --type azure --url https://me.openai.azure.com/openai/v1 --key '${KEY}'
      mini-llm providers add custom --url http://localhost:8080 --model 'llama*'
    """
    kind = kind or adding.kind_of(name, url)
    entry: dict[str, Any] = {"type": kind}
    if url is not None:
        entry["base_url"] = adding.address_of(kind, url)
    if models:
        entry["models"] = list(models)
    key = adding.key_of(state.environ, name, kind, url, key)
    adding.check_entry(name, entry | ({"api_key": key} if key else {}), state.environ)

    def put(fields: dict[str, Any]) -> Any:
        known = fields.setdefault("providers", {})
        before = known.get(name)
        known[name] = entry
        return before

    before = state.user_file.edit(put)
    forget_secret(before.get("api_key") if isinstance(before, dict) else None)
    click.echo(f"{'added' if before is None else 'replaced'} {name} in {state.user_file.path}")
    if key:
        keyring = state.user_file.put_secret(("providers", name, "api_key"), key)
        click.echo(f"key kept in {keyring or 'the same file, which only you can read'}")
    if not no_test:
        (told,) = _probed({name: state.settings().providers[name]}.items())
        click.echo(told_line(told), err=not told.healthy)


@providers.command("list")
@json_option
@pass_state
def list_providers(state: State, as_json: bool = False) -> None:
    """List the providers, in the order in which they are asked, and where each is set up.

    \b
    Example: mini-llm providers list --json
    """
    settings = state.settings()
    listed = [_entry(settings, name, item) for name, item in settings.providers.items()]
    if as_json:
        print_json({"providers": listed})
    elif listed:
        rows = [
            (one["name"], one["type"], one["base_url"] or "", "yes" if one["key"] else "no", one["origin"])
            for one in listed
        ]
        click.echo(table([("NAME", "TYPE", "ADDRESS", "KEY", "SET UP IN"), *rows]))
    else:
        click.echo("no providers: `mini-llm providers add NAME` adds one, `mini-llm login` uses a wallet")


def _entry(settings: Settings, name: str, item: OpenProviderConfig) -> dict[str, Any]:
    """A provider for programs."""
    return {
        "name": name,
        "type": item.type,
        "base_url": _where(item),
        "key": item.api_key is not None,
        "models": list(item.models) if item.models else None,
        "origin": settings.origins[f"providers.{name}"],
    }


@providers.command("remove")
@click.argument("name")
@pass_state
def remove_provider(state: State, name: str) -> None:
    """Remove the provider NAME from your own settings, and its key from the keyring.

    \b
    Example: mini-llm providers remove groq
    """
    entry = state.user_file.edit(lambda fields: fields.get("providers", {}).pop(name, None))
    if entry is None:
        raise Trouble(f"{name!r} is not in {state.user_file.path}{_elsewhere(state, name)}")
    forget_secret(entry.get("api_key") if isinstance(entry, dict) else None)
    click.echo(f"removed {name}{_elsewhere(state, name)}")


@providers.command("test")
@click.argument("names", nargs=-1)
@json_option
@pass_state
def test_providers(state: State, names: tuple[str, ...], as_json: bool) -> None:
    """Test whether providers (all, or those named) answer and accept the key. It costs no tokens.

    \b
    Examples:
      mini-llm providers test
      mini-llm providers test openai --json
    The exit code is 4 if one does not work. Some companies list their models to anybody, so this does not
    always show whether the key is good; a short `mini-llm chat -m PROVIDER/MODEL` does.
    """
    known = state.settings().providers
    if unknown := [name for name in names if name not in known]:
        raise Trouble(f"there is no provider {unknown[0]!r}; there is: {', '.join(known) or 'none'}", MISUSED)
    asked = {name: known[name] for name in names or known}
    if not asked:
        raise Trouble("there are no providers: add one with `mini-llm providers add NAME`", MISUSED)
    told = _probed(asked.items())
    if as_json:
        print_json({"providers": [as_fields(one) for one in told]})
    else:
        click.echo("\n".join(map(told_line, told)))
    if not all(one.healthy for one in told):
        raise click.exceptions.Exit(UNWELL)


def as_fields(told: Probe) -> dict[str, Any]:
    """A probe for programs."""
    return {
        "name": told.provider,
        "healthy": told.healthy,
        "state": told.state,
        "detail": told.detail,
        "latency_ms": told.ms,
        "models": None if told.models is None else len(told.models),
    }


def _probed(asked: Iterable[tuple[str, OpenProviderConfig]]) -> list[Probe]:
    from mini_llm.probe import probe_all

    return asyncio.run(probe_all(dict(asked)))


def told_line(told: Probe) -> str:
    """A probe for a person."""
    mark = click.style("ok  ", fg="green") if told.healthy else click.style("fail", fg="red")
    speed = "" if told.ms is None else f" in {told.ms} ms"
    many = "" if told.models is None else f", {len(told.models)} models"
    return f"{mark} {printable(told.provider)}: {printable(told.detail)}{speed}{many}"


def _where(item: OpenProviderConfig) -> str | None:
    from mini_llm.providers.registry import COMPANIES

    if item.base_url is not None:
        return str(item.base_url)
    if item.servers:
        return ", ".join(map(str, item.servers))
    return COMPANIES[item.type].url if item.type in COMPANIES else None


def _elsewhere(state: State, name: str) -> str:
    """Where else a provider is set up."""
    origin = state.settings().origins.get(f"providers.{name}")
    return f"; it is set up in {origin}" if origin else ""

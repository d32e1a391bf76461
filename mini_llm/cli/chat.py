"""``mini-llm chat``: one question to a model."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import click

from mini_llm.cli.ending import MISUSED, Trouble
from mini_llm.cli.state import State, json_option, pass_state, print_json

if TYPE_CHECKING:
    from mini_llm.client import AsyncClient
    from mini_llm.hops import Hop
    from mini_llm.records import Result
    from mini_llm.streams import AsyncChatStream

DEFAULT_ALIAS = "default"
_BREAKS_LINES = frozenset("\n\t")


@click.command()
@click.argument("words", nargs=-1, metavar="[TEXT]…")
@click.option("-m", "--model", help="A model, an alias, or PROVIDER/MODEL.  [default: the alias `default`]")
@click.option("-s", "--system", help="The system prompt.")
@click.option("--max-tokens", type=click.IntRange(1), help="Longest answer in tokens.")
@click.option("--temperature", type=click.FloatRange(0, 2), help="Randomness of the answer.")
@click.option("--no-stream", is_flag=True, help="Print the answer only when it is complete.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but the answer.")
@json_option
@pass_state
def chat(
    state: State,
    words: tuple[str, ...],
    model: str | None,
    system: str | None,
    max_tokens: int | None,
    temperature: float | None,
    no_stream: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Ask a model. Piped input is added after the text.

    The answer goes to standard output; who answered, tokens, price and who failed before to stderr.

    \b
    Examples:
      mini-llm chat -m gpt-4o-mini "Why is the sky blue?"
      mini-llm alias set default=gpt-4o-mini && mini-llm chat "Hello"
      git diff | mini-llm chat -m fast "Write a commit message for this"
      mini-llm chat -m openai/gpt-4o-mini --json "Hello" | jq .cost_usd
    """
    text = question(words)
    fields: dict[str, Any] = {"max_tokens": max_tokens, "temperature": temperature}
    fields = {name: value for name, value in fields.items() if value is not None}
    if system is not None:
        fields["messages"] = [{"role": "system", "content": system}]
    asyncio.run(_ask(state, text, model, fields, whole=no_stream, quiet=quiet, as_json=as_json))


async def _ask(
    state: State,
    text: str,
    model: str | None,
    fields: dict[str, Any],
    *,
    whole: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    from mini_llm.client import AsyncClient

    async with AsyncClient(state.settings()) as client:
        model = model or await _default_model(client)
        if as_json:
            print_json(_fields(model, await client.chat(text, model=model, **fields)))
            return
        answer: Result | AsyncChatStream
        if whole:
            answer = result = await client.chat(text, model=model, **fields)
            _write(result.text + "\n")
        else:
            answer = stream = await client.chat(text, model=model, stream=True, **fields)
            async with stream:
                await _print(stream.texts())
        if not quiet:
            _tell(answer)


def _fields(model: str, answer: Result) -> dict[str, Any]:
    """A whole answer for programs."""
    return {
        "model": model,
        "text": answer.text,
        "provider": answer.provider,
        "deployment": answer.deployment,
        "usage": answer["usage"].model_dump(),
        "cost_usd": answer.cost.usd if answer.cost else None,
        "hops": [hop_fields(hop) for hop in answer.hops],
    }


def hop_fields(hop: Hop) -> dict[str, Any]:
    """A hop for programs."""
    return {
        "provider": hop.provider,
        "deployment": hop.deployment,
        "outcome": hop.outcome,
        "reason": hop.reason or None,
        "ms": hop.ms,
    }


def question(words: tuple[str, ...]) -> str:
    """The text of the arguments, and what is piped in; bytes that are no text become question marks."""
    parts = [" ".join(words).encode(errors="replace").decode()] if words else []
    if not sys.stdin.isatty():
        parts.append(sys.stdin.read().strip())
    text = "\n\n".join(filter(None, parts))
    if not text:
        raise Trouble('say something: mini-llm chat "Hello"', MISUSED)
    return text


async def _default_model(client: AsyncClient) -> str:
    """The alias of that name, else the first model that is configured or found on this machine.

    With nothing but a wallet of this protocol its router chooses, within the limits that its owner set.

    Raises:
        Trouble: there is none, and models that cost money are not chosen for anybody.
    """
    from mini_llm.routing.asked import AUTO

    settings = client.engine.settings
    if DEFAULT_ALIAS in settings.aliases:
        return DEFAULT_ALIAS
    offered = await client.engine.catalog.offers()
    if not offered and not settings.providers and settings.wallet and settings.wallet.type == "vibes":
        return AUTO
    if not offered:
        raise Trouble(
            "say which model with -m MODEL, or set one for good: mini-llm alias set default=MODEL"
            " (`mini-llm models` lists them)",
            MISUSED,
        )
    return next(iter(offered))


async def _print(texts: AsyncIterator[str]) -> None:
    """Writes pieces as they come, and ends the line."""
    last = "\n"
    try:
        async for text in texts:
            _write(text)
            last = text
    finally:
        if not last.endswith("\n"):
            _write("\n")


def _write(text: str) -> None:
    """Writes a model's words: to a terminal without the controls by which they could take it over."""
    if sys.stdout.isatty():
        text = "".join(letter for letter in text if letter in _BREAKS_LINES or letter.isprintable())
    sys.stdout.write(text)
    sys.stdout.flush()


def _tell(answer: Result | AsyncChatStream) -> None:
    *vain, served = answer.hops
    for hop in vain:
        click.echo(click.style(f"failed before: {hop}", fg="yellow"), err=True)
    usage: Any = answer.usage
    price = "price not known" if answer.cost is None else f"${answer.cost.usd}"
    tokens = f"{usage.prompt_tokens} tokens read, {usage.completion_tokens} written"
    ms = sum(hop.ms for hop in vain) + served.ms
    click.echo(click.style(f"{answer.deployment} · {tokens} · {price} · {ms} ms", dim=True), err=True)

"""``mini-llm start``: the local gateway."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

import click

from mini_llm.cli.ending import MISUSED, Trouble
from mini_llm.cli.state import State, pass_state, printable

if TYPE_CHECKING:
    from mini_llm.server.exchange import Served

DEFAULT_PORT: Final = 8484
"""Not one of the ports on which local model servers are looked for."""
ANY_KEY: Final = "mini-llm"
"""What tools that insist on a key may send where none is asked for."""


@click.command()
@click.option(
    "--port",
    default=DEFAULT_PORT,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port; 0 takes a free one.",
)
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address; any but this machine's own needs --key."
)
@click.option(
    "--key", envvar="MINI_LLM_START_KEY", help="Callers must send this key.  [env: MINI_LLM_START_KEY]"
)
@click.option("-q", "--quiet", is_flag=True, help="Do not print a line for each call.")
@pass_state
def start(state: State, port: int, host: str, key: str | None, quiet: bool) -> None:
    """Serve your routes to tools that only take a base URL, until Ctrl-C.

    It serves OpenAI's chat, responses and embeddings, Anthropic's messages and Google's Gemini API. It
    keeps neither accounts nor texts. Web pages cannot call it without the key.

    \b
    Examples:
      mini-llm start
      MINI_LLM_START_KEY=$(cat key.txt) mini-llm start --port 9000 --host 0.0.0.0
      ANTHROPIC_BASE_URL=http://127.0.0.1:8484 ANTHROPIC_API_KEY=mini-llm claude
    """
    from mini_llm.server.app import is_loopback
    from mini_llm.server.run import serve

    if key == "":  # as of a variable that is not set: nobody means to let everybody in
        raise Trouble("--key is empty: give a key, or leave the option out", MISUSED)
    if key is None and not is_loopback(host):
        raise Trouble(
            f"{host} can be reached by others: say --key KEY, which callers must then send", MISUSED
        )

    def listens(url: str) -> None:
        click.echo(f"OPENAI_BASE_URL={url}")
        click.echo(f"OPENAI_API_KEY={'the one you gave' if key else f'{ANY_KEY} (any will do)'}")
        click.echo("Ctrl-C stops it.", err=True)

    try:
        serve(state.settings(), host, port, key, listens, None if quiet else _tell)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        advice = "choose another with --port" if taken else error.strerror
        raise Trouble(f"cannot listen on {host}, port {port}: {advice}") from None


def _tell(served: Served) -> None:
    """One line on standard error; nothing of what was said."""
    colour = "green" if served.status < 400 else "red"
    who = f" {served.deployment}" if served.deployment else ""
    cost = f" ${served.cost_usd}" if served.cost_usd is not None else ""
    called = printable(served.path)  # by anybody who can reach the port
    click.echo(f"{click.style(str(served.status), fg=colour)} {called}{who} {served.ms} ms{cost}", err=True)

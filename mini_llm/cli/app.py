"""The group of all commands. It knows each by a line of help, and imports one when it is called."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NoReturn

import click
from click.shell_completion import shell_complete

from mini_llm.cli.ending import (
    DONE,
    EXIT_CODES,
    FAILED,
    INTERRUPTED,
    NO_READER,
    code_of,
    colours_wanted,
    drop_output,
    tell,
)
from mini_llm.cli.lazy import LazyGroup, Sections
from mini_llm.cli.state import State
from mini_llm.errors import MiniLLMError

PROGRAM: Final = "mini-llm"
COMPLETE: Final = "_MINI_LLM_COMPLETE"
"""Variable through which shells ask for completions."""

SECTIONS: Final[Sections] = {
    "Use": {
        "chat": ("mini_llm.cli.chat:chat", "Ask a model, and see tokens, price and who answered."),
        "models": ("mini_llm.cli.models:models", "List the models that can be called, and their prices."),
        "route": ("mini_llm.cli.route:route", "Show which model a question would go to, and why."),
        "start": ("mini_llm.cli.start:start", "Serve an OpenAI-compatible gateway on this machine."),
        "usage": ("mini_llm.cli.usage:usage", "Show calls, tokens and cost of the last days."),
    },
    "Pay from a wallet": {
        "login": ("mini_llm.cli.login:login", "Sign in to a router with a wallet."),
        "logout": ("mini_llm.cli.login:logout", "End the key of the last login."),
        "approve": ("mini_llm.cli.approve:approve", "Approve another program's login with a key file."),
        "deposit": ("mini_llm.cli.wallet:deposit", "Move VIBES from the wallet to the account."),
        "withdraw": ("mini_llm.cli.wallet:withdraw", "Move VIBES from the account to the wallet."),
        "balance": ("mini_llm.cli.balance:balance", "Show what the wallet and the account have."),
    },
    "Set up": {
        "providers": ("mini_llm.cli.providers:providers", "Add, list, remove and test providers."),
        "alias": ("mini_llm.cli.alias:alias", "Give models names of your own."),
        "config": ("mini_llm.cli.config:config", "Show where settings come from, and check them."),
        "export": ("mini_llm.cli.export:export", "Print plain OpenAI settings for other programs."),
        "completion": ("mini_llm.cli.completion:completion", "Print the completion script of a shell."),
    },
    "Look": {
        "status": ("mini_llm.cli.status:status", "Show wallet, today's usage and the health of providers."),
        "doctor": ("mini_llm.cli.doctor:doctor", "Find what is wrong, and say how to fix it."),
    },
}
"""Every command: where it is, and what it does."""


class Commands(LazyGroup):
    """All commands; help ends with what a command's exit code means."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(sections=SECTIONS, **attributes)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """See click."""
        super().format_commands(ctx, formatter)
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), meaning) for code, meaning in EXIT_CODES.items()])


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name=PROGRAM, prog_name=PROGRAM)
@click.option(
    "--config",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Read this file instead of the project's mini-llm.config.json.",
)
@click.pass_context
def commands(context: click.Context, file: Path | None) -> None:
    """Call language models by one name, over your own keys, your own servers or a wallet.

    \b
    With a key of your own:
      export OPENAI_API_KEY=…           or: mini-llm providers add openai
      mini-llm chat "Why is the sky blue?"

    \b
    With a model on this machine:
      mini-llm providers add custom --url http://localhost:8080
      mini-llm alias set fast=llama3.2
      mini-llm chat -m fast "Why is the sky blue?"

    \b
    With a wallet:
      mini-llm login
      mini-llm chat "Why is the sky blue?"

    \b
    For programs that only take a base URL:
      mini-llm start

    Settings are read from mini-llm.config.json in the project and from ~/.mini-llm/config.json.
    """
    state: State = context.obj
    context.obj = replace(state, file=file)
    context.color = None if colours_wanted(state.environ) else False


def run(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs one command and ends the process."""
    environ = dict(os.environ)
    if instruction := environ.get(COMPLETE):
        sys.exit(shell_complete(commands, {}, PROGRAM, COMPLETE, instruction))
    logging.getLogger("mini_llm").addHandler(logging.NullHandler())  # commands say themselves what happened
    _mend_streams()
    given = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(_exit_code(given or ["--help"], State(environ)))


def _mend_streams() -> None:
    """No letter ends a command, be it one that a terminal lacks or half of one; nor does a closed stream."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:  # closed, as in `mini-llm chat … <&-`
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _exit_code(arguments: list[str], state: State) -> int:
    try:
        with commands.make_context(PROGRAM, arguments, obj=state) as context:
            commands.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as end:
        return end.exit_code
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        drop_output()
        return NO_READER
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else PROGRAM
        words = error.format_message().rstrip(".")
        tell(f"{words}{'' if words.endswith('?') else ':'} see `{where} --help`", state.environ)
        return error.exit_code
    except click.ClickException as error:
        tell(error.format_message(), state.environ)
        return error.exit_code
    except MiniLLMError as error:
        from mini_llm.cli.mending import told

        tell(told(error), state.environ)
        return code_of(error)
    except OSError as error:  # of the output, such as a full disk: commands see to their own files
        drop_output()
        tell(f"{error.filename or 'the output'}: {error.strerror or error}", state.environ)
        return FAILED
    return DONE

"""``mini-llm doctor``: what is wrong, and how to mend it."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Final

import click

from mini_llm.cli import places
from mini_llm.cli.ending import UNWELL
from mini_llm.cli.findings import HINT, OK, PROBLEM, Finding
from mini_llm.cli.mending import LATER
from mini_llm.cli.state import State, json_option, pass_state, print_json, printable
from mini_llm.errors import ConfigError, ConfigErrors

if TYPE_CHECKING:
    from mini_llm.cli.credits import Credits
    from mini_llm.probe import Probe
    from mini_llm.settings import Settings

CLOCK_S: Final = 60
"""A clock that is off by more is told: signatures and rate limits go by it."""
_MARKS: Final = {OK: ("ok  ", "green"), HINT: ("hint", "yellow"), PROBLEM: ("fail", "red")}


@click.command()
@json_option
@pass_state
def doctor(state: State, as_json: bool) -> None:
    """Check settings, keys, keyring, providers, wallet and clock, and say how to fix what is wrong.

    The exit code is 4 if something is wrong. It costs no tokens and changes nothing.

    \b
    Examples:
      mini-llm doctor
      mini-llm doctor --json | jq -r '.findings[] | select(.level == "problem") | .mend'
    """
    findings = [*places.files(state), *places.machine(state)]
    try:
        settings = state.settings()
    except ConfigError as error:
        findings += [
            Finding(PROBLEM, one.where, one.problem, "correct it there, then run `mini-llm config check`")
            for one in (error.errors if isinstance(error, ConfigErrors) else (error,))
        ]
    else:
        findings += [*places.needs(settings), *asyncio.run(_asked(settings, state))]
    problems = [one for one in findings if one.level == PROBLEM]
    if as_json:
        print_json({"ok": not problems, "findings": [one.fields() for one in findings]})
    else:
        for one in findings:
            _print(one)
        click.echo(f"{len(problems)} problem{'' if len(problems) == 1 else 's'}")
    if problems:
        raise click.exceptions.Exit(UNWELL)


async def _asked(settings: Settings, state: State) -> list[Finding]:
    """What only the providers and the router can tell."""
    from mini_llm.cli.credits import look_at
    from mini_llm.config_sdk import VIBES_PER_USD
    from mini_llm.probe import probe_all
    from mini_llm.routing.build import check

    if not settings.providers and settings.wallet is None:
        mend = "run `mini-llm login`, or `mini-llm providers add NAME`, or export OPENAI_API_KEY=…"
        return [Finding(PROBLEM, "setup", "no provider and no wallet is set up", mend)]
    try:
        check(settings, VIBES_PER_USD, state.environ)
    except ConfigErrors as error:
        return [
            Finding(PROBLEM, one.where, one.problem, "correct it in the settings") for one in error.errors
        ]
    told = await probe_all(settings.providers)
    findings = [_of_provider(one, settings) for one in told]
    if settings.wallet is not None:
        credits = await look_at(settings.wallet)
        findings.append(_of_wallet(credits))
        told.append(credits.probe)
    return [*findings, *_of_clock(told)]


def _of_provider(told: Probe, settings: Settings) -> Finding:
    name = told.provider
    about, says = f"provider {name}", f"{told.detail}{'' if told.ms is None else f' in {told.ms} ms'}"
    if told.healthy:
        return Finding(OK, about, says)
    origin = settings.origins.get(f"providers.{name}", "")
    mends = {
        "key refused": f"set the key anew, {_where(origin)}",
        "unreachable": f"start that server, or correct its address in {origin}; "
        "`curl` to it tells whether the network is at fault",
        "busy": "wait, or ask the provider for a higher limit",
        "failing": LATER,
    }
    return Finding(PROBLEM, about, says, mends[told.state])


def _where(origin: str) -> str:
    """Where a key is set."""
    variable = origin.removeprefix("environment ")
    return f"in the variable {variable}" if variable != origin else f"in {origin} (`mini-llm providers add`)"


def _of_wallet(credits: Credits) -> Finding:
    if not credits.probe.healthy:
        mend = "run `mini-llm login`" if credits.probe.state == "key refused" else "check wallet.endpoint"
        return Finding(PROBLEM, "wallet", credits.probe.detail, mend)
    if credits.empty:
        return Finding(
            PROBLEM, "wallet", "has nothing left to spend", "add credits: `mini-llm deposit --help`"
        )
    left = "" if credits.available is None else f", ${credits.available.usd} left"
    return Finding(OK, "wallet", f"{credits.probe.detail}{left}")


def _of_clock(told: list[Probe]) -> list[Finding]:
    """The clock is wrong if everybody who tells the time says so; one server's own may be."""
    ahead = [one.ahead_s for one in told if one.ahead_s is not None]
    off = min(ahead, key=abs, default=0)
    if abs(off) <= CLOCK_S:
        return []
    says = f"is {abs(off)} s {'behind' if off > 0 else 'ahead of'} the providers'"
    mend = "set it: `timedatectl set-ntp true`" if os.name == "posix" else "set it by the system's settings"
    return [Finding(PROBLEM, "clock", says, mend)]


def _print(one: Finding) -> None:
    mark, colour = _MARKS[one.level]
    click.echo(f"{click.style(mark, fg=colour)} {printable(one.about)}: {printable(one.says)}")
    if one.mend:
        click.echo(f"     → {printable(one.mend)}")

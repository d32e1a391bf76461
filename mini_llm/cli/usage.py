"""``mini-llm usage``: what the calls of this machine came to."""

from __future__ import annotations

import re
import sqlite3
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import click

from mini_llm.cli.ending import Trouble
from mini_llm.cli.state import State, json_option, pass_state, print_json, table

if TYPE_CHECKING:
    from mini_llm.usage import Total

DAYS: Final = 30
BAR_CELLS: Final = 24
"""Width of the longest bar."""
_EIGHTHS: Final = " ▏▎▍▌▋▊▉"
"""Parts of a cell, from nothing to seven eighths."""
_AT_THE_END: Final = re.compile(f"[█{_EIGHTHS.strip()}]+$", re.MULTILINE)


@click.command()
@click.option("--by", type=click.Choice(["day", "model", "provider"]), default="day", show_default=True)
@click.option(
    "--days",
    type=click.IntRange(1, 36_500),
    default=DAYS,
    show_default=True,
    help="Today and the days before it.",
)
@click.option(
    "--prune",
    is_flag=True,
    help="Delete from the log what is older than these days, for good, and show the rest.",
)
@json_option
@pass_state
def usage(state: State, by: Any, days: int, prune: bool, as_json: bool) -> None:
    """Show calls, tokens and cost, from the log that each call adds to (never what was said).

    The log is ~/.mini-llm/usage.db; `"usage_log": false` in the settings or MINI_LLM_USAGE_LOG=off end it.

    \b
    Examples:
      mini-llm usage
      mini-llm usage --by model --days 7
      mini-llm usage --days 365 --prune
      mini-llm usage --json | jq .total.cost_usd
    """
    from mini_llm.usage import drop_calls, totals

    path = state.settings().usage_path
    if path is None:
        raise Trouble("no usage is kept: usage_log is off, or there is no home to keep it in")
    since_s = first_moment(days)
    try:
        deleted = drop_calls(path, since_s) if prune else 0
        found = totals(path, by, since_s)
    except (sqlite3.Error, OSError) as error:
        raise Trouble(f"{path} cannot be {'changed' if prune else 'read'} ({error})") from None
    if prune and not as_json:
        click.echo(f"deleted {deleted:,} calls from {path}", err=True)
    if as_json:
        rows = [as_fields(one) for one in found]
        told = {"by": by, "days": days, "rows": rows, "total": sum_up(found)}
        print_json(told | ({"deleted": deleted} if prune else {}))
    elif found:
        click.echo(_chart(found, by))
    else:
        click.echo(f"no calls in the last {days} days")


def first_moment(days: int) -> float:
    """When the first of so many days began, the last being today; seconds since 1970, local time."""
    today = datetime.fromtimestamp(time.time()).replace(hour=0, minute=0, second=0, microsecond=0)
    return (today - timedelta(days=days - 1)).timestamp()


def as_fields(total: Total) -> dict[str, Any]:
    """A total for programs."""
    return {
        "key": total.key,
        "calls": total.calls,
        "failed": total.failed,
        "prompt_tokens": total.prompt_tokens,
        "completion_tokens": total.completion_tokens,
        "cost_usd": total.cost.usd,
        "unpriced": total.unpriced,
    }


def sum_up(found: list[Total]) -> dict[str, Any]:
    """All of them together, for programs."""
    from mini_llm.costs import Cost

    counted = ("calls", "failed", "prompt_tokens", "completion_tokens", "unpriced")
    sums: dict[str, Any] = {name: sum(getattr(one, name) for one in found) for name in counted}
    return sums | {"cost_usd": Cost(sum(one.cost_base for one in found)).usd}


def _chart(found: list[Total], by: str) -> str:
    """A table with a bar for each row: of cost or, where nothing cost anything, of tokens."""
    priced = any(one.cost_base for one in found)
    sizes = [one.cost_base if priced else one.prompt_tokens + one.completion_tokens for one in found]
    most = max(*sizes, 1)
    rows = [(by.upper(), "CALLS", "FAILED", "READ", "WRITTEN", "COST", "")]
    for one, size in zip(found, sizes, strict=True):
        rows.append((one.key or "(nobody)", *_counts(as_fields(one)), _bar(size, most) if size else ""))
    rows.append(("all", *_counts(sum_up(found)), ""))
    text = _AT_THE_END.sub(lambda bar: click.style(bar[0], fg="cyan"), table(rows))
    return f"{text}\n* some calls have no known price" if any(one.unpriced for one in found) else text


def _counts(told: dict[str, Any]) -> tuple[str, str, str, str, str]:
    cost = f"${told['cost_usd']}{'*' if told['unpriced'] else ''}"
    calls, failed = f"{told['calls']:,}", f"{told['failed']:,}"
    return calls, failed, f"{told['prompt_tokens']:,}", f"{told['completion_tokens']:,}", cost


def _bar(size: int, most: int) -> str:
    """A bar as long as its size asks for, to an eighth of a cell, and at least that."""
    eighths = max(BAR_CELLS * 8 * size // most, 1)
    whole, part = divmod(eighths, 8)
    return "█" * whole + _EIGHTHS[part].strip()

"""Lives through simulated days with and without the conductor: ``conductor.py --seeds 5``.

Each seed draws a day of calls and faults (`simulated_day.py`), and every way of operating lives through the
same one: `weighted` and `latency` are routers without a conductor, balanced by weight or by latency; `hedged`
asks a second deployment beside a slow one; `conducted` has a conductor, `both` has both. A call is served at
the asked quality if it was answered whole, in time, by the model that it named or, of `auto`, one that
reaches the floor among all candidates at the prices of the time. Money is what the calls cost that both ways
served, with what was stopped on the way. Intervals: 95 %, Student's t over the days. Prints JSON and writes
benchmarks/results/conductor.json and the table in docs/routing/conductor.md.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import random
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Final

from gateway import commit, machine
from simulated_day import Day, JumpingLoop, Result
from simulated_traffic import HOURS, drawn_calls, drawn_faults

from router.config_conductor import ConductorConfig

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "routing" / "conductor.md"
BEGIN, END = "<!-- figures: benchmarks/conductor.py -->\n", "<!-- end of figures -->\n"
WAYS: Final = {
    "weighted": ("weighted", None, False),
    "latency": ("latency", None, False),
    "hedged": ("weighted", None, True),
    "conducted": ("weighted", ConductorConfig(mode="act"), False),
    "both": ("weighted", ConductorConfig(mode="act"), True),
}
"""Balance, conductor, and whether slow calls are hedged."""
DAYS: Final = {"usual": 1, "rough": 3}
"""How many days' faults come in one."""
T_975: Final = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""Student's quantiles for 1 to 9 degrees of freedom."""


def lived(seed: int, calls: int, faults: int, hours: Sequence[float]) -> dict[str, Result]:
    """The same day in each way; `faults` is how many days' faults come in it."""
    logging.disable(logging.ERROR)
    results = {}
    for name, way in WAYS.items():

        async def live(way: tuple[str, ConductorConfig | None, bool] = way) -> Result:
            balance, settings, hedge = way
            rng = random.Random(seed)  # noqa: S311
            drawn = [one for _ in range(faults) for one in drawn_faults(rng)]
            day = drawn_calls(calls, hours, rng)
            return await Day(day, drawn, balance, settings, seed, hedge=hedge).run()

        loop = JumpingLoop()
        results[name] = loop.run_until_complete(live())
        loop.close()
    return results


def mean(values: Sequence[float], digits: int) -> dict[str, Any]:
    """The mean of several days, with its interval where there are two at least."""
    told: dict[str, Any] = {"mean": round(fmean(values), digits)}
    if len(values) > 1:
        half = T_975[len(values) - 2] * stdev(values) / math.sqrt(len(values))
        told["interval"] = [round(fmean(values) - half, digits), round(fmean(values) + half, digits)]
    return told


def judged(days: Sequence[dict[str, Result]]) -> dict[str, Any]:
    """The figures of several days of one kind."""
    told: dict[str, Any] = {"ways": {}}
    for name in WAYS:
        fates = Counter(fate for day in days for fate in day[name].fates)
        total = sum(fates.values())
        told["ways"][name] = {
            "served_percent": mean([100 * day[name].served for day in days], 2),
            "worst_day_percent": round(min(100 * day[name].served for day in days), 2),
            "lost_percent": {
                fate: round(100 * count / total, 3) for fate, count in fates.items() if fate != "served"
            },
            "cheaper_percent": mean([saved(day["weighted"], day[name]) for day in days], 2),
        }
    conducted = [day["conducted"] for day in days]
    changes = [float(one.decisions.total()) for one in conducted]
    kinds = sum((one.decisions for one in conducted), Counter[str]())
    told["interventions_a_day"] = mean(changes, 1) | {
        "kinds": {kind: round(count / len(days), 1) for kind, count in sorted(kinds.items())},
        "refused_by_vote": round(fmean(one.refused for one in conducted), 1),
    }
    told["round_ms"] = spread([ms for one in conducted for ms in one.rounds_ms])
    told["round_cpu_ms"] = spread([ms for one in conducted for ms in one.rounds_cpu_ms])
    return told


def spread(values: list[float]) -> dict[str, float]:
    """Median, 99th percentile and the greatest."""
    values = sorted(values)
    at = {"p50": len(values) // 2, "p99": len(values) * 99 // 100, "max": -1}
    return {name: round(values[place], 3) for name, place in at.items()}


def saved(before: Result, after: Result) -> float:
    """How much less the calls cost that both served, percent."""
    both = [(x, y) for x, y in zip(before.costs_base, after.costs_base, strict=True) if x and y]
    return 100 - 100 * sum(y for _, y in both) / sum(x for x, _ in both)


def table(figures: dict[str, Any]) -> str:
    """The figures as the page has them."""
    lost_by = "late", "broke off", "below", "failed"
    heads = "day", "way", "served at the asked quality", "worst day", ", ".join(lost_by), "cheaper by"
    lines = [f"| {' | '.join(heads)} |", "|---|---|---|---:|---|---|"]
    for day, told in figures["days"].items():
        for name, one in told["ways"].items():
            lost = [f"{one['lost_percent'].get(fate, 0.0):.2f}" for fate in lost_by]
            lines.append(
                f"| {day} | {name} | {_told(one['served_percent'], 2)} | {one['worst_day_percent']:.2f} % "
                f"| {', '.join(lost)} % | {_told(one['cheaper_percent'], 1)} |"
            )
    lines.append("")
    for day, told in figures["days"].items():
        changes, rounds = told["interventions_a_day"], told["round_cpu_ms"]
        lines.append(
            f"A {day} day: {changes['mean']:.0f} changes (of them "
            + ", ".join(f"{count:.0f} {kind}" for kind, count in changes["kinds"].items())
            + f"), {changes['refused_by_vote']:.0f} proposals refused by vote; a round takes "
            f"{rounds['p50']:.2f} ms of a core in the median, {rounds['p99']:.2f} ms at the 99th percentile, "
            f"{rounds['max']:.1f} ms at most ({told['round_ms']['max']:.0f} ms with the time that other "
            "programs had the machine).\n"
        )
    return "\n".join(lines)


def _told(figure: dict[str, Any], digits: int) -> str:
    low, high = figure.get("interval", (figure["mean"], figure["mean"]))
    return f"{figure['mean']:.{digits}f} % ({low:.{digits}f} … {high:.{digits}f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5, choices=range(2, 11), metavar="2…10")
    parser.add_argument("--calls", type=int, default=10_000, help="calls of a day")
    parser.add_argument("--days", nargs="+", choices=DAYS, default=list(DAYS), help="others stay as they are")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--hours", type=Path, help="JSON list of 24 figures: the shape of your own traffic")
    parser.add_argument("-o", "--output", type=Path, default=HERE / "results" / "conductor.json")
    options = parser.parse_args()
    hours = json.loads(options.hours.read_text()) if options.hours else HOURS
    figures: dict[str, Any] = {"days": {}}
    if options.days != list(DAYS):
        figures = json.loads(options.output.read_text())
    figures |= {"commit": commit(), "machine": machine(), "calls": options.calls, "seeds": options.seeds}
    with ProcessPoolExecutor(options.workers) as pool:
        for name in options.days:
            days = [
                pool.submit(lived, seed, options.calls, DAYS[name], hours)
                for seed in range(1, options.seeds + 1)
            ]
            figures["days"][name] = judged([day.result() for day in days])
    text = json.dumps(figures, indent=1)
    options.output.write_text(text + "\n")
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(before + BEGIN + "\n" + table(figures) + "\n" + END + rest.partition(END)[2])
    print(text)


if __name__ == "__main__":
    main()

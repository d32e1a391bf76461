"""`vibes bench`: measures parts of the system on data that somebody graded."""

from __future__ import annotations

import json
import math
from pathlib import Path

import click

from bridge.progress import progress_bars
from router.bench.errors import BenchError, MissingExtra


@click.group("bench")
def bench_command() -> None:
    """Measure parts of the system on graded data."""


@bench_command.command()
@click.argument("data", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--fit",
    "fraction",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.0,
    metavar="FRACTION",
    help="Learn a correction from this share of the prompts (below 1), and judge on the rest.",
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the split and resamples."
)
@click.option(
    "--embeddings", is_flag=True, help="Let --fit look at vectors of the prompts too (extra `embeddings`)."
)
def routing(data: Path, fraction: float, seed: int, embeddings: bool) -> None:
    """Measure how `model: "auto"` would route DATA, and print JSON.

    DATA is a Parquet file with one row per prompt: `prompt` (text), `q_<model>` for two models or more (what
    its answer was worth, 0..1 or true/false) and perhaps `cost_<model>` for each of them (what it cost, USD).
    Other columns are ignored. Without costs, prices go by the models' names. Nothing is learned from DATA
    unless --fit says so.

    \b
    What is printed:
      apgr              area under the share of the quality gap that is recovered, over the
                        share of calls that go to the strong model; .5 is chance. With more
                        than two models: over the budget between the weak and the strong one
      cpt50, cpt80      share of those calls, or of that budget, that recovers 50, 80 % of the gap
      saving_95, _90    saved share of the strong model's cost, at 95, 90 % of its quality,
                        with the threshold that these rows themselves call for, or the
                        draw between two thresholds
      blind_95, _90     the same for the best draw between two models, whatever the prompt
      floor_saving      the same at 95 %, with a threshold set before these rows were seen
      floor_quality     what it then reaches of the strong model's quality
      floor_kept        share of resamples in which it reaches 95 %
      floor_beside      that strong model; with --fit, the one that seems so before these rows
                        are seen. floor_kept_beside_best is the share beside the best of these
      ms_per_decision   time of a processor, prediction and choice; _p99 is the slowest in 100
    The strong model is the one that answers best on the judged rows, the weak one the
    cheapest (null if they are the same). `notes` says what not to read into the figures, such
    as a promise about models of which only a price is known. *_interval holds 95 of 100
    bootstrap resamples.

    \b
    Examples:
      vibes bench routing graded.parquet
      vibes bench routing graded.parquet | jq '.saving_95, .floor_kept'
      vibes bench routing graded.parquet --fit 0.3
      vibes bench routing graded.parquet --fit 0.3 --embeddings

    Needs the extra `routing`: pip install 'vibes-rails[routing]'.
    """
    if math.isnan(fraction):  # the range lets it through
        raise click.BadParameter("nan is no share", param_hint="--fit")
    if embeddings and not fraction:
        raise click.UsageError("--embeddings goes with --fit: nothing is learned without it")
    # Imported here, so that the other commands need none of the extra's packages.
    try:
        from router.bench.embedding import open_embedding
        from router.bench.routing import measure_routing
        from router.bench.table import read_table
    except ModuleNotFoundError as missing:
        raise SystemExit(_told(MissingExtra(missing.name or "the extra"))) from None
    try:
        embed = open_embedding() if embeddings else None
        with progress_bars() as progress:
            found = measure_routing(read_table(data), fraction, seed, progress, embed)
    except BenchError as error:
        raise SystemExit(_told(error)) from None
    click.echo(json.dumps(found, indent=2, allow_nan=False))


def _told(error: BenchError) -> int:
    click.echo(f"vibes: {error}", err=True)
    return 1

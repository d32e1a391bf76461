"""`vibes-router quality`: what the quality analyser makes of a call."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import IO, Annotated, Any

import click
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mini_llm.cli.lazy import Group
from router.quality import WEIGHTS, QualityScore, score_call
from router.quality.advice import advice


class _Call(BaseModel):
    model_config = ConfigDict(extra="forbid")

    prompt: str | None = None
    messages: Annotated[list[dict[str, Any]], Field(min_length=1)] | None = None
    answer: str


@click.group(cls=Group)
def quality() -> None:
    """Score calls from 0 to 100. Scores weigh rewards; they decide no payment by themselves."""


@quality.command()
@click.argument("file", type=click.File("rb"), default="-")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def score(file: IO[bytes], as_json: bool) -> None:
    """Score the call in FILE (standard input): a JSON object with "answer", and "prompt" or "messages".

    \b
      echo '{"prompt": "Why is the sky blue?", "answer": "Air scatters blue light most."}' |
        vibes-router quality score
    """
    prompt, answer = _read(file.read())
    found = score_call(prompt, answer)
    words = advice(prompt, answer, found.parts)
    click.echo(json.dumps({**asdict(found), "advice": words}, indent=2) if as_json else _shown(found, words))


def _read(body: bytes) -> tuple[str | list[dict[str, Any]], str]:
    try:
        call = _Call.model_validate_json(body)
    except ValidationError as error:
        # Not the error's own text: it quotes what was read.
        problems = "; ".join(
            f"{'.'.join(map(str, each['loc'])) or 'input'}: {each['msg']}" for each in error.errors()
        )
        raise click.ClickException(problems) from None
    prompt = call.messages if call.prompt is None else call.prompt
    if prompt is None or (call.prompt is not None and call.messages is not None):
        raise click.ClickException('the call needs either "prompt" or "messages"')
    return prompt, call.answer


def _shown(found: QualityScore, words: list[str]) -> str:
    parts = [f"  {name:<11}{value:5.1f}  × {WEIGHTS[name]}" for name, value in asdict(found.parts).items()]
    return "\n".join([f"{found.total} of 100", *parts, *words])

"""The demo's upstream: a real server process, spoken to by the official client."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"

README = """# Tea house

## Opening hours

The house opens at seven and closes at ten. On Sundays it stays shut.

```
hours = "never in code blocks"
```

## Prices

| tea | cents |
| --- | --- |
| [oolong](http://tea.example) | 450 |

- Cake is free for children under six years.
- Guests pay for cake with coins or with cards.
"""


@pytest.fixture(scope="module")
def base_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    root = tmp_path_factory.mktemp("corpus")
    (root / "README.md").write_text(README)
    (root / "docs" / "adr").mkdir(parents=True)
    (root / "docs" / "adr" / "0001.md").write_text(
        "# Kettles\n\nEvery kettle is made of copper because it heats.\n"
    )
    command = [sys.executable, str(SCRIPTS / "answerers.py"), "--root", str(root)]
    environment = {**os.environ, "ANSWERERS_API_KEY": "upstream-secret"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as server:
        try:
            assert server.stdout is not None
            yield json.loads(server.stdout.readline())["base_url"]
        finally:
            server.terminate()


@pytest.fixture
def client(base_url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=base_url, api_key="upstream-secret", max_retries=0) as client:
        yield client


def ask(client: openai.OpenAI, model: str, question: str, **options: object):
    return client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": question}],
        **options,  # type: ignore[call-overload]
    )


def test_models_are_listed(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["pithy-1", "deep-1"]


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("When does the house open?", "The house opens at seven and closes at ten."),
        ("Which kettles are there?", "Every kettle is made of copper because it heats."),
        ("Do children pay for cake?", "Cake is free for children under six years."),
    ],
)
def test_pithy_finds_the_sentence(client: openai.OpenAI, question: str, answer: str) -> None:
    choice = ask(client, "pithy-1", question).choices[0]
    assert (choice.message.content, choice.finish_reason) == (answer, "stop")


def test_deep_gives_passages_with_their_sources(client: openai.OpenAI) -> None:
    answer = ask(client, "deep-1", "What does oolong cost in the house?").choices[0].message.content
    assert "[README.md › Tea house › Prices]" in answer
    assert "oolong – 450" in answer
    assert "never in code" not in answer


def test_tokens_are_counted_by_the_documented_rule(client: openai.OpenAI) -> None:
    usage = ask(client, "pithy-1", "When does the house open?").usage
    # "When| does| the| house| open|?" and "The| house| opens| at| seven| and| closes| at| ten|."
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (6, 10, 16)


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_limit_cuts_the_answer(client: openai.OpenAI, name: str) -> None:
    answer = ask(client, "pithy-1", "When does the house open?", **{name: 3})
    assert answer.choices[0].message.content == "The house opens"
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 3


def test_a_stream_is_the_plain_answer_token_by_token(client: openai.OpenAI) -> None:
    plain = ask(client, "deep-1", "house")
    options = {"include_usage": True, "continuous_usage_stats": True}
    chunks = list(ask(client, "deep-1", "house", stream=True, stream_options=options))
    *deltas, last = chunks
    assert (
        "".join(chunk.choices[0].delta.content or "" for chunk in deltas) == plain.choices[0].message.content
    )
    assert deltas[-1].choices[0].finish_reason == "stop"
    assert [chunk.choices[0].finish_reason for chunk in deltas[:-1]] == [None] * (len(deltas) - 1)
    assert last.choices == []
    assert last.usage == plain.usage
    assert [chunk.usage.completion_tokens for chunk in deltas[:3]] == [0, 1, 2]


def test_a_stream_has_no_usage_unless_asked(client: openai.OpenAI) -> None:
    assert {chunk.usage for chunk in ask(client, "pithy-1", "house", stream=True)} == {None}


def test_nothing_found_is_said(client: openai.OpenAI) -> None:
    for model in ("pithy-1", "deep-1"):
        answer = ask(client, model, "Zeppelin?").choices[0].message.content
        assert answer == "The documentation says nothing about that."


def test_errors_have_openais_shape(client: openai.OpenAI, base_url: str) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        ask(client, "gpt-9", "house")
    assert unknown.value.code == "model_not_found"
    assert "pithy-1, deep-1" in unknown.value.message
    with pytest.raises(openai.BadRequestError) as malformed:
        ask(client, "pithy-1", "house", max_tokens=0)
    assert (malformed.value.param, malformed.value.type) == ("max_tokens", "invalid_request_error")
    with pytest.raises(openai.BadRequestError) as too_long:
        ask(client, "pithy-1", "tea " * 8192)
    assert too_long.value.code == "context_length_exceeded"
    with pytest.raises(openai.AuthenticationError):
        ask(client.with_options(api_key="vibes-user-key"), "pithy-1", "house")
    assert httpx.get(f"{base_url}/models").status_code == 401


def test_no_documentation_is_an_error(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPTS / "answerers.py"), "--root", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert f"no documentation under {tmp_path}" in done.stderr

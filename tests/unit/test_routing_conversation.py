"""Balancing by conversation: its calls go to one deployment, whose provider has its beginning cached."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.routing import Bench, config

from mini_llm.request import Request
from mini_llm.surfaces import SURFACES
from mini_llm.surfaces.opening import opening

WEIGHTS = {"a": 6, "b": 3, "c": 1}


def bench(*ids: str) -> Bench:
    settings = config(*ids, balance="conversation")
    weighed = [one.model_copy(update={"weight": WEIGHTS[one.id or ""]}) for one in settings.deployments]
    return Bench(settings.model_copy(update={"deployments": tuple(weighed)}))


def said(question: str, *more: str) -> list[dict[str, Any]]:
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": question}]
    return turns + [{"role": ("assistant", "user")[at % 2], "content": text} for at, text in enumerate(more)]


async def test_conversation_stays_where_it_began() -> None:
    rig = bench("a", "b", "c")
    for number in range(20):
        first = await rig.names(messages=said(f"question {number}"))
        later = await rig.names(messages=said(f"question {number}", "an answer", "and then?", "more", "?"))
        assert later == first


async def test_only_the_conversations_of_a_deployment_that_goes_move() -> None:
    before, after = bench("a", "b", "c"), bench("a", "b")
    for number in range(200):
        messages = said(f"question {number}")
        order = await before.names(messages=messages)
        assert await after.names(messages=messages) == [name for name in order if name != "c"]


async def test_conversation_comes_back_to_a_deployment_that_rested() -> None:
    rig = bench("a", "b", "c")
    first, second, third = await rig.names(messages=said("hello"))
    rig.health(first).drained = True
    assert await rig.names(messages=said("hello", "hi", "go on")) == [second, third]
    rig.health(first).drained = False
    assert (await rig.names(messages=said("hello", "hi", "go on")))[0] == first


def parsed(surface: str, body: dict[str, Any]) -> Request:
    return SURFACES[surface].parse(json.dumps({"model": "m", "max_tokens": 9} | body).encode())


MARK = {"cache_control": {"type": "ephemeral"}}
FIRST = {"role": "user", "content": [{"type": "text", "text": "Hello"} | MARK]}
LATER = {"role": "user", "content": [{"type": "text", "text": "Hello"}]}
ANSWER = {"role": "assistant", "content": "Hi"}
AGAIN = {"role": "user", "content": [{"type": "text", "text": "Who?"} | MARK]}
TOLD = {"type": "input_text", "text": "Hello"}


@pytest.mark.parametrize(
    ("surface", "first", "later", "other"),
    [
        (
            "messages",
            {"system": [{"type": "text", "text": "Be brief."}], "messages": [FIRST]},
            {"system": "Be brief.", "messages": [LATER, ANSWER, AGAIN]},
            {"system": "Be kind.", "messages": [FIRST]},
        ),
        (
            "responses",
            {"instructions": "Be brief.", "input": "Hello"},
            {
                "instructions": "Be brief.",
                "input": [
                    {"role": "user", "content": [TOLD]},
                    {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
                    {"type": "function_call_output", "call_id": "1", "output": "3"},
                ],
            },
            {"instructions": "Be brief.", "input": "Hello, you"},
        ),
        (
            "chat",
            {"messages": [{"role": "user", "content": "one"}], "prompt_cache_key": "chat 7"},
            {"messages": [{"role": "user", "content": "two"}], "prompt_cache_key": "chat 7"},
            {"messages": [{"role": "user", "content": "one"}], "prompt_cache_key": "chat 8"},
        ),
    ],
)
def test_every_surface_tells_a_conversation(
    surface: str, first: dict[str, Any], later: dict[str, Any], other: dict[str, Any]
) -> None:
    begun = opening(parsed(surface, first).fields)
    assert begun == opening(parsed(surface, later).fields)
    assert begun != opening(parsed(surface, other).fields)


def test_gemini_and_embeddings_have_a_beginning_too() -> None:
    turn = {"parts": [{"text": "Hello"}]}  # without a role, as Google allows
    system = {"systemInstruction": {"parts": [{"text": "Be brief."}]}}
    later = [turn | {"role": "user"}, {"role": "model", "parts": [{"text": "Hi"}]}, turn]
    assert (
        opening(system | {"contents": [turn]}) == opening(system | {"contents": later}) == "Be brief.\0Hello"
    )
    assert opening({"input": ["one", "two"]}) == "one"
    assert (
        opening({"messages": [{"role": "assistant", "content": None}, {"role": "user", "content": 1}]}) == ""
    )

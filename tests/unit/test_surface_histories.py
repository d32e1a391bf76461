"""Conversations and settings of clients as chat companies take them, which are strict about both."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mini_llm.errors import BadRequest
from mini_llm.request import Need
from mini_llm.surfaces import SURFACES

PNG = "data:image/png;base64,iVBORw0KGgo="
USER = {"role": "user", "content": "q"}
MESSAGES = {"model": "m", "max_tokens": 50, "messages": [USER]}
GEMINI = {"model": "m", "contents": [{"role": "user", "parts": [{"text": "q"}]}]}


def to_chat(surface: str, fields: dict[str, Any]) -> dict[str, Any]:
    one = SURFACES[surface]
    return dict(one.to_chat(one.parse(json.dumps(fields).encode())).fields)


def needs(surface: str, fields: dict[str, Any]) -> frozenset[str]:
    return SURFACES[surface].parse(json.dumps(fields).encode()).needs


def history(*items: dict[str, Any]) -> list[dict[str, Any]]:
    """Messages of a chat for items of responses; checked as OpenAI does, results right after their calls."""
    messages: list[dict[str, Any]] = to_chat("responses", {"model": "m", "input": [USER, *items]})["messages"]
    waiting: set[str] = set()
    for message in messages[1:]:
        if message["role"] == "tool":
            waiting.remove(message["tool_call_id"])
            continue
        assert not waiting, "an assistant message with 'tool_calls' must be followed by tool messages"
        waiting = {call["id"] for call in message.get("tool_calls", ())}
    assert not waiting
    return messages[1:]


def call(call_id: str) -> dict[str, Any]:
    return {"type": "function_call", "call_id": call_id, "name": "f", "arguments": "{}"}


def output(call_id: str, said: Any = "r") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": said}


def says(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}


def outline(messages: list[dict[str, Any]]) -> list[Any]:
    return [
        (
            one["role"],
            one["content"],
            [told["id"] for told in one.get("tool_calls", ())] or one.get("tool_call_id"),
        )
        for one in messages
    ]


def test_a_turn_of_responses_is_one_message() -> None:
    thought = {"type": "reasoning", "id": "rs", "summary": []}
    assert outline(history(says("let me"), thought, call("a"), call("b"), output("a"), output("b"))) == [
        ("assistant", "let me", ["a", "b"]),
        ("tool", "r", "a"),
        ("tool", "r", "b"),
    ]
    assert outline(history(call("a"), says("let me"), output("a"), says("done"), USER)) == [
        ("assistant", "let me", ["a"]),
        ("tool", "r", "a"),
        ("assistant", "done", None),
        ("user", "q", None),
    ]
    assert outline(history(says("one"), says(""), says("two"))) == [("assistant", "one\n\ntwo", None)]
    assert outline(history(says(""))) == [("assistant", "", None)]


def test_thoughts_go_back_with_the_calls_that_came_of_them() -> None:
    summed = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]}
    whole = summed | {"content": [{"type": "reasoning_text", "text": "Well, "}]}
    turns = history(
        whole,
        says("let me"),
        summed,
        call("a"),
        output("a"),
        summed,
        says("done"),
        summed,
        USER,
        call("b"),
        output("b"),
    )
    assert [one.get("reasoning_content") for one in turns] == ["Well, Hm.", None, None, None, None, None]
    assert needs("responses", {"model": "m", "input": [USER, whole]}) == frozenset()
    thinking = {"type": "thinking", "thinking": "Hm.", "signature": ""}
    used = {"type": "tool_use", "id": "a", "name": "f", "input": {}}
    for blocks, told in (([thinking, used], "Hm."), ([used], None), ([thinking], None)):
        turn = {"role": "assistant", "content": blocks}
        (message,) = to_chat("messages", MESSAGES | {"messages": [turn]})["messages"]
        assert message.get("reasoning_content") == told


def test_results_that_come_late_follow_their_calls() -> None:
    turns = history(call("a"), call("b"), output("b"), USER, output("a"), call("a"), output("a", "again"))
    assert outline(turns) == [
        ("assistant", None, ["a", "b"]),
        ("tool", "r", "a"),
        ("tool", "r", "b"),
        ("user", "q", None),
        ("assistant", None, ["a"]),
        ("tool", "again", "a"),
    ]


def test_a_result_without_a_call_stays_where_it_is() -> None:
    messages = to_chat("responses", {"model": "m", "input": [USER, output("x"), says("hm")]})["messages"]
    assert [one["role"] for one in messages] == ["user", "tool", "assistant"]


def test_an_image_in_a_result_goes_to_the_user_message_after_all_results() -> None:
    seen = [{"type": "input_text", "text": "see"}, {"type": "input_image", "image_url": PNG}]
    messages = history(call("a"), call("b"), output("a", seen), output("b"))
    assert outline(messages[:-1]) == [
        ("assistant", None, ["a", "b"]),
        ("tool", "see", "a"),
        ("tool", "r", "b"),
    ]
    assert messages[-1] == {"role": "user", "content": [{"type": "image_url", "image_url": {"url": PNG}}]}


def test_what_chat_takes_beside_tools_only_is_not_said_without_them() -> None:
    alone = {"tools": [], "tool_choice": "auto", "parallel_tool_calls": True}
    assert to_chat("responses", {"model": "m", "input": "q"} | alone).keys() == {"model", "messages"}
    chosen = {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}, "stop_sequences": []}
    assert to_chat("messages", MESSAGES | chosen).keys() == {"model", "messages", "max_tokens"}
    empty = to_chat("gemini", GEMINI | {"generationConfig": {"stopSequences": []}})
    assert empty.keys() == {"model", "messages"}
    tools = [{"type": "function", "name": "f"}]
    told = to_chat("responses", {"model": "m", "input": "q", **alone, "tools": tools})
    assert (told["tool_choice"], told["parallel_tool_calls"]) == ("auto", True)


def test_gemini_offers_a_function_that_there_is() -> None:
    tools = [{"functionDeclarations": [{"name": "f"}]}]
    calling = {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["g"]}}
    with pytest.raises(BadRequest) as refused:
        to_chat("gemini", GEMINI | {"tools": tools, "toolConfig": calling})
    assert refused.value.param == "toolConfig.functionCallingConfig"


def test_claude_code_at_a_chat_provider() -> None:
    user = "user_" + "a" * 64 + "_account_" + "b" * 36 + "_session_" + "c" * 36
    clearing = [{"type": "clear_thinking_20251015", "keep": "all"}, {"type": "clear_tool_uses_20250919"}]
    asked = MESSAGES | {"metadata": {"user_id": user}, "context_management": {"edits": clearing}}
    chat = to_chat("messages", asked)
    assert chat.keys() == {"model", "messages", "max_tokens", "user"}
    assert len(chat["user"]) == 64
    assert (
        chat["user"]
        == to_chat("messages", asked)["user"]
        != to_chat("messages", MESSAGES | {"metadata": {"user_id": user + "c"}})["user"]
    )
    assert to_chat("messages", MESSAGES | {"metadata": {"user_id": "u" * 64}})["user"] == "u" * 64
    note = {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.177.01c; cch=36ee5;"}
    for system, told in (
        ([note, {"type": "text", "text": "Be brief."}], ["Be brief.", "q"]),
        ([note], ["q"]),
    ):
        said = to_chat("messages", MESSAGES | {"system": system})["messages"]
        assert [one["content"] for one in said] == told
    for edits in ([*clearing, {"type": "compact_20260112"}], "all"):
        with pytest.raises(BadRequest) as refused:
            to_chat("messages", MESSAGES | {"context_management": {"edits": edits}})
        assert refused.value.param == "context_management"


def test_what_holds_anyway_is_not_billed_apart() -> None:
    usual = {"speed": "standard", "inference_geo": "global"}
    assert needs("messages", MESSAGES | usual) == frozenset()
    to_chat("messages", MESSAGES | usual)
    for dearer in ({"speed": "fast"}, {"inference_geo": "us"}):
        assert needs("messages", MESSAGES | dearer) == {Need.HOSTED}


def test_gemini_asked_not_to_think() -> None:
    for budget, wanted in ((0, set()), (512, {Need.REASONING}), (-1, {Need.REASONING})):
        fields = GEMINI | {"generationConfig": {"thinkingConfig": {"thinkingBudget": budget}}}
        assert needs("gemini", fields) == wanted
        assert ("reasoning_effort" in to_chat("gemini", fields)) is (budget > 0)


@pytest.mark.parametrize("ids", [("", "zz"), ("a", ""), ("a", "a"), ("", "")])
def test_a_response_of_gemini_finds_its_call(ids: tuple[str, str]) -> None:
    called, told = ({"id": one} if one else {} for one in ids)
    contents = [
        *GEMINI["contents"],
        {"role": "model", "parts": [{"functionCall": {"name": "f", **called}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"r": 1}, **told}}]},
    ]
    _, asked, answered = to_chat("gemini", {"model": "m", "contents": contents})["messages"]
    assert asked["tool_calls"][0]["id"] == answered["tool_call_id"] == (ids[0] or "call_0")


def test_a_response_of_gemini_to_another_id_is_refused() -> None:
    contents = [
        *GEMINI["contents"],
        {"role": "model", "parts": [{"functionCall": {"name": "f", "id": "a"}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "id": "b", "response": {}}}]},
    ]
    with pytest.raises(BadRequest):
        to_chat("gemini", {"model": "m", "contents": contents})

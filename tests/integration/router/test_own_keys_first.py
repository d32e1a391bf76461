"""A call that the account's own provider key can serve is never one that the account pays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from people_world import Town, make_town

LIMITS = {"context_tokens": 4000, "max_output_tokens": 100, "upstream_model": "plain"}
DEAR = {"prompt_usd_per_mtok": "3", "completion_usd_per_mtok": "7"} | LIMITS
CHEAP = {"prompt_usd_per_mtok": "1", "completion_usd_per_mtok": "2"} | LIMITS
OURS, OWN = "ours/strong", "own/weak"
MORE = {
    "deployments": [
        {"id": OURS, "model": "gpt-4o", "provider": "up"} | DEAR,
        {"id": OWN, "model": "llama-3.2-1b", "provider": "chatty", "rpm": 1, "capabilities": ["tools"]}
        | CHEAP,
    ],
    "aliases": {"either": ["llama-3.2-1b", "gpt-4o"]},
    "auto": {"models": ["gpt-4o", "llama-3.2-1b"], "fallbacks": 0},
}
IMAGE = {"content": [{"type": "image_url", "image_url": {"url": "data:,"}}], "role": "user"}


@pytest.mark.parametrize("model", ["either", "auto:best"])
def test_an_own_key_is_used_wherever_it_ranks_and_nothing_takes_its_place(
    new_world: Any, tmp_path: Path, model: str
) -> None:
    town: Town = make_town(new_world, tmp_path, more=MORE)
    person, stranger = town.person(), town.person()
    assert person.ask("PUT", "/provider-keys/chatty", api_key="sk-own-key-of-a-user").status_code == 204
    call = {"model": model, "messages": [{"role": "user", "content": "x"}]}

    def served() -> tuple[Any, ...]:
        answer = person.ask("POST", "/chat/completions", **call)
        told = person.ask("POST", "/route", request=call)
        if answer.status_code != 200:
            assert told.json()["error"] == answer.json()["error"]
            return answer.status_code, answer.json()["error"]["code"]
        assert told.json()["chosen"]["deployment"] == answer.headers["x-vibes-deployment"]
        return 200, answer.headers["x-vibes-deployment"], answer.headers["x-vibes-charge-base"]

    assert served() == (200, f"{OWN}@{person.user.idx if person.user else 0}", "0")
    weak = {"model": "llama-3.2-1b", "messages": call["messages"]}
    assert stranger.ask("POST", "/chat/completions", **weak).status_code == 200  # the request of this minute
    assert served() == (503, "upstream_busy")
    assert person.user is not None
    assert person.user.view().spent_base == 0
    call["messages"] = [IMAGE]  # which it can never serve
    assert served()[:2] == (200, OURS)


def test_no_budget_of_ours_paces_what_the_caller_pays_elsewhere(new_world: Any, tmp_path: Path) -> None:
    auto = {"models": ["gpt-4o", "llama-3.2-1b"], "budget": {"day_usd": "0.0001"}}
    town: Town = make_town(new_world, tmp_path, more=MORE | {"auto": auto})
    person, stranger = town.person(), town.person()
    call = {"model": "auto", "messages": [{"role": "user", "content": "Why is the sky blue?"}]}
    for provider in ("up", "chatty"):
        key = {"api_key": "sk-own-key-of-a-user"}
        assert person.ask("PUT", f"/provider-keys/{provider}", **key).status_code == 204
    answer = person.ask("POST", "/chat/completions", **call)
    assert (answer.status_code, answer.headers["x-vibes-charge-base"]) == (200, "0")
    assert answer.headers["x-vibes-deployment"].startswith(OURS)
    told = person.ask("POST", "/route", request=call).json()
    assert (told["chosen"]["deployment"], told["budget"], told["affordable"]) == (
        answer.headers["x-vibes-deployment"],
        None,
        True,
    )
    paced = stranger.ask("POST", "/route", request=call).json()
    assert (paced["chosen"]["deployment"], paced["refusal"]) == (OWN, "spending_limit")
    assert paced["budget"]["left"] == 1

"""schemathesis calls every operation of the OpenAPI documents with made-up input: nothing is a 500."""

from __future__ import annotations

import contextlib
import re
from typing import Any

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from router_world import World

from mini_llm.surfaces.paths import CALL_PATHS
from router.api.admin_door import new_admin_key
from router.api.document import call_body
from router.ledger import books

EXAMPLES = 15
"""Per operation and way of generating."""
SEARCH = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)


def document_of(url: str) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(url).json()
    return found


def exercise(document: dict[str, Any], base_url: str, api_key: str) -> list[str]:
    """Sends made-up requests to every operation; returns the names of those that were called."""
    schema = schemathesis.openapi.from_dict(document)
    called = []
    for found in schema.get_all_operations():
        operation = found.ok()
        called.append(operation.label)
        for mode in schemathesis.GenerationMode:

            @SEARCH
            @_given(operation, mode)
            def attack(case: Any) -> None:
                case.headers = {**(case.headers or {}), "authorization": f"Bearer {api_key}"}
                answer = case.call(base_url=base_url, timeout=30)
                assert answer.status_code < 500 or answer.status_code in (502, 503, 504), (
                    case.as_curl_command(),
                    answer.status_code,
                )
                if answer.status_code >= 400:
                    assert "error" in answer.json()

            with contextlib.suppress(Unsatisfiable):  # nothing can be wrong in an operation without input
                attack()
    return called


def _given(operation: Any, mode: Any) -> Any:
    return given(case=operation.as_strategy(generation_mode=mode))


def test_no_operation_answers_500(world: World) -> None:
    user = world.user(deposit_base=10**12)
    url = world.router.url.removesuffix("/v1")
    called = exercise(document_of(url + "/openapi.json"), url, user.api_key)
    assert "POST /v1/chat/completions" in called
    assert user.settled_view().reserved_base == 0
    assert user.ledger.read(books.book_errors) == []
    assert "fault" not in world.router.log.read_text()


def test_nor_does_the_operators(new_world: Any, tmp_path: Any) -> None:
    key, line = new_admin_key("tester")
    (tmp_path / "keys").write_text(line)
    world: World = new_world("--admin-port", "0", VIBES_ADMIN_KEYS_FILE=str(tmp_path / "keys"))
    world.user()
    url = world.router.admin_url
    called = exercise(document_of(url + "/openapi.json"), url, key)
    assert "GET /admin/v1/audit" in called
    assert "fault" not in world.router.log.read_text()


def test_every_paid_call_is_described(world: World) -> None:
    paths = document_of(world.router.url.removesuffix("/v1") + "/openapi.json")["paths"]
    for call in CALL_PATHS:
        body = paths[call.path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert body == call_body(call)
    assert all("default" in one["responses"] for item in paths.values() for one in item.values())


def test_it_tells_who_needs_a_body_and_who_a_credential(world: World) -> None:
    url = world.router.url.removesuffix("/v1")
    paths = document_of(url + "/openapi.json")["paths"]
    operations = [(method, path, one) for path, item in paths.items() for method, one in item.items()]
    bodiless = {path for method, path, one in operations if method != "get" and "requestBody" not in one}
    deleted = {path for method, path, _ in operations if method == "delete"}
    assert bodiless - deleted == {"/v1/signout"}
    with httpx.Client(base_url=url) as nobody:
        for method, path, one in operations:
            sent = {} if method == "get" else {"json": {}}
            query = {one["name"]: "sse" for one in one.get("parameters", ()) if one["name"] == "alt"}
            status = nobody.request(method, re.sub(r"{\w+}", "1", path), params=query, **sent).status_code
            assert (status == 401) == ("security" in one), (method, path, status)

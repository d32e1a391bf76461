"""What a visitor types as the address of a node, and what of it may stand in a header."""

from __future__ import annotations

import pytest

from router.web.origins import MAX_LENGTH, node_origin


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://rpc.example", "https://rpc.example"),
        ("https://RPC.Example/v3/some-key?x=1#y", "https://rpc.example"),
        ("http://127.0.0.1:8545", "http://127.0.0.1:8545"),
        ("http://localhost:8545/", "http://localhost:8545"),
        ("https://user:password@rpc.example", "https://rpc.example"),
        ("https://a-b.c9.example:65535", "https://a-b.c9.example:65535"),
    ],
)
def test_an_address_has_an_origin(url: str, origin: str) -> None:
    assert node_origin(url) == origin


@pytest.mark.parametrize(
    "url",
    [
        "",
        "rpc.example",
        "//rpc.example",
        "https://",
        "https:rpc.example",
        "ws://rpc.example",
        "javascript:alert(1)",
        "data:text/plain,x",
        "https://*",
        "https://*.example",
        "https://rpc.example:x",
        "https://rpc.example:65536",
        "https://rpc.example;script-src *",
        "https://rpc.example script-src",
        "https://rpc.example\nset-cookie: a=b",
        "https://rpc.example\r\nset-cookie: a=b",
        "https://rpc.example,https://evil.example",
        "https://'self'",
        "https://rpc_example",
        "https://-rpc.example",
        "https://rpc..example",
        "https://[::1]:8545",
        "https://räksmörgås.example",
        "https://rpc.example/" + "a" * MAX_LENGTH,
    ],
)
def test_anything_else_has_none(url: str) -> None:
    assert node_origin(url) is None

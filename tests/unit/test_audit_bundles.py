"""Where a partner's proof bundles come from, and what is said when they do not come."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path

import pytest

from bridge.audit.bundles import bundle_lines, check_bundles
from bridge.audit.chain import CannotAudit
from bridge.audit.checks import Mismatch, Tally
from bridge.audit.replay import Batch
from mini_llm.wallet.receipt import ReceiptDomain

DOMAIN = ReceiptDomain(31337, "0x" + "5e" * 20)
HASH = "0x" + "ab" * 32
MOST = str(2**256 - 1)


def check(folder: Path, *lines: str) -> None:
    """Checks a bundle of partner 1, which earned 5 of the 9 base units of batch 7."""
    head = {"format": "vibes-partner-bundle/1", "chain_id": 31337, "settlement": DOMAIN.settlement}
    told = [json.dumps(head | {"batch": 7, "partner": 1}), *lines]
    (folder / "7.jsonl").write_text("".join(line + "\n" for line in told))
    batch = Batch(7, 100, "0x", 4, (), {}, {1: 5}, b"r" * 32, 9, 0, 0)
    check_bundles(str(folder), DOMAIN, 1, [batch], Tally(), lambda *_: None)


@pytest.mark.parametrize(
    "lines",
    [
        [f'["{HASH}",1e999]'],
        [f'["{HASH}",5]'],
        ["[" * 4_000],
        [f'[1000000000,"{HASH}","1"]'],
        [f'[6,"{HASH}","1"]', f'[5,"{HASH}","1"]', f'[5,"{HASH}","{MOST}"]'],
    ],
    ids=["an infinite charge", "a number", "a deep value", "an endless tree", "an endless sum"],
)
def test_a_line_that_no_honest_router_tells_is_a_mismatch(tmp_path: Path, lines: list[str]) -> None:
    with pytest.raises(Mismatch) as found:
        check(tmp_path, *lines)
    assert found.value.place.subject == f"bundle of partner 1, line {1 + len(lines)}"


def test_a_router_that_breaks_off_is_no_mismatch() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def break_off() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{}\n")

        serving = threading.Thread(target=break_off)
        serving.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(CannotAudit, match="the bundle of batch 7"), bundle_lines(url, 1, 7) as lines:
            list(lines)
        serving.join()

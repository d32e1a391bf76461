"""Where a partner's proof bundles come from, and what is said when they do not come."""

from __future__ import annotations

import socket
import threading

import pytest

from bridge.audit.bundles import Source
from bridge.audit.chain import CannotAudit


def test_a_router_that_breaks_off_is_no_mismatch() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def break_off() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{}\n")

        serving = threading.Thread(target=break_off)
        serving.start()
        source = Source(f"http://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(CannotAudit, match="the bundle of batch 7"), source.lines(1, 7) as lines:
            list(lines)
        serving.join()

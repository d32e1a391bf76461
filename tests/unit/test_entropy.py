"""Random bytes are never given twice, whoever draws them."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

from router.entropy import random_bytes


def test_nobody_gets_what_somebody_got() -> None:
    with ThreadPoolExecutor(4) as threads:
        drawn = list(threads.map(random_bytes, [32] * 1000 + [26] * 1000))
    assert len(set(drawn)) == 2000
    assert {len(one) for one in drawn} == {32, 26}


def test_a_child_process_draws_its_own() -> None:
    random_bytes(16)
    out, into = os.pipe()
    child = os.fork()
    if not child:
        os.write(into, random_bytes(16))
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(out, 16) != random_bytes(16)
    os.close(out)
    os.close(into)

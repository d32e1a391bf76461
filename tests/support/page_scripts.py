"""Runs the pages' modules without a browser, in Node.js, for what they compute."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import pytest

from support.anvil import ROOT

STATIC = ROOT / "router" / "web" / "static"
RUN_S = 60


def run_script(body: str, given: Any) -> Any:
    """What the body of an async function returns, as JSON.

    It has `given` (JSON), and `load(name)` imports a module of the pages.
    """
    node = shutil.which("node")
    if node is None:
        pytest.fail("node is missing: run `make setup`", pytrace=False)
    program = f"""
      let text = "";
      for await (const chunk of process.stdin) text += chunk;
      const load = (name) => import("{STATIC.as_uri()}/" + name);
      const answer = await (async (given) => {{ {body} }})(JSON.parse(text));
      process.stdout.write(JSON.stringify(answer));
    """
    finished = subprocess.run(
        [node, "--experimental-default-type=module", "--input-type=module", "--eval", program],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)

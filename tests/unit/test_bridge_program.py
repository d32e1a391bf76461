"""What a worker process imports of the program that started it."""

from __future__ import annotations

import subprocess
import sys


def test_the_bridge_is_loaded_when_it_is_called() -> None:
    code = "import sys, bridge.program; sys.exit('bridge.cli' in sys.modules or 'web3' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0

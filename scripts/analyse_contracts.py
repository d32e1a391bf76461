#!/usr/bin/env python3
"""Runs slither and halmos on the contracts; the exit code is 1 if one of them has something to say.

    python scripts/analyse_contracts.py [--only slither|halmos]

Both need other versions of our packages than we do (rich, for one), so they live in a virtual environment of
their own, build/tools-venv, made from contracts/analysis.lock on the first run. Which slither detectors are
off and why is in docs/static-analysis.md; a single finding is answered beside the line that it is about.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import time
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path

from export_abi import forge_path

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "contracts" / "analysis.lock"
VENV = ROOT / "build" / "tools-venv"
PROOF_MS = 60_000
"""How long halmos may think about one property, milliseconds."""
INCOMPLETE = "Impossible to generate IR"
"""What slither says, without failing, when it skips a function."""


class AnalysisFailed(Exception):
    """A tool found something, did not look at everything, or did not run."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=["slither", "halmos"], help="default: both")
    only = parser.parse_args().only
    tools = [only] if only else ["slither", "halmos"]
    try:
        install()
        for tool in tools:
            started = time.perf_counter()
            {"slither": slither, "halmos": halmos}[tool]()
            print(f"{tool}: nothing found, {time.perf_counter() - started:.0f} s")
    except AnalysisFailed as error:
        print(f"analysis: {error}", file=sys.stderr)
        return 1
    return 0


def install() -> None:
    """Makes the tools' environment if it is not there or was made from another lock file."""
    digest = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    stamp = VENV / ".made-from"
    if stamp.exists() and stamp.read_text() == digest:
        return
    venv.create(VENV, clear=True, with_pip=True)
    pip = [str(VENV / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
    run([*pip, "--require-hashes", "-r", str(LOCK)], {})
    stamp.write_text(digest)


def slither() -> None:
    """Static analysis of contracts/src. Raises AnalysisFailed."""
    out = ROOT / "build" / "slither"
    build = {"FOUNDRY_OUT": str(out), "FOUNDRY_CACHE_PATH": str(out.with_name("slither-cache"))}
    # From nothing: slither reads every build info that it finds.
    run([str(forge_path()), "build", "--quiet", "--skip", "test", "--force", "--build-info"], build)
    options = ["--ignore-compile", "--foundry-out-directory", os.path.relpath(out, ROOT)]
    config = ["--config-file", "contracts/slither.config.json"]
    said = run([str(VENV / "bin" / "slither"), ".", *options, *config], build)
    if INCOMPLETE in said:
        raise AnalysisFailed(f"slither skipped a function:\n{said}")


def halmos() -> None:
    """The properties of contracts/test/symbolic, for all inputs. Raises AnalysisFailed."""
    out = ROOT / "build" / "halmos"
    build = {
        "FOUNDRY_OUT": str(out),
        "FOUNDRY_CACHE_PATH": str(out.with_name("halmos-cache")),
        "FOUNDRY_TEST": "contracts/test/symbolic",
    }
    options = ["--forge-build-out", os.path.relpath(out, ROOT), "--solver-timeout-assertion", str(PROOF_MS)]
    said = run([str(VENV / "bin" / "halmos"), "--contract", "SymbolicTest", *options], build)
    if "[PASS]" not in said:
        raise AnalysisFailed(f"halmos proved nothing:\n{said}")


def run(command: Sequence[str], settings: Mapping[str, str]) -> str:
    """What a program said. Raises AnalysisFailed with it if the exit code is not 0."""
    path = f"{VENV / 'bin'}{os.pathsep}{forge_path().parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | dict(settings) | {"PATH": path}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    said = done.stdout + done.stderr
    if done.returncode != 0:
        raise AnalysisFailed(f"{Path(command[0]).name} failed:\n{said}")
    return said


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Writes the ABIs `bridge/chain/abi/*.json`, from a forge build; `--check` compares only."""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ABI_DIR = ROOT / "bridge" / "chain" / "abi"
BUILD_DIR = ROOT / "build" / "forge"
# File name -> contract whose ABI it holds. The generated verifiers share one interface.
EXPORTED = {
    "Settlement": "Settlement",
    "VibesToken": "VibesToken",
    "PartnerRegistry": "PartnerRegistry",
    "Verifier": "IVerifier",
}


def forge_path() -> Path:
    """Path of the native forge that `npm ci` puts under hardhat-local.

    Raises:
        FileNotFoundError: forge is not installed.
    """
    arch = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    path = ROOT / f"hardhat-local/node_modules/@foundry-rs/forge-linux-{arch}/bin/forge"
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: run `npm ci --prefix hardhat-local`")
    return path


def build() -> None:
    """Compiles contracts/src; fast when nothing changed."""
    subprocess.run([forge_path(), "build", "--quiet", "--skip", "test"], cwd=ROOT, check=True)


def built_abi(contract: str) -> str:
    """The contract's ABI as it is written to disk: one indented JSON list."""
    artifact = json.loads((BUILD_DIR / f"{contract}.sol" / f"{contract}.json").read_text())
    return json.dumps(artifact["abi"], indent=1) + "\n"


def stale_files() -> list[Path]:
    """Committed ABI files that differ from the build."""
    return [
        ABI_DIR / f"{name}.json"
        for name, contract in EXPORTED.items()
        if not (ABI_DIR / f"{name}.json").exists()
        or (ABI_DIR / f"{name}.json").read_text() != built_abi(contract)
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file is stale")
    check = parser.parse_args().check
    build()
    stale = stale_files()
    for path in stale:
        print(f"{'stale' if check else 'written'}: {path.relative_to(ROOT)}")
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(built_abi(EXPORTED[path.stem]))
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())

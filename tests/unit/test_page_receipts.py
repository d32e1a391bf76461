"""The pages' hash and receipts' tree, held to the Python specification."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.bundles import bundle_lines, root_of_tiles
from support.page_scripts import run_script

from mini_llm.wallet.keccak import keccak
from mini_llm.wallet.limits import MAX_AMOUNT_BASE
from mini_llm.wallet.receipts_tree import Leaf, receipts_tree

READ = """
  const { readBundle } = await load("receipts_tree.js");
  async function* lines(all) { yield* all; }
  return Promise.all(given.map(async (all) => {
    try {
      const { root, total, receipts, gross } = await readBundle(lines(all));
      return { root, total: `${total}`, receipts, gross: `${gross}` };
    } catch (error) {
      return `${error.constructor.name}: ${error.message}`;
    }
  }));
"""
HEAD = '{"format":"vibes-partner-bundle/1"}'
DIGEST = "0x" + "5a" * 32


def leaves(count: int) -> list[Leaf]:
    return [(keccak(at.to_bytes(2, "big")), 1 + at * 10**13 % MAX_AMOUNT_BASE) for at in range(count)]


def test_the_hash_is_ethereums() -> None:
    texts = [bytes(at * 7 & 255 for at in range(length)) for length in [*range(300), 407, 408, 409, 4096]]
    script = """
      const { keccak256 } = await load("keccak.js");
      const { hex, unhex } = await load("abi.js");
      return given.map((text) => hex(keccak256(unhex(text))));
    """
    assert run_script(script, ["0x" + text.hex() for text in texts]) == [
        "0x" + keccak(text).hex() for text in texts
    ]


def test_a_bundle_leads_to_the_root_and_the_total() -> None:
    bundles, expected = [], []
    for count in (1, 2, 3, 5, 8, 13, 64, 100):
        for mine in (lambda at: True, lambda at: at % 3 == 0, lambda at, last=count - 1: at == last):
            marked = [(leaf, mine(at)) for at, leaf in enumerate(leaves(count))]
            root, total_base = receipts_tree(leaves(count))
            charges = [leaf[1] for leaf, is_mine in marked if is_mine]
            bundles.append([HEAD, *bundle_lines(marked)])
            expected.append(
                {
                    "root": "0x" + root.hex(),
                    "total": str(total_base),
                    "receipts": len(charges),
                    "gross": str(sum(charges)),
                }
            )
    assert run_script(READ, bundles) == expected


def test_any_change_leads_elsewhere() -> None:
    marked = [(leaf, at in (2, 7, 8)) for at, leaf in enumerate(leaves(11))]
    lines = [json.loads(line) for line in bundle_lines(marked)]
    changed: list[list[str]] = []
    for at, piece in enumerate(lines):
        altered = [[*piece[:-1], str(int(piece[-1]) + 1)], [*piece[:-2], DIGEST, piece[-1]]]
        for other in altered:
            changed.append([HEAD, *(json.dumps(other if i == at else one) for i, one in enumerate(lines))])
        changed.append([HEAD, *(json.dumps(one) for i, one in enumerate(lines) if i != at)])
    root = "0x" + root_of_tiles(leaves(11))[0].hex()
    for told in run_script(READ, changed):
        assert isinstance(told, str) or told["root"] != root


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "the bundle is empty"),
        ([HEAD, "[1"], "line 2 of the bundle is no JSON"),
        ([HEAD, "{}"], "line 2 of the bundle is neither a receipt nor a subtree"),
        ([HEAD, json.dumps([DIGEST, 5])], "line 2 of the bundle has no amount"),
        ([HEAD, json.dumps([DIGEST, "-5"])], "line 2 of the bundle has no amount"),
        ([HEAD, json.dumps([DIGEST, str(2**54)])], "line 2 of the bundle has no amount"),
        ([HEAD, json.dumps([0, DIGEST, str(2**64)])], "line 2 of the bundle has no amount"),
        ([HEAD, json.dumps([DIGEST[:-1], "5"])], "line 2 of the bundle has no hash"),
        ([HEAD, json.dumps([-1, DIGEST, "5"])], "line 2 of the bundle has no level"),
        ([HEAD, json.dumps([1e9, DIGEST, "5"])], "line 2 of the bundle has no level"),
        ([HEAD, json.dumps([DIGEST, "5"]), json.dumps([1, DIGEST, "5"])], "does not begin here"),
        ([HEAD, *[json.dumps([0, DIGEST, str(2**64 - 1)])] * 2], "more than a batch can settle"),
    ],
)
def test_what_is_no_bundle_is_named(lines: list[str], words: str) -> None:
    told: list[Any] = run_script(READ, [lines])
    assert told[0].startswith("Malformed: ")
    assert words in told[0]

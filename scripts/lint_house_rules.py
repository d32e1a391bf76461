"""Checks the house rules that no other linter knows: integer money, small files and functions, no assert.

Rules, per Python file under mini_llm, router, bridge and scripts:
  money      a name that ends in `_base`, `_bps` or `_base_per_mtok` is never divided with `/`, never a float
             literal's partner, never passed to float() or round(), and never annotated `float`;
  size       a file has at most 300 lines and a function at most 70;
  assert     invariants raise; `assert` belongs to tests.
Exits 1 and lists file:line for each breach.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("mini_llm", "router", "bridge", "scripts")
MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 70
MONEY = re.compile(r"(^|_)(base|bps|base_per_mtok)$")


def money_name(node: ast.AST) -> str | None:
    """The money-like name that an expression reads, looking through indexing, calls and arithmetic."""
    for part in ast.walk(node):
        name = getattr(part, "id", None) or getattr(part, "attr", None) or getattr(part, "arg", None)
        if isinstance(name, str) and MONEY.search(name):
            return name
    return None


def money_breaches(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp | ast.AugAssign):
            left, right = (
                (node.left, node.right) if isinstance(node, ast.BinOp) else (node.target, node.value)
            )
            name = money_name(left) or money_name(right)
            if name and isinstance(node.op, ast.Div):
                yield node.lineno, f"`/` on money ({name}): use // and say which way it rounds"
            if name and any(
                isinstance(s, ast.Constant) and isinstance(s.value, float) for s in (left, right)
            ):
                yield node.lineno, f"a float meets money ({name})"
        elif isinstance(node, ast.Call) and getattr(node.func, "id", None) in ("float", "round"):
            name = next((n for a in node.args if (n := money_name(a))), None)
            if name:
                yield node.lineno, f"{node.func.id}() on money ({name})"  # type: ignore[attr-defined]
        elif isinstance(node, ast.AnnAssign | ast.arg):
            name = money_name(node.target if isinstance(node, ast.AnnAssign) else node)
            if name and node.annotation is not None and "float" in ast.unparse(node.annotation):
                yield node.lineno, f"{name} is declared a float"


def size_breaches(tree: ast.AST, text: str) -> Iterator[tuple[int, str]]:
    lines = text.count("\n")
    if lines > MAX_FILE_LINES:
        yield 1, f"{lines} lines in one file (at most {MAX_FILE_LINES})"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            size = (node.end_lineno or node.lineno) - node.lineno + 1
            if size > MAX_FUNCTION_LINES:
                yield node.lineno, f"{node.name} has {size} lines (at most {MAX_FUNCTION_LINES})"
        elif isinstance(node, ast.Assert):
            yield node.lineno, "assert outside tests: raise a typed error"


def breaches(path: Path) -> Iterator[tuple[int, str]]:
    """All breaches in one file as (line, message)."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    yield from money_breaches(tree)
    yield from size_breaches(tree, text)


def main() -> int:
    found = 0
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for line, message in breaches(path):
                print(f"{path.relative_to(ROOT)}:{line}: {message}")
                found += 1
    print(f"house rules: {found} breaches" if found else "house rules: kept")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

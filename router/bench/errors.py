"""Why a file cannot be measured. None of these shows a prompt."""

from __future__ import annotations

from collections.abc import Sequence


class BenchError(Exception):
    """Anything that stops a measurement; the command line prints it and exits 1."""


class MissingExtra(BenchError):
    """Packages that are not always installed are missing."""

    def __init__(self, module: str, extra: str = "routing") -> None:
        super().__init__(f"this needs {module}: pip install 'vibes-rails[{extra}]'")
        self.module, self.extra = module, extra


class UnreadableTable(BenchError):
    """The file is no Parquet file, or is damaged."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"cannot read {path} as Parquet: {reason}")
        self.path, self.reason = path, reason


class MissingColumns(BenchError):
    """The file lacks columns that it must have."""

    def __init__(self, path: str, missing: Sequence[str], found: Sequence[str]) -> None:
        super().__init__(
            f"{path} has no {' and no '.join(missing)}; its columns are: {', '.join(found) or 'none'}"
        )
        self.path, self.missing, self.found = path, tuple(missing), tuple(found)


class BadColumn(BenchError):
    """A column holds something that it must not."""

    def __init__(self, path: str, column: str, problem: str, row: int | None = None) -> None:
        super().__init__(
            f"{path}: column {column!r} {problem}" + ("" if row is None else f" (row {row}, from 0)")
        )
        self.path, self.column, self.problem, self.row = path, column, problem, row


class TooFewRows(BenchError):
    """There are not enough rows to say anything, or to fit on a part and judge on the rest."""

    def __init__(self, path: str, rows: int, least: int, dropped: int = 0) -> None:
        why = f": {dropped} were left out, because a value is missing" if dropped else ""
        super().__init__(f"{path} leaves {rows} rows to work with, and at least {least} are needed{why}")
        self.path, self.rows, self.least = path, rows, least

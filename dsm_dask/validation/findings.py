"""Findings: what a check says."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import pyarrow as pa

from dsm_dask import storage
from dsm_dask.report import check_page, notebook

Severity = Literal["error", "warning"]

SHOWN = 20
"""Partitions that a finding names; the rest is counted."""


@dataclasses.dataclass(frozen=True)
class Place:
    """A partition, and how many of its rows break a rule."""

    partition: str
    count: int


@dataclasses.dataclass(frozen=True)
class Example:
    """A row that breaks a rule. ``value`` is JSON-safe (:func:`dsm_dask.stats.values.to_json`),
    text and bytes cut short; of several columns, by name."""

    row_id: int
    value: Any


@dataclasses.dataclass(frozen=True)
class Finding:
    """A rule that does not hold.

    ``column`` is None for a rule of the whole table, a list for a key of several columns. ``count``
    rows break the rule, ``share`` of all; both are None where no single row is to blame (a type, a
    missing column, a mean). At most 20 ``partitions`` are named, in the order of the table, and
    ``more_partitions`` have such rows, too; ``examples`` are the first rows of the table.
    """

    rule: str
    column: str | tuple[str, ...] | None
    what: str
    expected: Any
    found: Any
    count: int | None = None
    share: float | None = None
    partitions: tuple[Place, ...] = ()
    more_partitions: int = 0
    examples: tuple[Example, ...] = ()
    severity: Severity = "error"

    def to_dict(self) -> dict[str, Any]:
        shown = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        if isinstance(self.column, tuple):
            shown["column"] = list(self.column)
        shown["partitions"] = [dataclasses.asdict(place) for place in self.partitions]
        shown["examples"] = [dataclasses.asdict(example) for example in self.examples]
        return shown


@dataclasses.dataclass(frozen=True)
class Checked:
    """What a check of ``data`` against a schema said; ``columns`` and ``rules`` were checked."""

    data: str
    against: str
    rows: int
    findings: tuple[Finding, ...]
    columns: int
    rules: int
    io: Any = None
    skipped: Any = None

    @property
    def passed(self) -> bool:
        return not self.findings

    def to_dict(self) -> dict[str, Any]:
        """``data, against, passed, rows, findings, checked``; see ``docs/check.schema.json``."""
        shown: dict[str, Any] = {
            "data": self.data,
            "against": self.against,
            "passed": self.passed,
            "rows": self.rows,
            "findings": [finding.to_dict() for finding in self.findings],
            "checked": {"columns": self.columns, "rules": self.rules},
        }
        if self.io is not None:
            shown["io"] = self.io.to_dict()
        if self.skipped:
            shown["skipped"] = [one.to_dict() for one in self.skipped]
        return shown

    def save_html(self, uri: str, title: str = "Check") -> int:
        """Write what the check said as one self-contained page; its size in bytes."""
        page = check_page(self.to_dict(), title=title).encode()
        storage.write(uri, page)
        return len(page)

    def to_arrow(self) -> pa.Table:
        """One row a finding; values of columns as text, for they differ in type."""
        rows = []
        for shown in (finding.to_dict() for finding in self.findings):
            told = {key: _text(shown[key]) for key in ("column", "expected", "found")}
            examples = [{**one, "value": _text(one["value"])} for one in shown["examples"]]
            rows.append({**shown, **told, "examples": examples})
        return pa.Table.from_pylist(rows, schema=_SCHEMA)

    def _repr_html_(self) -> str:
        if self.passed:
            verdict = "passed"
        else:
            verdict = f"{len(self.findings):,} finding{'s' if len(self.findings) > 1 else ''}"
        heads = ("column", "rule", "what", "expected", "found", "count")
        told = [finding.to_dict() for finding in self.findings]
        rows = [[_text(shown[head]) or "" for head in heads] for shown in told]
        caption = f"{verdict}: {self.columns:,} columns, {self.rules:,} rules, {self.rows:,} rows"
        return notebook.table(caption, heads, rows)


def _text(value: Any) -> str | None:
    if isinstance(value, (list, tuple)):
        return ", ".join(str(item) for item in value)
    return None if value is None else str(value)


_SCHEMA = pa.schema(
    {
        "rule": pa.string(),
        "column": pa.string(),
        "what": pa.string(),
        "expected": pa.string(),
        "found": pa.string(),
        "count": pa.int64(),
        "share": pa.float64(),
        "partitions": pa.list_(pa.struct({"partition": pa.string(), "count": pa.int64()})),
        "more_partitions": pa.int64(),
        "examples": pa.list_(pa.struct({"row_id": pa.uint64(), "value": pa.string()})),
        "severity": pa.string(),
    }
)

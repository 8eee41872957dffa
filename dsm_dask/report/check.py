"""What the page of a check shows: which rules do not hold, column by column."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from dsm_dask.report import text
from dsm_dask.report.phrases import Number, Phrase

Json = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Broken:
    """A rule that does not hold. ``partitions`` and ``examples`` are pairs."""

    rule: str
    what: str
    severity: str
    expected: str
    found: str
    count: str
    partitions: tuple[tuple[str, str], ...]
    more: int
    examples: tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True)
class Group:
    """The findings of one column, or of the table as a whole."""

    name: str
    whole: bool
    told: str
    findings: tuple[Broken, ...]


def groups(found: Json) -> list[Group]:
    """Findings by column, in the order in which they come; those of the whole table first."""
    by: dict[str | None, list[Broken]] = {}
    for finding in found.get("findings") or []:
        by.setdefault(_column(finding.get("column")), []).append(_broken(finding))
    return [
        Group(name or ("The table" if name is None else "(no name)"), name is None,
              f"{text.many(len(broken), 'finding')}: "
              f"{', '.join(dict.fromkeys(one.rule for one in broken))}", tuple(broken))
        for name, broken in sorted(by.items(), key=lambda item: item[0] is not None)
    ]  # fmt: skip


def verdict(found: Json) -> list[Phrase]:
    """Passed or failed, in one line."""
    findings = found.get("findings") or []
    checked = found.get("checked") or {}
    scope = (
        f"{text.many(checked.get('rules') or 0, 'rule')} on "
        f"{text.many(checked.get('columns') or 0, 'column')} of "
        f"{text.many(found.get('rows') or 0, 'row')}"
    )
    if found.get("passed", not findings):
        noted = f", with {text.many(len(findings), 'warning')}" if findings else ""
        return [Phrase("Passed.", "strong"), Phrase(f" {scope} hold{noted}.")]
    names = {_column(finding.get("column")) for finding in findings} - {None}
    of = f" in {text.many(len(names), 'column')}" if names else ""
    told = f" {text.many(len(findings), 'finding')}{of}, from {scope}."
    return [Phrase("Failed.", "strong"), Phrase(told)]


def numbers(found: Json) -> list[Number]:
    """The big figures."""
    findings, checked = found.get("findings") or [], found.get("checked") or {}
    warnings = sum(finding.get("severity") == "warning" for finding in findings)
    return [
        Number("Errors", text.count(len(findings) - warnings)),
        Number("Warnings", text.count(warnings)),
        Number("Rules checked", text.count(checked.get("rules") or 0)),
        Number("Columns checked", text.count(checked.get("columns") or 0)),
        Number("Rows", text.count(found.get("rows") or 0)),
    ]


def shown(value: Any) -> str:
    """A value of JSON as people read it.

    >>> shown([1, "a"]), shown({"min": 0.5}), shown(None), shown(""), shown("  ")
    ('1, a', 'min 0.5', 'null', '(empty)', '(blank)')
    """
    if isinstance(value, Mapping):
        parts = (f"{text.visible(k)} {shown(v)}" for k, v in value.items())
        return ", ".join(parts) or "nothing"
    if isinstance(value, (list, tuple)):
        return ", ".join(shown(item) for item in value) or "none"
    if isinstance(value, str):
        return text.visible(value) if value.strip() else "(blank)" if value else "(empty)"
    return text.number(value)


def _column(column: Any) -> str | None:
    if column is None:
        return None
    if isinstance(column, (list, tuple)):
        return " + ".join(text.visible(name) for name in column)
    return text.visible(column)


def _broken(finding: Json) -> Broken:
    count, share = finding.get("count"), finding.get("share")
    told = "" if count is None else text.many(count, "row")
    if told and share is not None:
        told += f", {text.share(share, 1)} of all"
    expected, found = finding.get("expected"), finding.get("found")
    return Broken(
        rule=text.visible(finding.get("rule") or ""),
        what=text.visible(finding.get("what") or ""),
        severity="warning" if finding.get("severity") == "warning" else "error",
        expected="" if expected is None else shown(expected),
        found="" if found is None else shown(found),
        count=told,
        partitions=tuple((text.visible(place.get("partition")), text.count(place.get("count") or 0))
                         for place in finding.get("partitions") or []),
        more=finding.get("more_partitions") or 0,
        examples=tuple((text.visible(one.get("row_id")), _example(one.get("value")))
                       for one in finding.get("examples") or []),
    )  # fmt: skip


def _example(value: Any) -> str:
    if isinstance(value, Mapping):
        return text.visible(json.dumps(value, ensure_ascii=False))
    return shown(value)

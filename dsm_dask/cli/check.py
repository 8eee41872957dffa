"""``dsm check``."""

from __future__ import annotations

from typing import Any

import click

from dsm_dask import storage
from dsm_dask.cli import text
from dsm_dask.cli.outcome import DATA, ON_ERROR, Outcome, verb
from dsm_dask.dataset.version import open_data
from dsm_dask.errors import UsageError
from dsm_dask.monitoring.drift import open_side
from dsm_dask.validation.check import EXAMPLES, check, infer_schema
from dsm_dask.validation.schema_file import is_schema_file, load_schema

PLACES = 3
"""Partitions told of a finding."""


@verb
@DATA
@click.option(
    "--against", metavar="X", help="A schema (.yaml), saved sketches, or data: files or a dataset."
)
@click.option("--infer", metavar="FILE", help="Write the schema of DATA to this YAML, and stop.")
@click.option("--columns", metavar="A,B,...", help="Only these columns.")
@click.option(
    "--examples", type=click.IntRange(0), help=f"Rows shown of a finding, by default {EXAMPLES}."
)
@click.option("--scratch", metavar="URI", help="Where keys of files go that workers share.")
@click.option("--html", metavar="FILE", help="Write the findings as an HTML page, too.")
@ON_ERROR
def command(
    out: Outcome,
    data: str,
    against: str | None,
    infer: str | None,
    columns: str | None,
    examples: int | None,
    scratch: str | None,
    html: str | None,
) -> None:
    """Hold DATA to a schema: types, ranges, nulls, categories, keys, and more.

    X is a schema file, saved sketches, or other data, whose schema is then inferred. The states
    kept beside a dataset tell which rules may be broken; only the columns of those are read. Exit
    code 1 when there are findings.

    --infer writes the schema that DATA keeps to, for you to edit.
    """
    chosen = [name.strip() for name in columns.split(",")] if columns else None
    if infer is not None:
        given = {"--against": against, "--examples": examples, "--html": html}
        for option in [name for name, value in given.items() if value is not None]:
            raise UsageError(f"--infer stops before a check: {option} has no use.")
        _infer(out, data, chosen, infer, scratch)
        return
    if against is None:
        raise UsageError(
            "There is nothing to hold the data to.", valid="Give --against X, or --infer FILE."
        )
    is_file = is_schema_file(against)
    reference = load_schema(against) if is_file else open_side(against, out.engine.map)
    table = open_data(data, out.engine.map)
    wanted = EXAMPLES if examples is None else examples
    found = check(table, reference, chosen, engine=out.engine, examples=wanted, scratch=scratch)
    if html:
        found.save_html(html, data)
    shown = {**found.to_dict(), "data": data, "against": against}
    out.say(shown, lambda: _text(shown), exit_code=0 if found.passed else 1)


def _infer(
    out: Outcome, data: str, columns: list[str] | None, uri: str, scratch: str | None
) -> None:
    if not is_schema_file(uri):
        raise UsageError(f"A schema is a YAML file; {uri!r} is not named so.", valid="F.yaml")
    side = open_side(data, out.engine.map)
    made = infer_schema(side, columns, engine=out.engine, scratch=scratch)
    storage.write(uri, made.to_yaml(data).encode())
    names = list(made.schema.columns)
    shown = {"data": data, "schema": uri, "columns": names, "estimated": list(made.estimated)}
    out.say(shown, lambda: f"{uri}: schema of {len(names):,} columns; edit it, then --against it")


def _text(found: dict[str, Any]) -> str:
    findings, checked = found["findings"], found["checked"]
    many = f"{len(findings):,} finding{'' if len(findings) == 1 else 's'}"
    lines = ["Passed" if found["passed"] else f"Failed: {many}"]
    for finding in findings:
        lines += _finding(finding)
    lines.append(
        f"Checked {found['rows']:,} rows, {checked['columns']:,} columns, {checked['rules']:,} "
        f"rules: {found['data']} against {found['against']}"
    )
    return "\n".join(lines)


def _finding(finding: dict[str, Any]) -> list[str]:
    column = finding["column"]
    names = column if isinstance(column, list) else [column or "the table"]
    where = " + ".join(text.short(name, 24) for name in names)
    mark = "✗" if finding["severity"] == "error" else "!"
    line = f"{mark} {where}: {finding['what']}"
    if finding["count"] is not None:
        plural = "" if finding["count"] == 1 else "s"
        line += f": {finding['count']:,} row{plural} ({_percent(finding['share'])})"
    told = [
        f"{word} {text.short(finding[key], 60)}"
        for key, word in (("expected", "expected"), ("found", "found"))
        if finding[key] is not None and not (key == "found" and finding[key] == finding["count"])
    ]
    lines = [f"{line}; {', '.join(told)}" if told else line]
    if finding["partitions"]:
        places = finding["partitions"][:PLACES]
        more = len(finding["partitions"]) - len(places) + finding["more_partitions"]
        named = ", ".join(f"{place['partition']} ({place['count']:,})" for place in places)
        lines.append(f"    in {named}" + (f" and {more:,} more" if more else ""))
    if finding["examples"]:
        rows = [f"{one['row_id']} = {_value(one['value'])}" for one in finding["examples"]]
        lines.append(f"    rows {', '.join(rows)}")
    return lines


def _percent(share: float) -> str:
    """
    >>> _percent(0.25), _percent(0.000001)
    ('25 %', '< 0.01 %')
    """
    return f"{share * 100:.3g} %" if share >= 0.0001 else "< 0.01 %"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return " | ".join(_value(part) for part in value.values())
    if value is None:
        return "null"
    return text.short(repr(value) if isinstance(value, str) else value, 40)

"""Check: which rules of a schema data breaks, where, and how often.

First the states of the data (kept beside a dataset) tell which rules can be broken, without a row
being read. Then the columns of those alone are read, for exact counts, partitions and examples, and
of a dataset with large columns only the partitions whose own states do not clear them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

from dsm_dask.engine import Engine
from dsm_dask.errors import UnknownColumn, UsageError, nearest
from dsm_dask.stats.distinct import Distinct
from dsm_dask.stats.sketches import Sketches, sketch
from dsm_dask.table import Table, check_columns
from dsm_dask.validation.column_rules import Rule, column_rules, schema_findings
from dsm_dask.validation.findings import SHOWN, Checked, Example, Finding, Place
from dsm_dask.validation.infer import Inferred, infer
from dsm_dask.validation.keys import find_repeats
from dsm_dask.validation.schema import Schema
from dsm_dask.validation.suspects import cleared
from dsm_dask.validation.violations import Inspect

EXAMPLES = 5


def infer_schema(
    reference: Table | Sketches,
    columns: Sequence[str] | None = None,
    *,
    engine: Engine,
    scratch: str | None = None,
) -> Inferred:
    """The schema that ``reference`` keeps to; see :func:`dsm_dask.validation.infer.infer`.

    Where the rows are at hand, uniqueness that sketches only estimate is looked up (for ``scratch``
    see :func:`~dsm_dask.validation.keys.find_repeats`); only sketches leave columns ``estimated``.
    """
    if isinstance(reference, Sketches):
        names = list(reference.columns) if columns is None else _known(reference, columns)
        kept = {name: reference.columns[name] for name in names}
        return infer(dataclasses.replace(reference, columns=kept))
    made = infer(sketch(reference, columns, engine=engine))
    unique = [
        name
        for name in made.estimated
        if not find_repeats(reference, [name], 0, engine=engine, scratch=scratch).count
    ]
    return Inferred(made.certain(tuple(unique)))


def check(
    data: Table,
    against: Schema | Sketches | Table,
    columns: Sequence[str] | None = None,
    *,
    engine: Engine,
    examples: int = EXAMPLES,
    scratch: str | None = None,
) -> Checked:
    """Hold ``data`` to a schema, or to the one inferred from sketches or from other data.

    Uniqueness that saved sketches only estimate is no rule. ``columns`` limits the check to some;
    keys count when all of their columns are among them. ``examples`` rows are shown a finding.
    ``scratch`` is where key files go that cannot be kept beside a dataset
    (:func:`dsm_dask.validation.keys.find_repeats`).

    Raises :class:`~dsm_dask.errors.UnknownColumn` for a column that neither side has.
    """
    if examples < 0:
        raise UsageError("There cannot be fewer than 0 examples.", valid="--examples 5")
    mark = engine.mark()
    title = "schema"
    if not isinstance(against, Schema):
        title = str(getattr(against, "name", against.uri))
        known = against.schema.names if columns is None else _present(against, columns)
        inferred = infer_schema(against, known, engine=engine, scratch=scratch)
        against = inferred.certain()
    schema, names = _narrowed(against, data, columns)
    present = [name for name in data.schema.names if name in names]
    sketches = sketch(data, [n for n in present if n in schema.columns], engine=engine)
    fixed = schema_findings(schema, data, names)
    rules = [
        rule
        for name, column in schema.columns.items()
        if name in sketches.columns
        for rule in column_rules(name, column, sketches)
    ]
    found = [*fixed.findings, *_broken(data, schema, sketches, rules, examples, engine)]
    found += _keys(data, schema, sketches, examples, engine, scratch)
    order = {name: i for i, name in enumerate([*schema.columns, *data.schema.names])}
    return Checked(
        data=str(getattr(data, "name", data.uri)),
        against=title,
        rows=data.rows,
        findings=tuple(sorted(found, key=lambda finding: _place(finding, order))),
        columns=len({*schema.columns, *names}),
        rules=fixed.rules + len(rules) + len(_all_keys(schema, data)),
        io=mark.io,
        skipped=mark.skipped,
    )


def _place(finding: Finding, order: dict[str, int]) -> tuple[int, int]:
    if isinstance(finding.column, str):
        return 1, order[finding.column]
    return (0 if finding.column is None else 2), 0


def _known(side: Sketches, columns: Sequence[str]) -> list[str]:
    for name in columns:
        if name not in side.columns:
            raise UnknownColumn(
                f"There is no column {name!r}.", where=side.uri, valid=nearest(name, side.columns)
            )
    return list(columns)


def _present(side: Table | Sketches, columns: Sequence[str]) -> list[str]:
    known = set(side.columns if isinstance(side, Sketches) else side.schema.names)
    return [name for name in columns if name in known]


def _narrowed(
    schema: Schema, data: Table, columns: Sequence[str] | None
) -> tuple[Schema, set[str]]:
    """The part of a schema that is about some columns, and the columns of the data to look at."""
    if columns is None:
        return schema, set(data.schema.names)
    check_columns(data, [name for name in columns if name not in schema.columns])
    chosen = set(columns)
    kept = {name: column for name, column in schema.columns.items() if name in chosen}
    keys = tuple(key for key in schema.keys if chosen.issuperset(key))
    narrowed = schema.model_copy(update={"columns": kept, "keys": keys})
    return narrowed, chosen & set(data.schema.names)


def _broken(
    data: Table,
    schema: Schema,
    sketches: Sketches,
    rules: Iterable[Rule],
    examples: int,
    engine: Engine,
) -> list[Finding]:
    """The findings of the rules that the states do not clear."""
    suspects = [rule for rule in rules if not rule.holds]
    findings = [rule.finding for rule in suspects if rule.violation is None]
    read = [rule for rule in suspects if rule.violation is not None]
    if not read:
        return findings
    violations = tuple(rule.violation for rule in read if rule.violation is not None)
    columns = {violation.column: schema.columns[violation.column] for violation in violations}
    inspect = Inspect(violations, examples, cleared(data, columns, sketches))
    seen = engine.map_partitions(inspect, data.partitions(), label="Checking")
    for i, rule in enumerate(read):
        counts = [(label, parts[i].count) for label, parts in seen]
        shown = [example for _, parts in seen for example in parts[i].examples]
        found = _counted(rule.finding, counts, shown[:examples], data.rows)
        findings += [found] if found is not None else []
    return findings


def _counted(
    finding: Finding, counts: Iterable[tuple[str, int]], shown: Sequence[Example], rows: int
) -> Finding | None:
    places = [Place(label, count) for label, count in counts if count]
    count = sum(place.count for place in places)
    if not count:
        return None
    return dataclasses.replace(
        finding,
        count=count,
        share=count / rows,
        partitions=tuple(places[:SHOWN]),
        more_partitions=max(0, len(places) - SHOWN),
        examples=tuple(shown),
    )


# ---------------------------------------------------------------------------------------------
# Keys


def _all_keys(schema: Schema, data: Table) -> list[tuple[str, ...]]:
    single = [(name,) for name, column in schema.columns.items() if column.unique]
    known = set(data.schema.names)
    return [key for key in dict.fromkeys([*single, *schema.keys]) if known.issuperset(key)]


def _keys(
    data: Table,
    schema: Schema,
    sketches: Sketches,
    examples: int,
    engine: Engine,
    scratch: str | None,
) -> list[Finding]:
    findings = []
    labels: list[str] | None = None
    for key in _all_keys(schema, data):
        if len(key) == 1 and _surely_unique(sketches, key[0]):
            continue
        repeats = find_repeats(data, key, examples, engine=engine, scratch=scratch)
        if not repeats.count:
            continue
        labels = labels or [partition.label for partition in data.partitions()]
        column: Any = key[0] if len(key) == 1 else key
        finding = Finding(
            "unique" if len(key) == 1 else "key",
            column,
            "rows repeat a value" if len(key) == 1 else "rows repeat a key",
            "no value twice",
            repeats.count,
        )
        counts = [(labels[i], count) for i, count in repeats.partitions.items()]
        found = _counted(finding, counts, repeats.examples, data.rows)
        findings += [found] if found is not None else []
    return findings


def _surely_unique(sketches: Sketches, name: str) -> bool:
    states = sketches.columns[name]
    if "distinct" not in states:
        return False
    found = Distinct(name).finish(states["distinct"])
    return found.exact and found.count == states["counts"].values

"""Whether scores may be written under their names: said before anything is read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dsm_dask.dataset.class_names import bounded
from dsm_dask.dataset.version import Dataset
from dsm_dask.errors import SchemaError, UsageError
from dsm_dask.scores.column_metadata import ColumnMetadata
from dsm_dask.scores.prepared import Prepared
from dsm_dask.table import check_columns


def check(
    base: Dataset, steps: Sequence[Prepared], known: Mapping[str, ColumnMetadata], replace: bool
) -> None:
    """Raise for what cannot be, before anything is read."""
    if not steps:
        raise UsageError("There is nothing to score by.", valid="Give at least one scorer.")
    made = [name for step in steps for name in step.schema.names]
    for name in made:
        if made.count(name) > 1:
            raise UsageError(f"Two scores are to be called {name!r}.")
        if name.startswith(("_row", "_dsm")):
            raise UsageError(f"{name!r}: names that begin with _row and _dsm are reserved.")
        if "." in name or "`" in name:
            raise UsageError(
                f"{name!r}: names of stored columns have no dots or backticks.",
                valid="Another --prefix.",
            )
    for step in steps:
        for name in (*step.columns, *step.sources):
            if name in made:
                raise UsageError(
                    f"{step.scorer.name} reads {name!r}, which the same run writes.",
                    valid="Score in two runs, or write under another --prefix.",
                )
        check_columns(base, (*step.columns, *step.sources))
        for name in step.schema.names:
            _check_column(base, step, name, known.get(name), replace)


def _check_column(
    base: Dataset, step: Prepared, name: str, known: ColumnMetadata | None, replace: bool
) -> None:
    if known is None:
        if name in base.schema.names:
            raise SchemaError(
                f"{base.name} has a column {name!r} that holds no scores.",
                where=base.name,
                valid="Write the scores under other names with --prefix.",
            )
        return
    asked = step.metadata
    if not replace and not known.made_alike(asked) and not known.names_differ(asked):
        was, now = _differing(known, asked)
        raise UsageError(
            f"Column {name!r} was made with {was}, not {now}.",
            where=base.name,
            valid="--replace computes it again; --prefix writes both side by side.",
        )


def _differing(known: ColumnMetadata, asked: ColumnMetadata) -> tuple[str, str]:
    """What sets two columns apart, for people."""
    sides: list[list[str]] = [[], []]
    pairs: dict[str, tuple[Any, Any]] = {
        "scorer": (known.scorer, asked.scorer),
        "columns": (list(known.sources), list(asked.sources)),
    }
    was_told, now_told = bounded(known.parameters)[0], bounded(asked.parameters)[0]
    for name in dict.fromkeys([*was_told, *now_told]):
        pairs[name] = (was_told.get(name), now_told.get(name))
    for name, (was, now) in pairs.items():
        if was != now:
            sides[0].append(f"{name} {json.dumps(was)}")
            sides[1].append(f"{name} {json.dumps(now)}")
    return ", ".join(sides[0]), ", ".join(sides[1])

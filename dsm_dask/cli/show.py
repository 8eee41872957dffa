"""``dsm show``."""

from __future__ import annotations

from typing import Any

import click

from dsm_dask.cli import text
from dsm_dask.cli.outcome import Outcome, verb
from dsm_dask.dataset.history import show
from dsm_dask.dataset.version import open_dataset
from dsm_dask.scores import column_metadata


@verb
@click.argument("dataset")
def command(out: Outcome, dataset: str) -> None:
    """Tell everything about one version."""
    opened = open_dataset(dataset)
    scores = {name: one.to_dict() for name, one in column_metadata.read(opened).items()}
    found = {**show(opened).to_dict(), "scores": scores}
    out.say(found, lambda: _text(found))


def _text(found: dict[str, object]) -> str:
    told = {
        "dataset": found["dataset"],
        "made by": f"{found['job']} {found['message'] or ''}".strip(),
        "at": found["at"],
        "parent": found["parent"] or "none",
        "tags": ", ".join(found["tags"]) or "none",  # type: ignore[arg-type]
        "rows": found["rows"],
        "bytes": text.size(found["bytes"]),  # type: ignore[arg-type]
        "partitions": found["partitions"],
        "source files": found["sources"],
    }
    linked = set(found["linked"])  # type: ignore[call-overload]
    columns = found["columns"]
    assert isinstance(columns, dict)
    scores = found["scores"]
    assert isinstance(scores, dict)
    rows = [
        [n, kind, "linked" if n in linked else "managed", _made_by(scores.get(n))]
        for n, kind in columns.items()
    ]
    skipped = found["skipped"]
    assert isinstance(skipped, list)
    if skipped:
        more = f" and {len(skipped) - 1:,} more (--json lists them)" if len(skipped) > 1 else ""
        told["left out"] = f"{skipped[0]['partition']}{more}"
    facts = text.table(["", ""], list(told.items()))
    return f"{facts.strip()}\n\n{text.table(['column', 'type', 'stored', 'computed by'], rows)}"


def _made_by(told: dict[str, Any] | None) -> str:
    """A score's scorer and method, the columns and the version that it is from."""
    if told is None:
        return ""
    method = told["parameters"].get("method", "")
    name = f"{told['scorer']} ({method})" if method else told["scorer"]
    return f"{name} from {', '.join(told['sources'])} at version {told['version']}"

"""``dsm show``."""

from __future__ import annotations

import click

from dsm_dask.cli import text
from dsm_dask.cli.outcome import Outcome, verb
from dsm_dask.dataset.history import show


@verb
@click.argument("dataset")
def command(out: Outcome, dataset: str) -> None:
    """Tell everything about one version."""
    found = show(dataset).to_dict()
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
    rows = [[n, kind, "linked" if n in linked else "managed"] for n, kind in columns.items()]
    facts = text.table(["", ""], list(told.items()))
    return f"{facts.strip()}\n\n{text.table(['column', 'type', 'stored'], rows)}"

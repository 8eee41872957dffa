"""Rows for people to look at, as results: for the terminal, as a page, as files."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from dsm_dask import storage
from dsm_dask.report import issues_page, notebook
from dsm_dask.scores.review.row_values import Text, Value
from dsm_dask.scores.review.thumbnails import Image
from dsm_dask.task import Skipped


@dataclasses.dataclass(frozen=True)
class QueuedRow:
    """A row to look at. ``ranked``: what it was put in order by, more is earlier; ``scores`` by
    column; ``label``: as it is; ``suggested``: what else it may be; ``key``: of the key column;
    ``shown``: values of other columns."""

    row: int
    ranked: float
    reasons: tuple[str, ...]
    key: Any = None
    label: Any = None
    suggested: Any = None
    scores: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    shown: Mapping[str, Value] = dataclasses.field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As in JSON: texts as they were fetched, images as data URIs."""
        return {
            **{f.name: getattr(self, f.name) for f in dataclasses.fields(self)},
            "reasons": list(self.reasons), "scores": dict(self.scores),
            "shown": {name: plain_value(value) for name, value in self.shown.items()},
        }  # fmt: skip


def plain_value(value: Value) -> Any:
    """A value as text or number; an image as a data URI."""
    if isinstance(value, Image):
        return value.uri or f"image of {value.size:,} bytes"
    return value.text if isinstance(value, Text) else value


@dataclasses.dataclass(frozen=True)
class Queue:
    """Rows for people to look at, in order; ``ranked`` is how many rows had a place in it."""

    dataset: str
    rows: int
    ranked: int
    by: str
    queued: tuple[QueuedRow, ...]
    measures: tuple[str, ...] = ()
    version: str | None = None
    balance: str | None = None
    where: str | None = None
    label: str | None = None
    label_type: str | None = None
    key: str | None = None
    asks_who: bool = True
    """Whether a form may have a column for who fills it in: the dataset has none of that name."""
    skipped: tuple[Skipped, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As in JSON."""
        return {
            **{f.name: getattr(self, f.name) for f in dataclasses.fields(self)},
            "measures": list(self.measures),
            "queued": [one.to_dict() for one in self.queued],
            "skipped": [one.to_dict() for one in self.skipped],
        }  # fmt: skip

    def save_html(self, uri: str, title: str = "Review queue") -> int:
        """Write the queue as one self-contained page; its size in bytes."""
        page = issues_page(self._for_page(), title=title).encode()
        storage.write(uri, page)
        return len(page)

    def save(self, uri: str, format: str | None = None) -> int:
        """Write the queue as a file for people or annotation tools (see
        :mod:`dsm_dask.scores.review.queue_export`); its size in bytes."""
        from dsm_dask.scores.review.queue_export import encode

        made = encode(self, uri, format)
        storage.write(uri, made)
        return len(made)

    def _for_page(self) -> dict[str, Any]:
        found = self.to_dict()
        for told, one in zip(found["queued"], self.queued, strict=True):
            told["shown"] = {
                name: dataclasses.asdict(value) if isinstance(value, (Text, Image)) else value
                for name, value in one.shown.items()
            }
        return found

    def _repr_html_(self) -> str:
        rows = [
            (f"{one.row:,}", notebook.cell(str(one.label), 1), notebook.cell(str(one.suggested), 2),
             notebook.cell("; ".join(one.reasons), 3))
            for one in self.queued[:20]
        ]  # fmt: skip
        caption = f"{len(self.queued):,} of {self.ranked:,} rows, by {self.by}"
        return notebook.table(caption, ("row", "label", "suggested", "why"), rows)

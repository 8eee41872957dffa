"""What deduplication found, whatever the method."""

from __future__ import annotations

import dataclasses
from typing import Any

from dsm_dask import storage
from dsm_dask.duplicates.examples import Beside, Cluster
from dsm_dask.report import dedup_page, notebook
from dsm_dask.task import Skipped


@dataclasses.dataclass(frozen=True)
class Overlap:
    """What the data shares with another table."""

    against: str
    clusters: int
    rows: int
    """Rows of the data that have a duplicate over there."""
    other_rows: int
    """Rows over there that have a duplicate in the data."""


@dataclasses.dataclass(frozen=True)
class IndexUse:
    """What was computed of the rows and is kept, or was known before."""

    files: int
    hashed: int
    """Files that this run wrote: partitions that had no index yet."""
    bytes: int
    compared: int = 0
    """Rows of which the texts were read again to be compared."""


@dataclasses.dataclass(frozen=True)
class Deduplicated:
    """What was found, and, with ``drop`` or ``columns``, committed."""

    rows: int
    clusters: int
    duplicates: int
    """Rows of the data that repeat a row that is kept."""
    on: tuple[str, ...]
    method: str = "exact"
    dataset: str | None = None
    version: int | None = None
    """The version without the duplicates, or with the new columns; on this ``branch``."""
    branch: str | None = None
    committed: bool = False
    out: str | None = None
    largest: tuple[Cluster, ...] = ()
    key_bytes: int = 0
    """Bytes of the key files: kept beside a dataset, and reused by the next run."""
    parameters: dict[str, Any] | None = None
    """Threshold and the like, as used; None for exact."""
    sizes: tuple[tuple[int, int, int], ...] | None = None
    """Histogram of the rows in a cluster: (least, most, clusters)."""
    similarities: tuple[tuple[float, float, int], ...] | None = None
    """Histogram of the similarity of the pairs that connect the clusters: (from, to, pairs)."""
    against: tuple[Overlap, ...] | None = None
    checked: int | None = None
    """Candidate pairs that were compared exactly."""
    accepted: int | None = None
    """... of which this many are duplicates."""
    index: IndexUse | None = None
    left_out: dict[str, Any] | None = None
    """Rows that could not be compared, by reason, where there are any."""
    columns: tuple[str, ...] = ()
    """Columns written next to the data."""
    notes: tuple[str, ...] = ()
    """Remarks on the data, as sentences."""
    borderline: tuple[Beside, ...] = ()
    """Pairs near the threshold, when they were asked for."""
    skipped: tuple[Skipped, ...] = ()
    """Partitions that could not be read."""

    @property
    def kept(self) -> int:
        return self.rows - self.duplicates

    @property
    def precision(self) -> float | None:
        """Share of the candidate pairs that were compared and are duplicates."""
        if not self.checked or self.accepted is None:
            return None
        return self.accepted / self.checked

    def to_dict(self) -> dict[str, Any]:
        """As in JSON; what a method has nothing to say about is left out."""
        found = dataclasses.asdict(self)
        told = {name: value for name, value in found.items() if name not in _OPTIONAL}
        told |= {name: found[name] for name in _OPTIONAL if found[name] not in (None, ())}
        told |= {
            "on": list(self.on),
            "kept": self.kept,
            "largest": [c.to_dict() for c in self.largest],
        }
        if self.checked is not None:
            told["precision"] = self.precision
        if self.skipped:
            told["skipped"] = [one.to_dict() for one in self.skipped]
        return told

    def save_html(self, uri: str, title: str = "Duplicates") -> int:
        """Write what was found as one self-contained page; its size in bytes."""
        page = dedup_page(self.to_dict(), title=title).encode()
        storage.write(uri, page)
        return len(page)

    def _repr_html_(self) -> str:
        caption = f"{self.rows:,} rows: {self.duplicates:,} repeat another, in {self.clusters:,} "
        heads = ("rows", "kept row", "value")
        rows = [
            (
                f"{one.size:,}",
                f"{one.survivor:,}",
                notebook.cell(" | ".join(one.values.values()), 4),
            )
            for one in self.largest
        ]
        return notebook.table(f"{caption}clusters", heads, rows)


_OPTIONAL = (
    "parameters", "sizes", "similarities", "against", "checked", "accepted", "index",
    "left_out", "notes", "borderline", "skipped",
)  # fmt: skip

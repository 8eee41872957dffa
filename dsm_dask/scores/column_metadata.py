"""What a column of scores says about itself: how it was made, and from what.

It stands in the metadata of its field in the Lance schema, where any tool can read it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from dsm_dask.about import __version__
from dsm_dask.dataset.class_names import bounded, digest_of, kept
from dsm_dask.dataset.columns import COMPUTED
from dsm_dask.dataset.version import Dataset


@dataclasses.dataclass(frozen=True)
class ColumnMetadata:
    """How the scores of a column came about."""

    scorer: str
    parameters: dict[str, Any]
    sources: tuple[str, ...]
    """The columns that they were computed from."""
    version: str
    """The version of the dataset that they were computed from, the last time that any were."""
    quantities: str
    """A digest of what the whole table gave: equal digests, equal scores of equal rows."""
    software: str = f"dsm-dask {__version__}"
    data: str = ""
    """A digest of the rows that the quantities are of, where the scorer tells it: as long as it
    is the same, they are not taken again."""

    def to_dict(self) -> dict[str, Any]:
        found = {**dataclasses.asdict(self), "sources": list(self.sources)}
        return found if self.data else {k: v for k, v in found.items() if k != "data"}

    def to_entry(self) -> dict[str, str]:
        """As an entry in a field's metadata."""
        return {COMPUTED: json.dumps(self.to_dict(), sort_keys=True)}

    def made_alike(self, other: ColumnMetadata) -> bool:
        """Whether the scores of both mean the same: by the same scorer, with the same parameters,
        from the same columns."""
        mine, others = (
            json.dumps([one.scorer, bounded(one.parameters)[0], one.sources], sort_keys=True)
            for one in (self, other)
        )
        return mine == others

    def names_differ(self, other: ColumnMetadata) -> bool:
        """Whether the one has numbers for classes that nobody had named, and the other their names,
        and nothing else sets them apart."""
        mine, others = ([one.scorer, list(one.sources), one.parameters] for one in (self, other))
        return (
            self.is_unnamed != other.is_unnamed
            and _without_names(mine) == _without_names(others)
            and self.class_count == other.class_count
        )

    @property
    def class_count(self) -> int:
        """Of the probabilities; 0 where there are none."""
        told = self._classes
        return int(told["count"]) if isinstance(told, dict) else len(told)

    @property
    def is_unnamed(self) -> bool:
        """Are the classes of the probabilities 0, 1, 2, ...?"""
        told, count = self._classes, self.class_count
        unnamed: list[str | int] = list(range(count))
        if isinstance(told, dict):
            return bool(told["digest"] == digest_of(unnamed))
        return bool(told) and told == unnamed

    def class_names(self, root: str) -> tuple[str | int, ...]:
        """The classes of the probabilities; none where their names are not kept below ``root``, the
        dataset."""
        told = self._classes
        return tuple(kept(root, told["digest"]) or () if isinstance(told, dict) else told)

    @property
    def _classes(self) -> Any:
        told = self.parameters.get("probabilities")
        return told.get("classes", []) if isinstance(told, dict) else []


def _without_names(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_names(one) for name, one in value.items() if name != "classes"}
    return [_without_names(one) for one in value] if isinstance(value, list) else value


def read(dataset: Dataset) -> dict[str, ColumnMetadata]:
    """The metadata of every column of scores, by its name."""
    found = {}
    for field in dataset.lance.schema:
        metadata: Mapping[bytes, bytes] = field.metadata or {}
        told = metadata.get(COMPUTED.encode())
        if told is not None:
            known = json.loads(told)
            found[field.name] = ColumnMetadata(**{**known, "sources": tuple(known["sources"])})
    return found

"""A scorer with what the whole table gave it, and the digests that tell its right scores."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from dsm_dask import codec
from dsm_dask.dataset.class_names import bounded
from dsm_dask.dataset.partition import Fragment
from dsm_dask.scores.column_metadata import ColumnMetadata
from dsm_dask.scores.scorer import Quantities, Scorer


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A scorer with what was prepared for it; a row map."""

    scorer: Scorer
    prefix: str
    """Before the names of its columns."""
    quantities: Quantities = dataclasses.field(default_factory=dict)
    version: str = ""
    """Of the dataset that the quantities are from."""
    data: str = ""
    """A digest of the rows that they are from, of scorers that tell it (``data_digest``)."""
    settled: str = ""
    """The digest of the quantities, where they were not taken again: nothing is to be computed."""

    @property
    def columns(self) -> tuple[str, ...]:
        return self.scorer.columns

    @property
    def sources(self) -> tuple[str, ...]:
        """The columns that the scores depend on, read by ``apply`` or by ``prepare``."""
        found: tuple[str, ...] = getattr(self.scorer, "sources", self.columns)
        return found

    @property
    def schema(self) -> pa.Schema:
        return pa.schema(
            [field.with_name(self.prefix + field.name) for field in self.scorer.schema]
        )

    def apply(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        made = self.scorer.apply(batch, self.quantities)
        return made.rename_columns(self.schema.names)

    @property
    def told(self) -> dict[str, Any]:
        scorer = self.scorer
        told = bounded(self.parameters)[0]
        return {"scorer": scorer.name, "parameters": told, "on": list(self.sources)}

    @property
    def quantities_digest(self) -> str:
        if self.settled:
            return self.settled
        told = {name: value for name, value in self.quantities.items() if name[0] != "_"}
        return _digest(codec.encode(sorted(told.items())))

    @property
    def parameters(self) -> dict[str, Any]:
        """As they come back from JSON: a list for a tuple, text for a number that is a key."""
        found: dict[str, Any] = json.loads(json.dumps(self.scorer.parameters, sort_keys=True))
        return found

    @property
    def class_names(self) -> dict[str, list[str | int]]:
        """Of the lists of classes that the metadata is too small for, by digest."""
        return bounded(self.parameters)[1]

    @property
    def metadata(self) -> ColumnMetadata:
        parameters = bounded(self.parameters)[0]
        digest = self.quantities_digest
        scorer = self.scorer
        return ColumnMetadata(
            scorer.name, parameters, self.sources, self.version, digest, data=self.data
        )

    @property
    def fingerprint(self) -> str:
        """Of all that the scores of a row depend on, besides the row."""
        # Not the rows that the quantities are of: these themselves are what counts.
        made = dataclasses.replace(self.metadata, version="", software="", data="").to_dict()
        made["parameters"] = self.parameters
        types = [(field.name, str(field.type)) for field in self.schema]
        return json.dumps([made, types], sort_keys=True)


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def digest_of(fingerprint: str, sources: Sequence[str], fragment: Fragment) -> str:
    """Of right scores of a fragment; part of the name of the file that holds them."""
    return _digest(json.dumps([fingerprint, fragment.files_of(sources)]).encode())

"""What a file that is kept of a partition is called."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from dsm_dask.dataset.partition import DatasetPartition
from dsm_dask.table import ROW_ID, Partition


def lasting_name(partition: Partition, columns: str | Sequence[str], *computed: str) -> str:
    """A partition's name by what its rows hold in a column or some, whichever of them were dropped,
    and by what was ``computed`` of that."""
    names = [columns] if isinstance(columns, str) else columns
    base: Any = partition.fingerprint
    if isinstance(partition, DatasetPartition):
        parts = (fragment.part for fragment in partition.fragments)
        base = [
            fragment.files[0][0] if part is None else part.fingerprint
            for fragment, part in zip(partition.fragments, parts, strict=True)
        ]
    values = partition.values_fingerprint([*names, ROW_ID])
    return hashlib.blake2b(repr((base, values, *computed)).encode(), digest_size=16).hexdigest()

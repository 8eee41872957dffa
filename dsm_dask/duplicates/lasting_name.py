"""What a file that is kept of a partition is called."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from dsm_dask.dataset.partition import DatasetPartition
from dsm_dask.table import ROW_ID, Partition


def lasting_name(partition: Partition, columns: str | Sequence[str], *computed: str) -> str:
    """A partition's name by what its rows hold in a column or some, whichever of them were dropped,
    and by what was ``computed`` of that: 40 hexadecimal digits, the first 16 of which tell whose
    rows they are (:func:`dsm_dask.dataset.leftovers.unused` goes by them)."""
    names = [columns] if isinstance(columns, str) else columns
    values = partition.values_fingerprint([*names, ROW_ID])
    if isinstance(partition, DatasetPartition):
        rows = partition.lasting_fingerprint
    else:
        rows = hashlib.blake2b(partition.fingerprint.encode(), digest_size=8).hexdigest()
    told = repr((values, *computed)).encode()
    return rows + hashlib.blake2b(told, digest_size=12).hexdigest()

"""The perceptual hashes of a partition's images, read as bytes or from the URIs that a column of
strings holds."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from dsm_dask import storage
from dsm_dask.arrays import plain
from dsm_dask.duplicates.hash_files import CAUSES, Hashed
from dsm_dask.duplicates.perceptual_hash import (
    Method,
    Undecodable,
    cause,
    perceptual_hash,
    shortened,
)
from dsm_dask.duplicates.shares import side_by_side
from dsm_dask.errors import AccessDenied, DsmError, StoreUnreachable
from dsm_dask.table import ROW_ID, Partition

AT_ONCE = 64
"""Images read side by side."""
_NONE = np.empty(0, np.uint64)


def hash_images(partition: Partition, column: str, method: Method) -> Hashed:
    """Read and decode all images of a partition.

    Raises StoreUnreachable when no store answers for any of the first :data:`AT_ONCE`.
    """
    found = [Hashed(partition.fingerprint, _NONE, _NONE, _NONE, _NONE)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of large images and odd metadata
        batches = partition.read([column, ROW_ID])
        found += [_of(batch, method, partition) for batch in batches]
    return Hashed(
        partition.fingerprint,
        np.concatenate([one.rows for one in found]),
        np.concatenate([one.hashes for one in found]),
        np.concatenate([one.nulls for one in found]),
        np.concatenate([one.undecodable for one in found]),
        tuple(why for one in found for why in one.causes)[:CAUSES],
        sum(one.unreached for one in found),
    )


def _of(batch: pa.RecordBatch, method: Method, partition: Partition) -> Hashed:
    ids = batch.column(ROW_ID).to_numpy()
    column = plain(batch.column(0))
    hashes, rows, bad, causes, unreached = [], [], [], [], 0
    for row, found in _hashes(column, method):
        if isinstance(found, Undecodable):
            unreached += isinstance(found, _Unreached)
            bad.append(row)
            causes.append(str(found))
        else:
            hashes.append(found)
            rows.append(row)
        if not hashes and unreached == len(causes) == AT_ONCE:
            raise unreachable(f"row {ids[bad[0]]} of {partition.label}: {causes[0]}")
    nulls = ids[column.is_null().to_numpy(zero_copy_only=False)]
    return Hashed(
        partition.fingerprint, ids[np.array(rows, np.int64)], np.array(hashes, np.uint64),
        nulls, ids[np.array(bad, np.int64)], tuple(causes[:CAUSES]), unreached,
    )  # fmt: skip


class _Unreached(Undecodable):
    """The store did not answer, or refused."""


def unreachable(example: str) -> StoreUnreachable:
    """The error for a store that answers for no image."""
    return StoreUnreachable(
        f"No image can be read. The first: {example}.",
        valid="Check the URIs, AWS_ENDPOINT_URL and the network, then run the same command again.",
    )


def _hashes(column: pa.Array, method: Method) -> Iterator[tuple[int, int | Undecodable]]:
    """The hash of each image that is not null, or why it has none."""

    def hashed(row: int) -> int | Undecodable:
        value = column[row].as_py()
        try:
            return perceptual_hash(_fetched(value) if isinstance(value, str) else value, method)
        except Undecodable as error:
            return error

    rows = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False)).tolist()
    for start in range(0, len(rows), AT_ONCE):
        some = rows[start : start + AT_ONCE]
        yield from zip(some, side_by_side(hashed, some), strict=True)


def _fetched(uri: str) -> bytes:
    try:
        return storage.read(uri)
    except (AccessDenied, StoreUnreachable) as error:
        inner = cause(error.__cause__) if isinstance(error.__cause__, Exception) else error.what
        told = f"the store of {uri} did not answer, or refused: {inner}"
        raise _Unreached(shortened(told)) from None
    except DsmError as error:
        raise Undecodable(shortened(error.what)) from None
    except Exception as error:  # a URI that is none leads to whatever its file system raises
        raise Undecodable(shortened(f"{cause(error)}: {uri}")) from error

"""Embedding columns as unit vectors: what cosine similarity is computed from.

A column is a list of floats (float16, float32 or float64), of fixed size or of one size throughout.
Rows without a direction are left out and counted: null, all zeros, or with a component that is
null, NaN or infinite.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from dsm_dask import arrays
from dsm_dask.errors import SchemaError

Vectors = npt.NDArray[np.float32]
U64 = npt.NDArray[np.uint64]
SHOWN = 5
"""Row ids named in an error."""


@dataclasses.dataclass(frozen=True)
class LeftOut:
    """Rows that have no direction, by reason; none of them is a duplicate of anything."""

    null: int = 0
    zero: int = 0
    not_finite: int = 0
    """A component is null, NaN or infinite."""

    def __add__(self, other: LeftOut) -> LeftOut:
        return LeftOut(
            self.null + other.null, self.zero + other.zero, self.not_finite + other.not_finite
        )

    @staticmethod
    def of(left: U64) -> LeftOut:
        """How many there are of each reason; see :attr:`UnitVectors.left`."""
        return LeftOut(*np.bincount(left[:, 1].astype(np.int64), minlength=3).tolist())

    @property
    def rows(self) -> int:
        return self.null + self.zero + self.not_finite

    def to_dict(self) -> dict[str, int]:
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class UnitVectors:
    """Vectors of length 1, float32 of shape (rows, dimension), with their rows' ids (uint64) and
    128-bit hashes (uint64 of shape (rows, 2)); equal vectors have equal hashes."""

    ids: U64
    vectors: Vectors
    hashes: U64
    left_out: LeftOut = LeftOut()
    left: U64 = dataclasses.field(default_factory=lambda: np.empty((0, 2), np.uint64))
    """The rows left out, as pairs: row id, reason (its number among the fields of LeftOut)."""


def is_embedding(dtype: pa.DataType) -> bool:
    """
    >>> is_embedding(pa.list_(pa.float16(), 3)), is_embedding(pa.list_(pa.string()))
    (True, False)
    """
    dtype, types = arrays.plain_type(dtype), pa.types
    listed = types.is_list(dtype) or types.is_large_list(dtype) or types.is_fixed_size_list(dtype)
    return bool(listed and types.is_floating(dtype.value_type))


def unit_vectors(array: pa.Array, ids: U64, *, dimension: int | None, where: str) -> UnitVectors:
    """The unit vectors of a column: ``v / |v|``, computed in float64, stored as float32.

    ``dimension`` is what every vector must have, None for what the first one has. Raises
    SchemaError, naming row ids and ``where``, when a vector has another one.

    >>> column = pa.array([[3, 4], [0, 0], None], pa.list_(pa.float32()))
    >>> found = unit_vectors(column, np.arange(3, dtype=np.uint64), dimension=None, where="a file")
    >>> found.vectors.round(2).tolist(), found.left_out.rows
    ([[0.6000000238418579, 0.800000011920929]], 2)
    """
    array = arrays.plain(array)
    lengths = pc.fill_null(pc.list_value_length(array), -1).to_numpy(zero_copy_only=False)
    valid = lengths >= 0
    if dimension is None:
        dimension = int(lengths[valid][0]) if valid.any() else 0
    _check_dimension(lengths, valid, ids, dimension, where)
    items = arrays.plain(array.flatten())  # values under nulls are left out
    raw = arrays.fixed_width(items).astype(np.float64).reshape(int(valid.sum()), dimension)
    known = arrays.validity(items)
    finite = np.isfinite(raw).all(axis=1)
    if known is not None:
        finite &= known.reshape(raw.shape).all(axis=1)
    raw = raw[finite]
    # by the largest component first, so that no square overflows or vanishes
    largest = np.abs(raw).max(axis=1, initial=0.0)
    there = largest > 0
    raw = raw[there] / largest[there][:, None]
    raw /= np.sqrt((raw * raw).sum(axis=1))[:, None]
    vectors = raw.astype(np.float32) + np.float32(0)  # -0.0 + 0.0 is 0.0
    out = (ids[~valid], ids[valid][finite][~there], ids[valid][~finite])
    left = [np.stack([some, np.full(len(some), n, np.uint64)], 1) for n, some in enumerate(out)]
    return UnitVectors(
        ids[valid][finite][there], vectors, hashes(vectors), LeftOut(*map(len, out)),
        np.concatenate(left),
    )  # fmt: skip


def hashes(vectors: Vectors) -> U64:
    """XXH3-128 of each row's bytes: uint64 of shape (rows, 2)."""
    count, dimension = vectors.shape
    view = np.ascontiguousarray(vectors).data.cast("B") if vectors.size else memoryview(b"")
    size, digest = dimension * 4, xxhash.xxh3_128_digest
    joined = b"".join([digest(view[i * size : (i + 1) * size]) for i in range(count)])
    return np.frombuffer(joined, ">u8").astype(np.uint64).reshape(-1, 2)


def _check_dimension(
    lengths: npt.NDArray[Any], valid: npt.NDArray[np.bool_], ids: U64, dimension: int, where: str
) -> None:
    other = valid & (lengths != dimension)
    if not other.any():
        return
    rows = np.flatnonzero(other)
    named = ", ".join(f"{ids[row]} ({lengths[row]})" for row in rows[:SHOWN])
    more = f" and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
    raise SchemaError(
        f"Vectors of different dimensions: {dimension}, but these rows have another one: "
        f"{named}{more}.",
        where=where,
        valid="All vectors of a column need the same number of components.",
    )

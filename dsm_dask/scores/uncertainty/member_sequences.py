"""The vectors that several members give each token of a row: put together token by token."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dsm_dask import arrays
from dsm_dask.errors import BadRows
from dsm_dask.scores.probabilities import class_values
from dsm_dask.scores.probabilities.class_values import Bools, Matrix
from dsm_dask.scores.probabilities.probabilities import Probabilities
from dsm_dask.scores.row_names import named
from dsm_dask.scores.uncertainty import vector_lists
from dsm_dask.scores.uncertainty.vector_lists import Offsets, Vectors


@dataclasses.dataclass(frozen=True, eq=False)
class Tokens:
    """Row i has the tokens ``tokens[i]`` to ``tokens[i + 1]``, and token t the vectors
    ``vectors[t]`` to ``vectors[t + 1]`` of ``values``, float32 or float64 of shape (vectors,
    classes); those that are ``missing`` mean nothing. ``padding``: tokens of which all are;
    ``nulls``: rows without other tokens."""

    values: Matrix
    missing: Bools
    vectors: Offsets
    tokens: Offsets
    padding: Bools
    nulls: Bools


def read(source: Probabilities, batch: pa.RecordBatch, members: int = 0) -> Tokens:
    """The vectors of a batch: of a column of lists of vectors for each member; of one column of
    lists of members, each a list of vectors; or, with ``members``, of one column of lists of
    vectors, those of one member after those of the other.

    Raises SchemaError and BadRows as :meth:`Probabilities.read` does; BadRows for rows of which
    members give different numbers of tokens, or that have not as many members as asked for.

    >>> column = pa.array([[[[0.2, 0.8]], [[0.4, 0.6]]], None])
    >>> found = read(Probabilities(("p",), ("O", "PER")), pa.record_batch({"p": column}))
    >>> found.vectors.tolist(), found.tokens.tolist(), found.nulls.tolist()
    ([0, 2], [0, 1, 1], [False, True])
    """
    if len(source.columns) > 1:
        parts, owners = _by_column(source, batch)
    elif depth(arrays.plain(batch.column(source.columns[0])).type) > 2:
        parts, owners = _by_list(source, batch)
    else:
        parts, owners = _one_after_the_other(source, batch, members)
    has = np.bincount(owners, minlength=batch.num_rows)
    vector_lists.check_members(batch, has, has == 0, members)
    return _by_token(batch, parts, owners)


def depth(kind: pa.DataType) -> int:
    """How many lists are in each other.

    >>> depth(pa.list_(pa.list_(pa.float32(), 3))), depth(pa.float32())
    (2, 0)
    """
    found = 0
    while class_values.is_list(kind):
        found, kind = found + 1, arrays.plain_type(kind.value_type)
    return found


@dataclasses.dataclass(frozen=True, eq=False)
class _Sequences:
    """What members give of rows: each ``lengths`` vectors from ``starts`` on."""

    vectors: Vectors
    starts: Offsets
    lengths: Offsets


_Owners = npt.NDArray[np.int64]
"""The row of each sequence."""


def _by_column(source: Probabilities, batch: pa.RecordBatch) -> tuple[_Sequences, _Owners]:
    naming = functools.partial(named, batch)
    columns = [
        vector_lists.of_column(source, batch.column(name), name, naming) for name in source.columns
    ]
    kind = np.result_type(*(one.values for one in columns))
    values = np.concatenate([one.values.astype(kind, copy=False) for one in columns])
    values.flags.writeable = False
    missing = np.concatenate([one.missing for one in columns])
    before = np.append(0, np.cumsum([len(one.values) for one in columns]))[:-1]
    starts = np.stack([one.offsets[:-1] + n for one, n in zip(columns, before, strict=True)], 1)
    lengths = np.stack([np.diff(one.offsets) for one in columns], axis=1)
    both = Vectors(values, missing, np.zeros(1, np.int64), np.zeros(0, np.bool_))
    owners = np.repeat(np.arange(batch.num_rows), len(columns))
    return _Sequences(both, starts.reshape(-1), lengths.reshape(-1)), owners


def _by_list(source: Probabilities, batch: pa.RecordBatch) -> tuple[_Sequences, _Owners]:
    name = source.columns[0]
    column = arrays.plain(batch.column(name))
    counts = arrays.fixed_width(pc.list_value_length(column).fill_null(0)).astype(np.int64)
    owners = np.repeat(np.arange(batch.num_rows), counts)
    vectors = vector_lists.of_column(
        source, column.flatten(), name, lambda some: named(batch, np.unique(owners[some]))
    )
    return _Sequences(vectors, vectors.offsets[:-1], np.diff(vectors.offsets)), owners


def _one_after_the_other(
    source: Probabilities, batch: pa.RecordBatch, members: int
) -> tuple[_Sequences, _Owners]:
    vectors = vector_lists.read(source, batch)
    counts = np.diff(vectors.offsets)
    uneven = np.flatnonzero(counts % max(1, members))
    if len(uneven):
        raise BadRows(
            f"{counts[uneven[0]]} vectors are not as many for each of {members} members: "
            f"{named(batch, uneven)}.",
            valid="As many tokens from every member, as --members says how many there are.",
        )
    some = np.flatnonzero(counts)
    lengths = np.repeat(counts[some] // max(1, members), max(1, members))
    first = np.repeat(vectors.offsets[:-1][some], max(1, members))
    place = np.tile(np.arange(max(1, members)), len(some))
    return _Sequences(vectors, first + place * lengths, lengths), np.repeat(some, max(1, members))


def _by_token(batch: pa.RecordBatch, parts: _Sequences, owners: _Owners) -> Tokens:
    kept = np.flatnonzero(parts.lengths)  # of members that are not null
    rows, starts, lengths = owners[kept], parts.starts[kept], parts.lengths[kept]
    count = batch.num_rows
    members = np.bincount(rows, minlength=count)
    first = np.append(0, np.cumsum(members))
    tokens = np.zeros(count, np.int64)
    tokens[rows] = lengths
    _check_lengths(batch, rows, lengths, tokens)
    blocks = tokens * members
    row = np.repeat(np.arange(count), blocks)
    place = np.arange(len(row)) - np.repeat(np.append(0, np.cumsum(blocks))[:-1], blocks)
    order = starts[first[row] + place % members[row]] + place // members[row]
    values, missing = parts.vectors.values[order], parts.vectors.missing[order]
    values.flags.writeable = False  # as what is read: loops are compiled for one kind of array
    vectors = _offsets(np.repeat(members, tokens))
    known = np.append(0, np.cumsum(~missing))[vectors]
    padding = known[1:] == known[:-1]
    offsets = _offsets(tokens)
    told = np.append(0, np.cumsum(~padding))[offsets]
    return Tokens(values, missing, vectors, offsets, padding, told[1:] == told[:-1])


def _check_lengths(batch: pa.RecordBatch, rows: _Owners, lengths: Offsets, tokens: Offsets) -> None:
    wrong = np.unique(rows[lengths != tokens[rows]])
    if len(wrong):
        given = sorted(set(lengths[rows == wrong[0]].tolist()))
        raise BadRows(
            f"Members give {' and '.join(map(str, given))} tokens of one text: "
            f"{named(batch, wrong)}.",
            valid="As many tokens from every member, or null for a member that has none.",
        )


def _offsets(counts: npt.NDArray[np.int64] | Sequence[int]) -> Offsets:
    return np.append(0, np.cumsum(counts)).astype(np.int64)

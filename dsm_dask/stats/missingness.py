"""Which columns of a table are null in the same rows."""

from __future__ import annotations

import dataclasses
import math

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask import arrays, codec

MOST = 64
"""Columns compared, at most."""

Int64 = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]


@codec.state("stats.missingness", 1)
@dataclasses.dataclass(frozen=True, eq=False)
class MissingState:
    """``together[i, j]`` rows of ``rows`` are null in both columns; of shape (p, p), or None while
    there are no nulls at all."""

    rows: int = 0
    together: Int64 | None = None


@dataclasses.dataclass(frozen=True)
class NullPair:
    """Two columns that are null together in ``rows`` rows: that is the share ``jaccard`` of the
    rows where either is. ``phi`` is the correlation of being null, None where a column always
    is."""

    columns: tuple[str, str]
    rows: int
    jaccard: float
    phi: float | None


@dataclasses.dataclass(frozen=True)
class MissingTogether:
    """``columns`` are those with nulls, ``counts[i][j]`` the rows where both are null.
    ``always`` are sets of columns that are null in the very same rows; ``pairs`` the others that
    are null together more often than if nulls fell at random, highest phi first. ``left_out`` are
    columns that were not compared."""

    columns: tuple[str, ...] = ()
    counts: tuple[tuple[int, ...], ...] = ()
    always: tuple[tuple[str, ...], ...] = ()
    pairs: tuple[NullPair, ...] = ()
    left_out: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Missingness:
    """In how many rows each pair of columns is null together. Exact.

    Validity bits are packed into words and counted by ``popcount`` of their conjunction, 64 rows
    at a time; batches without nulls cost nothing. NaN is not null. 8 p² bytes of state for p
    columns, 32 KB at the most of 64.

    phi = (n n₁₁ - n₁ n₂) / sqrt(n₁ n₂ (n - n₁) (n - n₂)), the mean square contingency coefficient
    (Yule, 1912); Jaccard's index is n₁₁ / (n₁ + n₂ - n₁₁) (1901).

    >>> from dsm_dask.fold import run
    >>> batch = pa.record_batch({"x": [1, None, 3], "y": [1, None, 3], "z": [None, 2, 3]})
    >>> run(Missingness(("x", "y", "z")), [batch]).always
    (('x', 'y'),)
    """

    takes_encoded = True

    names: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        return self.names

    def init(self) -> MissingState:
        return MissingState()

    def update(self, state: MissingState, batch: pa.RecordBatch) -> MissingState:
        found = [_valid(batch.column(name)) for name in self.columns]
        some = [i for i, valid in enumerate(found) if valid is not None]
        if not some:
            return dataclasses.replace(state, rows=state.rows + batch.num_rows)
        words = np.zeros((len(some), -(-batch.num_rows // 64) * 8), np.uint8)
        for row, i in enumerate(some):
            valid = found[i]
            if valid is not None:
                bits = np.packbits(~valid)
                words[row, : len(bits)] = bits
        together = np.zeros((len(found), len(found)), np.int64)
        together[np.ix_(some, some)] = _count_pairs(words.view(np.uint64))
        return self.merge(state, MissingState(batch.num_rows, together))

    def merge(self, left: MissingState, right: MissingState) -> MissingState:
        parts = [side.together for side in (left, right) if side.together is not None]
        together = parts[0] + parts[1] if len(parts) == 2 else parts[0] if parts else None
        return MissingState(left.rows + right.rows, together)

    def finish(self, state: MissingState) -> MissingTogether:
        if state.together is None:
            return MissingTogether()
        some = np.flatnonzero(np.diagonal(state.together))
        names = tuple(self.columns[i] for i in some)
        counts = state.together[np.ix_(some, some)].tolist()
        sets = _sets(counts)
        firsts = [members[0] for members in sets]  # one for all that are alike
        pairs = [
            _pair((names[i], names[j]), counts[i][j], counts[i][i], counts[j][j], state.rows)
            for place, i in enumerate(firsts)
            for j in firsts[place + 1 :]
        ]
        dependent = [pair for pair in pairs if pair.phi is not None and pair.phi > 0]
        dependent.sort(key=lambda pair: -(pair.phi or 0))
        return MissingTogether(
            names,
            tuple(map(tuple, counts)),
            tuple(tuple(names[i] for i in members) for members in sets if len(members) > 1),
            tuple(dependent),
        )


def _valid(array: pa.Array) -> npt.NDArray[np.bool_] | None:
    """True where there is a value; None where there always is. Decodes only what it must."""
    if isinstance(array.type, pa.BaseExtensionType):
        return _valid(array.storage)
    within = pa.types.is_dictionary(array.type) and array.dictionary.null_count
    if within or pa.types.is_run_end_encoded(array.type):
        array = arrays.plain(array)
    return arrays.validity(array) if len(array) else None


def _sets(counts: list[list[int]]) -> list[list[int]]:
    """Columns that are null in the same rows: together as often as each alone."""
    found: list[list[int]] = []
    for j in range(len(counts)):
        for members in found:
            i = members[0]
            if counts[i][j] == counts[i][i] == counts[j][j]:
                members.append(j)
                break
        else:
            found.append([j])
    return found


def _pair(names: tuple[str, str], both: int, one: int, other: int, rows: int) -> NullPair:
    spread = one * other * (rows - one) * (rows - other)
    phi = (rows * both - one * other) / math.sqrt(spread) if spread else None
    return NullPair(names, both, both / (one + other - both), phi)


_compiled = numba.njit(cache=True, nogil=True)


@_compiled
def _popcount(word: np.uint64) -> np.uint64:
    """Sums of neighbouring bits (Warren, "Hacker's Delight", 2002), a single instruction once
    compiled."""
    word -= (word >> np.uint64(1)) & np.uint64(0x5555555555555555)
    word = (word & np.uint64(0x3333333333333333)) + (
        (word >> np.uint64(2)) & np.uint64(0x3333333333333333)
    )
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (word * np.uint64(0x0101010101010101)) >> np.uint64(56)


@_compiled
def _count_pairs(words: Words) -> Int64:
    """Bits that are set in both of two rows of words, for each pair of rows."""
    size = len(words)
    found = np.zeros((size, size), np.int64)
    for i in range(size):
        for j in range(i + 1):
            total = np.uint64(0)
            for place in range(words.shape[1]):
                total += _popcount(words[i, place] & words[j, place])
            found[i, j] = found[j, i] = np.int64(total)
    return found

"""Embeddings where there are none: of texts, without a model, or by a function of the user's.

Both are row maps: they run on workers, batch by batch, and :func:`embed` commits what they make as
a column next to the data. Semantic deduplication can also apply them on the way.
"""

from __future__ import annotations

import dataclasses
import functools
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask.arrays import plain, plain_type
from dsm_dask.dataset.columns import add_columns
from dsm_dask.dataset.version import Dataset, open_for_writing
from dsm_dask.dataset.write import Written
from dsm_dask.duplicates.function_identity import function_identity
from dsm_dask.engine import Engine
from dsm_dask.errors import DsmError, PartitionFailed, SchemaError, UsageError
from dsm_dask.table import Partition, check_columns

DIMENSION = 128
MOST = 1 << 15
"""Components of a vector."""
BATCH = 256
"""Rows that a function is given at once."""
TRIED = 32
"""Rows that a dry run makes vectors of."""


class _OneColumn:
    """A row map that makes a vector of each value of a column."""

    column: str
    dimension: int
    name: str

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    @property
    def schema(self) -> pa.Schema:
        name = self.name or f"{self.column}_embedding"
        return pa.schema([pa.field(name, pa.list_(pa.float32(), self.dimension))])

    def _batch(
        self, vectors: npt.NDArray[np.float32], valid: npt.NDArray[np.bool_]
    ) -> pa.RecordBatch:
        """Vectors of shape (rows, dimension) as the column; null unless ``valid``."""
        mask = None if valid.all() else pa.array(~valid)
        flat = pa.array(vectors.reshape(-1))
        column = pa.FixedSizeListArray.from_arrays(flat, self.dimension, mask=mask)
        return pa.record_batch([column], schema=self.schema)

    def _check_dimension(self) -> None:
        if not 1 <= self.dimension <= MOST:
            raise UsageError(f"{self.dimension} is no dimension.", valid=f"From 1 to {MOST:,}.")


@dataclasses.dataclass(frozen=True)
class HashedNgrams(_OneColumn):
    """Vectors of texts from their n-grams of characters and words (see
    :mod:`dsm_dask.duplicates.ngrams`): alike for texts that share most of their wording. They know
    nothing of meaning beyond that. Null has none; a text without a word has zeros.

    ``characters`` and ``words`` are the lengths of n-grams. Languages that write no spaces between
    words are served by n-grams of characters.

    >>> batch = pa.record_batch({"t": ["The cat sat.", "the cat  sat", "A dog", None]})
    >>> found = HashedNgrams("t").apply(batch).column("t_embedding")
    >>> one, same, other, none = found.to_pylist()
    >>> one == same, round(float(np.dot(one, one)), 4), none
    (True, 1.0, None)
    """

    column: str
    dimension: int = DIMENSION
    name: str = ""
    """Of the column that is made: ``COLUMN_embedding`` unless given."""
    characters: tuple[int, ...] = (4,)
    words: tuple[int, ...] = (1, 2)

    def apply(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        from dsm_dask.duplicates.ngrams import embed_texts

        texts = plain(batch.column(self.column)).cast(pa.large_binary())
        _, raw, data = texts.buffers()
        count = len(texts)
        offsets = np.zeros(1, np.int64)
        if raw is not None and count:
            offsets = np.frombuffer(raw, np.int64, count + 1, texts.offset * 8)
        sizes = (np.array(self.characters, np.int64), np.array(self.words, np.int64))
        values = np.frombuffer(b"" if data is None else data, np.uint8)
        vectors = embed_texts(values, offsets, self.dimension, *sizes)
        return self._batch(vectors, texts.is_valid().to_numpy(zero_copy_only=False))

    def to_dict(self) -> dict[str, Any]:
        """As in the lineage of a commit."""
        return {
            "by": "hashed n-grams", "dimension": self.dimension,
            "characters": list(self.characters), "words": list(self.words),
        }  # fmt: skip

    def check(self, dtype: pa.DataType) -> None:
        """Raise SchemaError when a column of this type is no text, UsageError for settings that
        make no sense."""
        dtype, types = plain_type(dtype), pa.types
        if not (types.is_string(dtype) or types.is_large_string(dtype)):
            raise SchemaError(
                f"The column {self.column!r} is of type {dtype}, which is no text.",
                valid="A column of strings, or a function that takes what the column holds.",
            )
        self._check_dimension()


@dataclasses.dataclass(frozen=True)
class FunctionMap(_OneColumn):
    """Vectors from a function of the user's: ``function(values)`` is given a list of up to
    ``batch_size`` values, none of them None, and returns an array of shape (len(values),
    dimension). Rows with null have no vector.

    The function is sent to the workers: one of a module by name, others by value; the scheduler
    never loads it. Raises, on the worker, UsageError when it returns another shape, PartitionFailed
    when it fails, or is of a module that the worker does not have.

    >>> lengths = FunctionMap("t", lambda texts: [[len(text), 1] for text in texts], 2)
    >>> batch = pa.record_batch({"t": ["ab", None]})
    >>> lengths.apply(batch).column(0).to_pylist()
    [[2.0, 1.0], None]
    """

    column: str
    function: Callable[[list[Any]], Any]
    dimension: int
    batch_size: int = BATCH
    name: str = ""

    def __reduce__(self) -> tuple[Any, ...]:
        function = self.function
        packed = function if isinstance(function, _Packed) else _Packed.of(function)
        return FunctionMap, (self.column, packed, self.dimension, self.batch_size, self.name)

    def apply(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        column = batch.column(self.column)
        valid = column.is_valid().to_numpy(zero_copy_only=False)
        rows = np.flatnonzero(valid)
        vectors = np.zeros((len(column), self.dimension), np.float32)
        for start in range(0, len(rows), self.batch_size):
            some = rows[start : start + self.batch_size]
            vectors[some] = self._of(column.take(pa.array(some)).to_pylist())
        return self._batch(vectors, valid)

    def _of(self, values: list[Any]) -> npt.NDArray[Any]:
        try:
            found = np.asarray(self.function(values))
        except DsmError:
            raise
        except Exception as error:
            raise PartitionFailed(
                f"The function for column {self.column!r} failed: {type(error).__name__}: {error}."
            ) from error
        if found.shape != (len(values), self.dimension):
            raise UsageError(
                f"The function gave an array of shape {found.shape} for {len(values)} values.",
                valid=f"It must be ({len(values)}, {self.dimension}).",
            )
        return found

    def to_dict(self) -> dict[str, Any]:
        """As in the lineage of a commit."""
        return {"by": self._identity, "dimension": self.dimension}

    @functools.cached_property
    def _identity(self) -> str:
        return function_identity(self.function)

    def check(self, dtype: pa.DataType) -> None:
        """Raise UsageError for settings that make no sense."""
        del dtype  # the function knows what it takes
        self._check_dimension()
        if self.batch_size < 1:
            raise UsageError(f"A batch of {self.batch_size} rows is none.", valid="1 or more.")


@dataclasses.dataclass(frozen=True)
class _Packed:
    """A function on its way, as bytes, until a worker calls it; unpacked once in each process."""

    data: bytes

    @staticmethod
    def of(function: Callable[[list[Any]], Any]) -> _Packed:
        import cloudpickle  # type: ignore[import-untyped]

        return _Packed(cloudpickle.dumps(function))

    def __call__(self, values: list[Any]) -> Any:
        return _unpacked(self.data)(values)


@functools.lru_cache(maxsize=4)
def _unpacked(data: bytes) -> Any:
    return pickle.loads(data)  # noqa: S301 - our own client's


def embed(
    data: str | Dataset,
    column: str,
    *,
    engine: Engine,
    function: Callable[[list[Any]], Any] | None = None,
    dimension: int | None = None,
    batch_size: int = BATCH,
    name: str | None = None,
    message: str = "",
    dry_run: bool = False,
) -> Written:
    """Commit a column of embeddings, fixed-size lists of float32, next to the data.

    Without ``function``, of texts by :class:`HashedNgrams` (``dimension`` 128 unless given); with
    one, by :class:`FunctionMap`, and ``dimension`` says how many components it gives. The new
    column is called ``name``, or ``COLUMN_embedding``. With ``dry_run`` a worker makes the vectors
    of a few rows, to see whether it can, and nothing is written.

    Raises SchemaError when there is such a column already or ``column`` is no text, UsageError
    when ``dimension`` is missing.
    """
    base = open_for_writing(data)
    check_columns(base, (column,))
    made_by = row_map(column, function, dimension, batch_size, name or "")
    made_by.check(base.schema.field(column).type)
    spec = {"on": column, "name": made_by.schema.names[0], **made_by.to_dict()}
    made = add_columns(
        base, made_by, engine=engine, job="embed", spec=spec, message=message, dry_run=dry_run
    )
    if dry_run:
        engine.map_partitions(_Try(made_by), base.partitions()[:1], label="Trying")
    return made


@dataclasses.dataclass(frozen=True)
class _Try:
    """Vectors of the first rows of a partition, for nothing but to see whether that fails."""

    made_by: HashedNgrams | FunctionMap

    def __call__(self, partition: Partition) -> None:
        for batch in partition.read(self.made_by.columns):
            self.made_by.apply(batch.slice(0, TRIED))
            return


def row_map(
    column: str,
    function: Callable[[list[Any]], Any] | None = None,
    dimension: int | None = None,
    batch_size: int = BATCH,
    name: str = "",
) -> HashedNgrams | FunctionMap:
    """What makes the vectors; see :func:`embed`."""
    if function is None:
        return HashedNgrams(column, DIMENSION if dimension is None else dimension, name)
    if dimension is None:
        raise UsageError(
            "How many components the function gives is not known.", valid="Give dimension=."
        )
    return FunctionMap(column, function, dimension, batch_size, name)

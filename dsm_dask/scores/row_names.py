"""What rows are called in messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt
import pyarrow as pa

from dsm_dask.table import ROW_ID

SHOWN = 5


def named(batch: pa.RecordBatch, positions: Sequence[int] | npt.NDArray[Any]) -> str:
    """The first rows at some positions of a batch, by their ids where the batch has them.

    >>> batch = pa.record_batch({"x": [1, 2, 3], ROW_ID: pa.array([40, 41, 42], pa.uint64())})
    >>> named(batch, [0, 2]), named(batch.select(["x"]), [1])
    ('rows with the ids 40, 42', 'row 1 of a batch of 3')
    """
    count = len(positions)
    shown = [int(position) for position in positions[:SHOWN]]
    word = "row" if count == 1 else "rows"
    more = f" and {count - SHOWN:,} more" if count > SHOWN else ""
    if ROW_ID not in batch.schema.names:
        return f"{word} {', '.join(map(str, shown))}{more} of a batch of {batch.num_rows}"
    ids = [str(batch.column(ROW_ID)[position].as_py()) for position in shown]
    return f"{word} with the id{'s' if count > 1 else ''} {', '.join(ids)}{more}"

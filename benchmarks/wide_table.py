"""A table with very many columns, for what grows with their number."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import generated_table as tables
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


def write_wide(folder: Path, rows: int, columns: int, files: int = 4) -> None:
    """Integers, floats with nulls, times and words in turn. Columns of a kind hold the same values,
    each moved on by another number of rows."""
    folder.mkdir(parents=True, exist_ok=True)

    def write(index: int) -> None:
        rng = np.random.default_rng([7, index])
        count = rows // files
        kinds = [
            rng.integers(0, 1000, count, dtype=np.int32),
            rng.normal(size=count).round(2),
            np.sort(rng.integers(0, 10**6, count)) + 1_700_000_000,
            rng.integers(0, 40, count),
        ]
        words = pa.array([f"word {number}" for number in range(40)])
        empty = rng.random(count) < 0.1
        made = {}
        for number in range(columns):
            values = np.roll(kinds[number % 4], number)
            name = f"column_{number:04d}"
            if number % 4 == 3:
                made[name] = words.take(pa.array(values))
            else:
                kind = pa.timestamp("s") if number % 4 == 2 else None
                made[name] = pa.array(values, kind, mask=empty if number % 4 == 1 else None)
        path = folder / f"part-{index}.parquet"
        pq.write_table(pa.table(made), path, compression="zstd", row_group_size=tables.GROUP_ROWS)

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        list(threads.map(write, range(files)))

"""What a model says of rows of which some labels are wrong: probabilities as Parquet files.

The labels of one row in twenty are another class than the true one. The model has a logit for each
class, normally distributed, that of the true class higher: about nine rows in ten are right.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

CLASSES = 10
NOISE = 0.05
_GROUP = 1 << 17


@dataclasses.dataclass(frozen=True)
class Planted:
    """Rows ``first`` to ``stop`` of a table that is the same whatever its cut into files."""

    first: int
    stop: int

    def table(self) -> pa.Table:
        blocks = range(self.first // _GROUP, -(-self.stop // _GROUP))
        made = pa.concat_tables([_block(block) for block in blocks])
        return made.slice(self.first - blocks[0] * _GROUP, self.stop - self.first)


def _block(number: int) -> pa.Table:
    random = np.random.default_rng((7, number))
    true = random.integers(0, CLASSES, _GROUP)
    logits = random.normal(0, 1.4, (_GROUP, CLASSES)).astype(np.float32)
    logits[np.arange(_GROUP), true] += 4.5
    exps = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = exps / exps.sum(axis=1, keepdims=True)
    wrong = random.random(_GROUP) < NOISE
    label = np.where(wrong, (true + random.integers(1, CLASSES, _GROUP)) % CLASSES, true)
    lists = pa.FixedSizeListArray.from_arrays(pa.array(probabilities.reshape(-1)), CLASSES)
    return pa.table(
        {
            "id": pa.array(np.arange(number * _GROUP, (number + 1) * _GROUP)),
            "label": pa.array(label.astype(np.int32)),
            "probs": lists,
        }
    )


def generate(folder: Path, files: int, rows: int) -> list[Path]:
    """``rows`` in some files, in row groups of 131,072, written by as many processes as there are
    cores."""
    folder.mkdir(parents=True, exist_ok=True)
    edges = [rows * i // files for i in range(files + 1)]
    paths = [folder / f"{i:03}.parquet" for i in range(files)]
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=spawning) as pool:
        list(pool.map(_write, paths, edges[:-1], edges[1:]))
    return paths


def _write(path: Path, first: int, stop: int) -> None:
    pq.write_table(Planted(first, stop).table(), path, row_group_size=_GROUP)

"""What deduplication decided, against what is known of the corpus."""

from __future__ import annotations

import dataclasses
import os

import numpy as np
import numpy.typing as npt
import pyarrow.dataset as pads
import pyarrow.fs as pafs
from generated_corpus import Corpus, Pairs

import dsm_dask as dsm
from dsm_dask.table import ROW_ID

Ints = npt.NDArray[np.int64]

SAMPLE = 5_000
"""Rows that are held against the truth, each with all of its cluster."""


@dataclasses.dataclass(frozen=True)
class Decided:
    """The table of decisions: ids of rows, the cluster of each, and its similarity."""

    ids: Ints
    clusters: Ints
    similarity: npt.NDArray[np.float32]


def decided(uri: str, out: str) -> Decided:
    """What was decided on a dataset, with row ids read as values of its column ``id``."""
    store = pafs.S3FileSystem(endpoint_override=os.environ["AWS_ENDPOINT_URL"])
    folder = out.removeprefix("s3://")
    rows = pads.dataset(folder, format="parquet", filesystem=store).to_table()
    batches = [
        batch
        for partition in dsm.open(f"{uri}@1").partitions()
        for batch in partition.read(["id", ROW_ID])
    ]
    ids, numbers = (
        np.concatenate([b.column(place).to_numpy() for b in batches]) for place in (0, 1)
    )
    order = np.argsort(numbers)
    place = np.searchsorted(numbers, rows["row_id"].to_numpy(), sorter=order)
    clusters = rows["cluster"].to_numpy().astype(np.int64)
    return Decided(ids[order[place]], clusters, rows["similarity"].to_numpy())


def together(pairs: Pairs, ids: Ints, clusters: Ints) -> npt.NDArray[np.bool_]:
    """Which pairs are in one cluster; ``ids`` are the documents that are in any."""
    of = np.full(int(max(pairs.copy.max(), ids.max(initial=0))) + 1, -1)
    of[ids] = clusters
    return (of[pairs.source] == of[pairs.copy]) & (of[pairs.copy] >= 0)


def recalls(pairs: Pairs, hit: npt.NDArray[np.bool_], threshold: float) -> dict[str, float]:
    """Shares of the planted pairs that were found: alike, the same, and too different."""
    alike, same = pairs.similarity >= threshold, pairs.similarity == 1
    return {
        "alike": float(hit[alike].mean()),
        "copies": float(hit[same].mean()),
        "below": float(hit[~alike].mean()),
    }


def wrong(corpus: Corpus, found: Decided, threshold: float) -> dict[str, int]:
    """Rows of clusters whose similarity to every other row there is below the threshold, of a
    sample and by their shingles; rows that are said to be more alike than they are; and rows that
    are themselves said to be below the threshold."""
    order = np.argsort(found.clusters, kind="stable")
    begins = np.searchsorted(found.clusters[order], found.clusters, "left")
    sizes = np.searchsorted(found.clusters[order], found.clusters, "right") - begins
    rng = np.random.default_rng(1)
    rows = rng.choice(len(found.ids), min(SAMPLE, len(found.ids)), replace=False)
    row = np.repeat(rows, sizes[rows])
    step = np.arange(len(row)) - np.repeat(np.cumsum(sizes[rows]) - sizes[rows], sizes[rows])
    other = order[begins[row] + step]
    row, other = row[row != other], other[row != other]
    alike = np.zeros(len(found.ids))
    np.maximum.at(alike, row, corpus.jaccard(found.ids[row], found.ids[other]))
    told = found.similarity
    return {
        "sampled": len(rows),
        "false": int((alike[rows] < threshold).sum()),
        "overstated": int((told[rows] > alike[rows] + 1e-6).sum()),
        "told_below": int((told < np.float32(threshold)).sum()),
    }

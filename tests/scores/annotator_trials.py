"""Answers of planted annotators, and how tests read what became of them."""

import itertools

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dsm_dask.scores.annotators.score_answers import score_answers
from dsm_dask.sources.parquet import open_parquet
from dsm_dask.table import read_all

CLASSES = ("cat", "cow", "dog")
THREE = ("ann", "bob", "eve")
METHODS = ("majority", "dawid-skene", "mace", "glad")


def planted(items=400, seed=0, missing=0.3):
    """Labels of three annotators as texts, None where there is no answer, and the truth."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, 3, items)
    right = random.random((items, 3)) < [0.5, 0.8, 0.9]
    labels = np.where(right, truth[:, None], random.integers(0, 3, (items, 3)))
    names = np.array(CLASSES, object)[labels]
    names[random.random(labels.shape) < missing] = None
    return names, truth


def wide(names, **more):
    columns = {name: pa.array(names[:, i], pa.string()) for i, name in enumerate(THREE)}
    return pa.table({"id": pa.array(range(len(names))), **columns, **more})


def long(names, kind=str):
    rows = [
        (kind(i), THREE[j], names[i, j])
        for j, i in itertools.product(range(3), range(len(names)))
        if names[i, j] is not None
    ]
    return pa.table(list(map(list, zip(*rows, strict=True))), names=["item", "who", "says"])


def write(table, folder, files=1, rows=10**6):
    folder.mkdir(exist_ok=True)
    for i, part in enumerate(np.array_split(np.arange(len(table)), files)):
        some = table.slice(part[0] if len(part) else 0, len(part))
        pq.write_table(some, folder / f"part-{i:03d}.parquet", row_group_size=rows)
    return open_parquet(str(folder))


def scored(table, scorer, engine, folder):
    """The columns of a scorer, and its quantities."""
    quantities = scorer.prepare(table, engine, str(folder))
    batches = [scorer.apply(batch, quantities) for batch in read_all(table, list(scorer.columns))]
    return pa.Table.from_batches(batches, scorer.schema), quantities


def answered(table, engine, **options):
    return score_answers(table, ("item", "who", "says"), engine=engine, **options)


def items_of(out):
    return {row["item"]: row for row in pq.read_table(f"{out}/items").to_pylist()}

"""Texts with near duplicates, every pair's Jaccard similarity in Python, and runs over them."""

import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from dsm_trials import parquet

from dsm_dask.duplicates.near import dedup_near
from dsm_dask.sources.parquet import open_parquet


def corpus(rows: int, seed: int = 0) -> list[str]:
    """Half originals; copies, and edits of one to thirty words, of the others."""
    random = np.random.default_rng(seed)
    texts = [random.integers(0, 5000, random.integers(60, 140)) for _ in range(rows // 2)]
    while len(texts) < rows:
        text = texts[random.integers(0, len(texts))].copy()
        edits = random.choice([0, 1, 2, 3, 5, 8, 30])
        text[random.integers(0, len(text), edits)] = random.integers(0, 5000, edits)
        texts.append(text)
    return [" ".join(f"w{n}" for n in texts[i]) for i in random.permutation(rows)]


def shingled(text: str, size: int = 5) -> set:
    words = text.split()
    return {tuple(words[i : i + size]) for i in range(max(1, len(words) - size + 1))}


def pairs_of(texts: list[str], least: float) -> dict[tuple[int, int], float]:
    sets = [shingled(text) for text in texts]
    found = {}
    for i, j in itertools.combinations(range(len(texts)), 2):
        shared = len(sets[i] & sets[j])
        if shared and shared / len(sets[i] | sets[j]) >= least:
            found[i, j] = shared / len(sets[i] | sets[j])
    return found


def cut(folder: Path, texts: list, files: int, **more) -> str:
    table = pa.table({"text": pa.array(texts), **more})
    for index, rows in enumerate(np.array_split(np.arange(len(texts)), files)):
        parquet(f"{folder}/{index:03}.parquet", table.take(rows), row_group_size=1000)
    return str(folder)


def decided(folder) -> dict[int, tuple[int, str, float]]:
    table = pq.read_table(str(folder))
    rows = [table[name].to_pylist() for name in ("row_id", "cluster", "role", "similarity")]
    return {row: (cluster, role, alike) for row, cluster, role, alike in zip(*rows, strict=True)}


def clusters(decisions: dict) -> set[frozenset]:
    groups: dict[int, set] = {}
    for row, (cluster, _, _) in decisions.items():
        groups.setdefault(cluster, set()).add(row)
    return {frozenset(group) for group in groups.values()}


def run(folder, texts, engine, files=3, near=None, **options):
    raw = cut(folder / "raw", texts, files)
    found = dedup_near(
        open_parquet(raw), "text", near, engine=engine, out=f"{folder}/out", **options
    )
    return found, decided(folder / "out") if (folder / "out").exists() else {}

"""How long semantic deduplication takes, and what it finds, against comparing all pairs.

Vectors of 128 components, float32, in Parquet files: some topics, or random directions, which are
the hardest to cut into cells; three in ten are near to another one, at cosines from 0.9 to 1, one
in ten is a copy. Brute force is a blocked matrix product of NumPy over all pairs, in memory, on all
cores, that looks for cosines of at least the threshold.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

_HERE = str(Path(__file__).parent)
sys.path[:] = [*(path for path in sys.path if path != _HERE), _HERE]

import measuring  # noqa: E402
import numpy as np  # noqa: E402
import numpy.typing as npt  # noqa: E402
import psutil  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
from measuring import Figure  # noqa: E402
from workers import without_main  # noqa: E402

from dsm_dask.duplicates.alike import dedup_alike  # noqa: E402
from dsm_dask.duplicates.semantic import Embedding, Semantic, semantic_pairs  # noqa: E402
from dsm_dask.engine import Engine  # noqa: E402
from dsm_dask.sources.parquet import open_parquet  # noqa: E402

DIMENSION = 128
THRESHOLD = 0.95
ROWS, QUICK_ROWS = 200_000, 50_000
FILES = 8
BLOCK = 4096
WORKERS = 2
TOPICS = 300
Vectors = npt.NDArray[np.float32]
Pairs = npt.NDArray[np.int64]


def generate(rows: int, topics: int, seed: int = 1) -> Vectors:
    """Unit vectors; ``topics`` 0 gives random directions."""
    random = np.random.default_rng(seed)
    alone, copies = int(rows * 0.6), int(rows * 0.1)
    found = random.normal(size=(alone, DIMENSION)).astype(np.float32)
    if topics:
        found += random.normal(size=(topics, DIMENSION))[random.integers(0, topics, alone)]
    found = unit(found)
    source = found[random.integers(0, alone, rows - alone)]
    noise = random.normal(size=source.shape).astype(np.float32)
    noise = unit(noise - (noise * source).sum(axis=1, keepdims=True) * source)
    cosine = random.uniform(0.9, 1, (len(source), 1)).astype(np.float32)
    cosine[:copies] = 1
    near = np.where(cosine == 1, source, unit(cosine * source + np.sqrt(1 - cosine**2) * noise))
    return np.concatenate([found, near])[random.permutation(rows)]


def unit(rows: Vectors) -> Vectors:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def write(vectors: Vectors, folder: Path) -> str:
    folder.mkdir(parents=True)
    edges = np.linspace(0, len(vectors), FILES + 1).astype(int)
    for number in range(FILES):
        part = vectors[edges[number] : edges[number + 1]]
        column = pa.FixedSizeListArray.from_arrays(pa.array(part.ravel()), DIMENSION)
        pq.write_table(pa.table({"v": column}), folder / f"{number}.parquet")
    return str(folder)


def brute_force(vectors: Vectors) -> Pairs:
    found = []
    for first in range(0, len(vectors), BLOCK):
        for second in range(first, len(vectors), BLOCK):
            scores = vectors[first : first + BLOCK] @ vectors[second : second + BLOCK].T
            left, right = np.nonzero(scores >= THRESHOLD)
            left, right = left + first, right + second
            found.append(np.stack([left, right], axis=1)[left < right])
    return np.concatenate(found)


def measure(name: str, vectors: Vectors, folder: Path, engine: Engine) -> list[Figure]:
    table = open_parquet(write(vectors, folder / name / "raw"))
    workers = psutil.Process().children(recursive=True)
    for process in workers:
        measuring.forget_peak(process.pid)
    begin = time.perf_counter()
    result = dedup_alike(table, Semantic("v", THRESHOLD), engine=engine)
    ours = time.perf_counter() - begin
    peak = max(measuring.peak_memory(process.pid) for process in workers)
    begin = time.perf_counter()
    truth = brute_force(vectors)
    brute = time.perf_counter() - begin
    pairs = semantic_pairs(
        [table], Embedding("v"), THRESHOLD, str(folder / name / "run"), engine=engine
    )
    edges = np.unique(np.concatenate([file.read() for file in pairs.edges]))
    clusters = _clusters(edges["left"], edges["right"], len(vectors))
    together = clusters[truth[:, 0]] == clusters[truth[:, 1]]
    low = (vectors[edges["left"]].astype(np.float64) * vectors[edges["right"]]).sum(axis=1)
    print(f"{name}: {result.duplicates:,} duplicates in {result.clusters:,} clusters")
    return [
        Figure(f"{name}: dsm, {WORKERS} workers", ours, "s"),
        Figure(f"{name}: brute force", brute, "s"),
        Figure(
            f"{name}: share of the time of brute force",
            ours / brute,
            "",
            None if len(vectors) < ROWS else 0.2,  # promised of many rows
        ),
        Figure(f"{name}: recall of pairs", float(together.mean()), "", 0.98, "at least"),
        Figure(f"{name}: links below the threshold", float((low < THRESHOLD - 1e-6).sum()), "", 0),
        Figure(f"{name}: peak memory of a worker", peak, "B"),
        Figure(f"{name}: pairs", len(truth)),
    ]


def _clusters(left: Pairs, right: Pairs, rows: int) -> Pairs:
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    ends = (left.astype(np.int64), right.astype(np.int64))
    graph = coo_matrix((np.ones(len(left)), ends), (rows, rows))
    return connected_components(graph, directed=False)[1]


def main() -> None:
    parser = measuring.arguments(__file__, __doc__)
    options = parser.parse_args()
    rows = QUICK_ROWS if options.quick else ROWS
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder, Engine(workers=WORKERS) as engine:
        with without_main():
            engine.start()
        warm = write(generate(10_000, TOPICS), Path(folder) / "warm")  # compiles the kernels
        dedup_alike(open_parquet(warm), Semantic("v", THRESHOLD), engine=engine)
        for name, topics in (("topics", TOPICS), ("random directions", 0)):
            figures += measure(name, generate(rows, topics), Path(folder), engine)
    measuring.show(figures)
    parameters = {"rows": rows, "dimension": DIMENSION, "threshold": THRESHOLD}
    measuring.save(options.out, parameters, figures, {})


if __name__ == "__main__":
    main()

"""How fast and how surely rows are scored: label issues and quality against cleanlab, uncertainty
against scikit-activeml and NumPy, consensus against crowd-kit.

Peers have a Python each (``--peer-python cleanlab=PATH``, ``activeml=``, ``crowdkit=``).

Labels: a planted table (see generated_scores.py) as Parquet on the local disk, linked and scored to
committed columns on a cluster of two workers that is up; cleanlab reads the same files, computes
the same (default; with as many processes; its batched version) and writes them as Parquet. Digits:
scikit-learn's, one label in twenty flipped, with our out-of-fold probabilities for both.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# A file of this folder is called as a module of Python is: theirs has to come first.
_HERE = str(Path(__file__).parent)
sys.path[:] = [*(path for path in sys.path if path != _HERE), _HERE]

import generated_scores as generated  # noqa: E402
import measuring  # noqa: E402
import numpy as np  # noqa: E402
import numpy.typing as npt  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
from measuring import Figure  # noqa: E402
from peers import call as peers  # noqa: E402
from workers import Workers  # noqa: E402

import dsm_dask as dsm  # noqa: E402
from dsm_dask.engine import Engine  # noqa: E402
from dsm_dask.scores.annotators.consensus import Consensus  # noqa: E402
from dsm_dask.scores.confident_learning.label_filters import FILTERS, LabelFilter  # noqa: E402
from dsm_dask.scores.confident_learning.label_issues import LabelIssues  # noqa: E402
from dsm_dask.scores.confident_learning.label_quality import LabelQuality  # noqa: E402
from dsm_dask.scores.confident_learning.row_quality import METHODS  # noqa: E402
from dsm_dask.scores.out_of_fold.out_of_fold import OutOfFold  # noqa: E402
from dsm_dask.scores.probabilities.probabilities import Probabilities  # noqa: E402
from dsm_dask.scores.score import score  # noqa: E402
from dsm_dask.scores.uncertainty.classes import Uncertainty  # noqa: E402
from dsm_dask.table import read_all  # noqa: E402

WORKERS, FILES = 2, 16
ROWS, QUICK_ROWS = 5_000_000, 100_000
COMPARED = 1_000_000
"""Rows of which the flags of all filters are compared."""
TIMES_LARGE = 10
ITEMS, QUICK_ITEMS = 200_000, 5_000
ANNOTATORS = 5
PROBABILITIES = Probabilities(("probs",), tuple(range(generated.CLASSES)))
SCORERS = (LabelQuality("label", PROBABILITIES), LabelIssues("label", PROBABILITIES))


@dataclasses.dataclass
class Run:
    """What all parts need, and what they find."""

    workers: Workers
    home: Path
    pythons: dict[str, str]
    rounds: int
    quick: bool
    figures: list[Figure] = dataclasses.field(default_factory=list)
    details: dict[str, Any] = dataclasses.field(default_factory=dict)

    def add(self, name: str, value: float, unit: str = "", aim: float | None = None) -> None:
        self.figures.append(Figure(name, value, unit, aim))

    def least(self, name: str, value: float, unit: str = "", aim: float | None = None) -> None:
        self.figures.append(Figure(name, value, unit, aim, "at least"))

    def timed(self, aim: float) -> float | None:
        """An aim that says nothing about small data."""
        return None if self.quick else aim

    def linked(self, paths: Sequence[Path]) -> str:
        uri = str(self.home / f"dataset-{len(list(self.home.iterdir()))}")
        dsm.create(uri, [str(path) for path in paths], engine=self.workers.engine)
        return uri

    def peer(self, name: str, task: dict[str, Any]) -> tuple[peers.Answer, int] | None:
        """One run of a peer and the most memory of its processes; None, with the reason in the
        details, when it is not there."""
        try:
            with measuring.watching_children() as peak:
                answer = peers.call(f"with_{name}", task, self.pythons.get(name))
        except peers.Unavailable as reason:
            self.details.setdefault("absent", {})[name] = str(reason)
            print(f"  {name}: {reason}")
            return None
        return answer, max(answer.peak, peak.bytes)


# ---------------------------------------------------------------------------------------------
# Labels


def labels(run: Run, rows: int, large: bool) -> None:
    """From files to committed columns."""
    paths = generated.generate(run.home / "rows", FILES, rows)
    score(run.linked(paths[:1]), SCORERS, engine=run.workers.engine)  # compiled code is loaded
    samples, client = [], measuring.Growth()
    for _ in range(run.rounds):
        with client:
            sample, uri = run.workers.timed(lambda: _scored(run, paths))
        samples.append(sample)
    seconds = measuring.median([sample.seconds for sample in samples])
    peak = max(sample.peak for sample in samples)
    run.add("label issues and quality, files to commit", seconds, "s")
    run.add("peak memory of a worker", peak, "B", 400e6)
    run.add("memory that the client needs besides", client.bytes, "B")
    run.add("bytes written / bytes of the new columns", _written(uri, rows), "", run.timed(1.1))
    run.details["labels"] = {"rows": rows, "samples": [dataclasses.asdict(s) for s in samples]}
    _cleanlab(run, paths, seconds)
    if large:
        many = generated.generate(run.home / "many", FILES * TIMES_LARGE, rows * TIMES_LARGE)
        with client:
            sample, _ = run.workers.timed(lambda: _scored(run, many))
        shutil.rmtree(run.home / "many")
        head = f"{measuring.number(rows * TIMES_LARGE)} rows: "
        run.add(f"{head}files to commit", sample.seconds, "s")
        run.add(f"{head}peak memory of a worker", sample.peak, "B", 400e6)
        run.add(f"{head}the same / that of {measuring.number(rows)}", sample.peak / peak, "", 1.05)
        run.add(f"{head}memory that the client needs besides", client.bytes, "B")
        run.details["large"] = dataclasses.asdict(sample)


def _scored(run: Run, paths: Sequence[Path]) -> str:
    uri = run.linked(paths)
    score(uri, SCORERS, engine=run.workers.engine)
    return uri


def _written(uri: str, rows: int) -> float:
    """The files of scores in bytes, over four for each score and a bit for each flag."""
    size = sum(path.stat().st_size for path in Path(uri).rglob("score-*.lance"))
    return size / (rows * (4 + 1 / 8))


def _cleanlab(run: Run, paths: Sequence[Path], seconds: float) -> None:
    task = {
        "paths": [str(path) for path in paths], "out": str(run.home / "cleanlab.parquet"),
        "filters": ["prune_by_noise_rate"], "methods": ["self_confidence"],
    }  # fmt: skip
    kinds = {
        "cleanlab": {"threads": 1},
        f"cleanlab, {WORKERS} processes": {"threads": WORKERS},
        "cleanlab, batched": {"batched": True},
    }
    told = {}
    for name, more in kinds.items():
        answers = [run.peer("cleanlab", {**task, **more}) for _ in range(run.rounds)]
        found = [answer for answer in answers if answer is not None]
        if not found:
            return
        taken = measuring.median([answer.seconds for answer, _ in found])
        aim = run.timed(0.4) if name == "cleanlab" else None
        run.add(f"time / {name}", seconds / taken, "", aim)
        told[name] = {
            "seconds": taken, "peak": max(peak for _, peak in found), **found[0][0].found,
        }  # fmt: skip
    run.details["cleanlab"] = told


def same_as_cleanlab(run: Run, rows: int) -> None:
    """Flags by every filter and scores by every method."""
    (path,) = generated.generate(run.home / "compared", 1, min(rows, COMPARED))
    out = run.home / "compared.parquet"
    task = {
        "paths": [str(path)], "out": str(out), "filters": FILTERS, "methods": METHODS,
        "compare": True,
    }  # fmt: skip
    if run.peer("cleanlab", task) is None:
        return
    theirs = pq.read_table(out)
    data = dsm.open(run.linked([path]))
    for rule in FILTERS:
        scorer: Any = LabelIssues("label", PROBABILITIES, LabelFilter(rule))  # type: ignore[arg-type]
        ours, other = _column(run, data, scorer), theirs[rule].to_numpy()
        either = (ours | other).sum()
        run.least(f"Jaccard of flags, {rule}", (ours & other).sum() / max(1, either), "", 0.999)
    for method in METHODS:
        scorer = LabelQuality("label", PROBABILITIES, method)  # type: ignore[arg-type]
        found = _rank_correlation(_column(run, data, scorer), theirs[method].to_numpy())
        run.least(f"rank correlation of scores, {method}", found, "", 0.9999)


def _rank_correlation(ours: npt.NDArray[Any], theirs: npt.NDArray[Any]) -> float:
    from scipy.stats import spearmanr  # not above: workers import this file, and have no use of it

    return float(spearmanr(ours, theirs).statistic)


def _column(run: Run, data: Any, scorer: Any) -> npt.NDArray[Any]:
    """What a scorer makes of all rows."""
    told = scorer.prepare(data, run.workers.engine, str(run.home))
    made = [scorer.apply(batch, told).column(0) for batch in read_all(data, scorer.columns)]
    return np.asarray(pa.chunked_array(made).to_numpy())


def digits(run: Run) -> None:
    """Average precision of the ranking by label quality: which labels were flipped?"""
    from sklearn.datasets import load_digits
    from sklearn.metrics import average_precision_score

    held = load_digits()
    random = np.random.default_rng(0)
    flipped = random.random(len(held.target)) < generated.NOISE
    given = np.where(
        flipped, (held.target + random.integers(1, 10, len(flipped))) % 10, held.target
    )
    pixels = pa.FixedSizeListArray.from_arrays(pa.array(held.data.astype(np.float32).ravel()), 64)
    path = run.home / "digits.parquet"
    pq.write_table(pa.table({"label": given, "pixels": pixels}), path)
    uri = run.linked([path])
    engine = run.workers.engine
    score(uri, [OutOfFold("label", ("pixels",), tuple(range(10)))], engine=engine)
    source = Probabilities(("probabilities",), tuple(range(10)))
    score(uri, [LabelQuality("label", source)], engine=engine)
    rows = pa.Table.from_batches(read_all(dsm.open(uri), ["label_quality", "probabilities"]))
    ours = average_precision_score(flipped, -rows["label_quality"].to_numpy())
    run.least("digits: average precision of the ranking", float(ours))
    probs = rows["probabilities"].combine_chunks()
    probs = probs.chunk(0) if isinstance(probs, pa.ChunkedArray) else probs
    pq.write_table(pa.table({"label": given, "probs": probs}), path)
    out = run.home / "digits-out.parquet"
    task = {
        "paths": [str(path)], "out": str(out), "filters": ["both"], "methods": ["self_confidence"],
        "compare": True,
    }  # fmt: skip
    if run.peer("cleanlab", task) is None:
        return
    theirs = average_precision_score(flipped, -pq.read_table(out)["self_confidence"].to_numpy())
    run.least("digits: average precision / cleanlab's", float(ours / theirs), "", 1.0)


# ---------------------------------------------------------------------------------------------
# Uncertainty and consensus


def uncertainty(run: Run, rows: int) -> None:
    """All measures of a batch in memory, in one process, against NumPy."""
    table = generated.Planted(0, min(rows, COMPARED)).table().combine_chunks()
    batch = table.select(["probs"]).to_batches()[0]
    p = batch.column(0).values.to_numpy().reshape(-1, generated.CLASSES)

    def by_numpy() -> None:
        two = np.partition(p, -2, axis=1)[:, -2:]
        first, second = two[:, 1], two[:, 0]
        with np.errstate(divide="ignore"):
            entropy = -(p * np.log(np.maximum(p, 1e-38))).sum(axis=1) / np.log(p.shape[1])
        _ = (1 - first, 1 - (first - second), entropy, second / first, p.argmax(axis=1))

    scorer = Uncertainty(PROBABILITIES)
    scorer.apply(batch, {})
    ours = [run.workers.timed(lambda: scorer.apply(batch, {}))[0].seconds for _ in range(5)]
    theirs = [run.workers.timed(by_numpy)[0].seconds for _ in range(5)]
    run.least("uncertainty, one process, rows/s", len(p) / min(ours))
    run.least("uncertainty: as fast as NumPy", min(theirs) / min(ours))
    path, out = run.home / "uncertainty.parquet", run.home / "activeml.parquet"
    pq.write_table(table, path)
    answers = [
        run.peer("activeml", {"paths": [str(path)], "out": str(out)}) for _ in range(run.rounds)
    ]
    seconds = [answer.found["in_memory"] for answer, _ in filter(None, answers)]
    if not seconds:
        return
    run.least("uncertainty: as fast as scikit-activeml", min(seconds) / min(ours))
    made, other = scorer.apply(batch, {}), pq.read_table(out)
    alike = [
        _rank_correlation(made.column(f"uncertainty_{name}").to_numpy(), other[name].to_numpy())
        for name in other.schema.names
    ]
    run.least("uncertainty: rank correlation with scikit-activeml", min(alike), "", 0.9999)


def consensus(run: Run, items: int) -> None:
    """Dawid-Skene, five answers an item."""
    random = np.random.default_rng(3)
    true = random.integers(0, 5, items)
    columns: dict[str, Any] = {"id": np.arange(items)}
    for number in range(ANNOTATORS):
        right = random.random(items) < random.uniform(0.5, 0.9)
        columns[f"a{number}"] = np.where(right, true, random.integers(0, 5, items))
    path = run.home / "answers.parquet"
    pq.write_table(pa.table(columns), path, row_group_size=max(1, items // FILES))
    scorer = Consensus(tuple(f"a{number}" for number in range(ANNOTATORS)), "dawid-skene")
    score(run.linked([path]), [scorer], engine=run.workers.engine)
    uri = run.linked([path])
    sample, _ = run.workers.timed(lambda: score(uri, [scorer], engine=run.workers.engine))
    run.add("Dawid-Skene, file to commit", sample.seconds, "s")
    out = run.home / "crowdkit.parquet"
    found = run.peer("crowdkit", {"paths": [str(path)], "out": str(out), "rounds": 100})
    if found is None:
        return
    ours = pa.Table.from_batches(read_all(dsm.open(uri), ["consensus_confidence"]))
    apart = np.abs(ours.column(0).to_numpy() - pq.read_table(out)["confidence"].to_numpy())
    run.add("Dawid-Skene: confidences apart from crowd-kit's", float(apart.max()), "", 1e-6)
    run.least("Dawid-Skene: as fast as crowd-kit", found[0].seconds / sample.seconds, "",
              run.timed(5))  # fmt: skip


# ---------------------------------------------------------------------------------------------
# All of it


def main() -> None:
    parser = measuring.arguments(__file__, __doc__)
    parser.add_argument("--rows", type=int, help=f"default: {ROWS:,}")
    parser.add_argument("--rounds", type=int, help="default: 3, 1 when quick")
    parser.add_argument(
        "--large", action=argparse.BooleanOptionalAction, help=f"also {TIMES_LARGE} times as many "
        "rows (unless quick)"
    )  # fmt: skip
    peers.add_option(parser)
    options = parser.parse_args()
    rows = options.rows or (QUICK_ROWS if options.quick else ROWS)
    rounds = options.rounds or (1 if options.quick else 3)
    large = not options.quick if options.large is None else options.large
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dsm-bench-")))
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the workers: two share the cores
        engine = stack.enter_context(Engine(workers=WORKERS))
        run = Run(Workers(engine), home, peers.pythons(options.peer_python), rounds, options.quick)
        labels(run, rows, large)
        same_as_cleanlab(run, rows)
        digits(run)
        uncertainty(run, rows)
        consensus(run, QUICK_ITEMS if options.quick else ITEMS)
    print()
    measuring.show(run.figures)
    parameters = {
        "rows": rows, "classes": generated.CLASSES, "rounds": rounds, "workers": WORKERS,
        "large": large, "quick": options.quick,
    }  # fmt: skip
    measuring.save(options.out, parameters, run.figures, run.details)


if __name__ == "__main__":
    main()

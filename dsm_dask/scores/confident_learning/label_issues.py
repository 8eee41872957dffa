"""Which labels are probably wrong: confident learning over a whole table."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask.engine import Engine
from dsm_dask.fold import Product
from dsm_dask.scores.confident_learning.brackets import Brackets, answered, brackets
from dsm_dask.scores.confident_learning.class_thresholds import ClassThresholds, Thresholds
from dsm_dask.scores.confident_learning.confident_joint import (
    SLACK,
    ConfidentJoint,
    Joint,
    calibrated,
    limits,
)
from dsm_dask.scores.confident_learning.label_filters import LabelFilter
from dsm_dask.scores.confident_learning.labelled import Bools, Labelled
from dsm_dask.scores.confident_learning.noise_matrix import LabelNoise, label_noise
from dsm_dask.scores.confident_learning.nth_largest import (
    Cells,
    Narrowing,
    Places,
    Words,
    begin,
    cuts,
)
from dsm_dask.scores.confident_learning.row_quality import Quality
from dsm_dask.scores.probabilities.probabilities import ClassProbabilities
from dsm_dask.scores.scorer import Quantities
from dsm_dask.table import Partition, Table


@dataclasses.dataclass(frozen=True)
class _Sample:
    """A few partitions of a table, the same after an append to a large one."""

    table: Table

    def __getattr__(self, name: str) -> Any:
        return getattr(self.table, name)

    def partitions(self) -> Sequence[Partition]:
        return self.table.partitions()[::16][:4]


@dataclasses.dataclass(frozen=True)
class LabelIssues:
    """``label_issue``: is the label probably wrong? A bool, null for rows without a label or
    without probabilities. Confident learning (Northcutt, Jiang, Chuang, "Confident learning:
    estimating uncertainty in dataset labels", JAIR 70, 2021) with a filter of
    ``LabelFilter``; the flags are those that Northcutt's
    package gives, rows that tie aside. Of several labels a row is an issue when any class is.

    Two passes over labels and probabilities: thresholds of the classes, with a guess at the
    confident joint by those of a few partitions; then the joint, with the values among which the
    cuts are by that guess. A further one where the guess was wrong or values crowd together.

    >>> from dsm_dask.scores.probabilities.probabilities import Probabilities
    >>> LabelIssues("y", Probabilities(("p",), ("cat", "dog"))).schema.names
    ['label_issue']
    """

    label: str
    probabilities: ClassProbabilities
    filter: LabelFilter = dataclasses.field(default_factory=LabelFilter)

    @property
    def name(self) -> str:
        return "label_issues"

    @property
    def labelled(self) -> Labelled:
        return Labelled(self.label, self.probabilities)

    @property
    def columns(self) -> tuple[str, ...]:
        return self.labelled.columns

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([("label_issue", pa.bool_())])

    @property
    def parameters(self) -> dict[str, Any]:
        return {
            "method": "confident_learning",
            "filter": dataclasses.asdict(self.filter),
            **self.labelled.parameters,
        }

    @property
    def _quality(self) -> Quality | None:
        if not self.filter.needs_quality:
            return None
        is_margin = self.filter.name == "low_normalized_margin"
        return Quality(self.labelled, "normalized_margin" if is_margin else "self_confidence")

    def prepare(self, table: Table, engine: Engine, work: str) -> Quantities:
        """Thresholds, the confident joint, and the cuts. ``counts`` and ``thresholds`` by (problem,
        class), ``joint`` (three int64 rows: place in (problem, given, confident), count),
        ``issues`` by (problem, given), ``rows`` with one, and of the cells of the filter ``starts``
        by (problem, given), ``others`` and ``cuts``; see
        :class:`~dsm_dask.scores.confident_learning.nth_largest.Cells`."""
        del work
        labelled, (problems, classes) = self.labelled, self.labelled.shape
        guess = engine.fold(_Sample(table), ClassThresholds(labelled), label="A first look")
        told = Product(
            (ClassThresholds(labelled), ConfidentJoint(labelled, _flat(guess.result.means)))
        )
        exact, nearly = engine.fold(table, told, label="Class thresholds").result
        kept = self._brackets(nearly, exact.counts)
        joint, found = self._joint(table, engine, exact, kept)
        cells = self.filter.cells(joint, exact.counts)
        search = begin(cells, _totals(exact.counts, cells), nearly.bins, labelled.shape)
        if kept is not None:
            search = answered(cells, search, kept, found, classes)
        places = np.flatnonzero(joint.joint)
        return {
            "counts": exact.counts,
            "thresholds": exact.means,
            "joint": np.stack([places, joint.joint.reshape(-1)[places]]),
            "issues": joint.issues,
            "rows": joint.rows,
            "starts": cells.starts(problems * classes + 1),
            "others": cells.others,
            "cuts": cuts(table, labelled, self._quality, cells, search, engine),
        }

    def _brackets(self, nearly: Joint, counts: Places) -> Brackets | None:
        if self.filter.needs_quality:
            return None
        cells = self.filter.cells(nearly, counts)
        return brackets(cells, _totals(counts, cells), nearly.bins, self.labelled.shape)

    def _joint(
        self, table: Table, engine: Engine, exact: Thresholds, kept: Brackets | None
    ) -> tuple[Joint, Words]:
        """The confident joint, and the values kept in the same scan."""
        folds: tuple[Any, ...] = (ConfidentJoint(self.labelled, _flat(exact.means), values=False),)
        if kept is not None:
            folds += (Narrowing(self.labelled, None, kept.plan),)
        joint, *found = engine.fold(table, Product(folds), label="Confident joint").result
        return joint, found[0] if found else np.zeros(0, np.uint64)

    def apply(self, batch: pa.RecordBatch, quantities: Quantities) -> pa.RecordBatch:
        """Raises what reading labels and probabilities does."""
        flags, nulls = self._by_quality(batch, quantities) or self._by_cells(batch, quantities)
        return pa.record_batch([pa.array(flags, mask=nulls)], schema=self.schema)

    def _by_quality(self, batch: pa.RecordBatch, told: Quantities) -> tuple[Bools, Bools] | None:
        if self._quality is None:
            return None
        values, nulls = self._quality.read(batch)
        if not len(told["cuts"]):
            return np.zeros(len(values), np.bool_), nulls
        return -values.astype(np.float64) >= told["cuts"][0], nulls

    def _by_cells(self, batch: pa.RecordBatch, told: Quantities) -> tuple[Bools, Bools]:
        from dsm_dask.scores.confident_learning import kernels

        rules = {
            "both": kernels.BOTH,
            "confident_learning": kernels.CONFIDENT,
            "predicted_neq_given": kernels.PREDICTED,
        }
        rule = rules.get(self.filter.name, kernels.PRUNED)
        _, classes = self.labelled.shape
        flags = np.zeros(batch.num_rows, np.bool_)
        nulls = flags
        for place, one in enumerate(self.labelled.problems(batch)):
            dtype = one.probabilities.dtype
            reached = limits(told["thresholds"][place], dtype)
            kernels.flag(
                one.probabilities, one.labels, reached, dtype.type(SLACK), rule, place * classes,
                told["starts"], told["others"], told["cuts"], flags,
            )  # fmt: skip
            nulls = one.labels < 0
        return flags, nulls

    def noise(self, quantities: Quantities) -> tuple[LabelNoise, ...]:
        """What the confident joint says of the labels: of each class against the rest, when a row
        may have several; one for all classes otherwise."""
        shape = (*self.labelled.shape, self.labelled.shape[1])
        joint = np.zeros(int(np.prod(shape)), np.int64)
        places, found = quantities["joint"]
        joint[places] = found
        counts, issues = quantities["counts"], quantities["issues"].sum(axis=1).tolist()
        names: Any = (0, 1) if self.labelled.multilabel else self.labelled.classes
        return tuple(
            label_noise(names, calibrated(one, counts[i]), quantities["thresholds"][i], issues[i])
            for i, one in enumerate(joint.reshape(shape))
        )

    def summary(self, quantities: Quantities) -> dict[str, Any]:
        """As in JSON: see :class:`~dsm_dask.scores.confident_learning.noise_matrix.LabelNoise`."""
        found = [one.to_dict() for one in self.noise(quantities)]
        if not self.labelled.multilabel:
            return found[0]
        rows, issues = found[0]["rows"], quantities["rows"]
        by_class = [
            {"label": label, **one} for label, one in zip(self.labelled.classes, found, strict=True)
        ]
        health = 1 - issues / rows if rows else None
        return {"rows": rows, "issues": issues, "health": health, "by_class": by_class}


def _flat(thresholds: npt.NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(thresholds.reshape(-1).tolist())


def _totals(counts: Places, cells: Cells) -> Places:
    """Rows of each cell; ``counts``: labelled ones by problem and class."""
    found: Places = np.append(counts.reshape(-1), counts[0].sum())[cells.groups]
    return found

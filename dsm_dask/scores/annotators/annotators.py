"""What is known of annotators and of how far they agree, as a result."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa

from dsm_dask import storage
from dsm_dask.engine import Engine
from dsm_dask.fold import Product
from dsm_dask.report.text import many
from dsm_dask.scores.annotators import krippendorff
from dsm_dask.scores.annotators.agreement import Agreement, AgreementNumbers
from dsm_dask.scores.annotators.answers import ReadsAnswers, Wide
from dsm_dask.scores.annotators.asked import Asked
from dsm_dask.scores.annotators.cohen import Cohen, CohenKappa, fits
from dsm_dask.scores.annotators.company import Company
from dsm_dask.scores.annotators.consensus import FIT, Consensus
from dsm_dask.scores.annotators.consensus_counts import ConsensusCounts, CountConsensus
from dsm_dask.scores.labels import Class
from dsm_dask.scores.scorer import Quantities
from dsm_dask.scores.stored_model import store
from dsm_dask.stats.values import to_json
from dsm_dask.table import Table

LISTED = 1000
"""Annotators in :meth:`Annotators.to_dict`: those of the lowest quality, when there are more."""
MOST_CONFUSIONS = 10_000
"""Numbers in all confusion matrices together, up to which they are listed."""


@dataclasses.dataclass(frozen=True)
class Annotator:
    """One annotator. ``shared``: answers to items that others answered, too. ``agreement``: the
    share of the others' answers to these that are the same. ``with_consensus``: the share of all
    answers that are the consensus. ``quality``, by the method: the probability of being right
    (Dawid-Skene), of knowing (MACE), or the weight (CROWDLAB); of the majority ``agreement``.
    ``confusion``: P(answer | true class), a row for each true class. None: not known."""

    name: Any
    answers: int
    shared: int
    agreement: float | None
    with_consensus: float | None
    quality: float | None
    confusion: tuple[tuple[float, ...], ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        found = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)[1:]}
        if self.confusion is None:
            return {name: value for name, value in found.items() if name != "confusion"}
        return {**found, "confusion": [list(row) for row in self.confusion]}


@dataclasses.dataclass(frozen=True)
class DisputedItem:
    """An item (of a table with a column for each annotator: a row id), its answers, the share of
    pairs of these that differ, the consensus and its probability."""

    item: Any
    answers: int
    disagreement: float
    label: Class
    confidence: float


@dataclasses.dataclass(frozen=True)
class Annotators:
    """Agreement, annotators, and the items that they dispute most.

    ``cohen`` is None when there are too many pairs; ``consensus``: items of each label.
    ``left_out``: rows of a long table that are no answer, by reason; ``repeated``: answers that
    the same annotator gave to the same item again, of which the last counts, ``changed`` those of
    them that said something else.
    """

    method: str
    parameters: dict[str, Any]
    classes: tuple[Class, ...]
    agreement: AgreementNumbers
    cohen: Cohen | None
    annotators: tuple[Annotator, ...]
    consensus: tuple[int, ...]
    disputed: tuple[DisputedItem, ...]
    fit: dict[str, Any]
    left_out: dict[str, int] = dataclasses.field(default_factory=dict)
    repeated: int = 0
    changed: int = 0
    out: str | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks, as sentences."""
        found = []
        if len(self.annotators) == 1:
            found.append("There is one annotator: nothing tells how good the answers are.")
        elif not self.agreement.shared:
            found.append("No item has two answers: nothing tells how far annotators agree.")
        if self.cohen is None:
            found.append("There are too many annotators and classes for kappas of pairs.")
        if self.fit.get("converged") is False:
            found.append("The iterations ended before the numbers settled.")
        if self.changed:
            found.append(f"{many(self.changed, 'answer')} changed later; the last one counts.")
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        told = self.agreement
        alpha = {
            "nominal": told.alpha_nominal, "ordinal": told.alpha_ordinal,
            "interval": told.alpha_interval,
        }  # fmt: skip
        listed = self.annotators
        if len(listed) > LISTED:
            listed = tuple(sorted(listed, key=_by_quality)[:LISTED])
        return {
            "method": self.method,
            "parameters": self.parameters,
            "classes": list(self.classes),
            **{n: getattr(told, n) for n in ("items", "unanswered", "shared", "answers")},
            "agreement": {
                "percent": told.percent.to_dict(),
                "fleiss": told.fleiss.to_dict(),
                "alpha": {level: e.to_dict() for level, e in alpha.items() if e is not None},
                "cohen": None if self.cohen is None else self._cohen(self.cohen),
            },
            "annotators": {str(one.name): one.to_dict() for one in listed},
            "annotator_count": len(self.annotators),
            "consensus": dict(zip(map(str, self.classes), self.consensus, strict=True)),
            "disputed": [
                {**dataclasses.asdict(one), "item": to_json(one.item)} for one in self.disputed
            ],
            **self.fit,
            "left_out": self.left_out,
            "repeated": self.repeated,
            "changed": self.changed,
            "out": self.out,
            "notes": list(self.notes),
        }

    def _cohen(self, found: Cohen) -> dict[str, Any]:
        names = [str(one.name) for one in self.annotators]
        pairs = [
            {"annotators": [names[p.left], names[p.right]], "items": p.items, **p.kappa.to_dict()}
            for p in found.pairs
        ]
        return {"weights": found.weights, "mean": found.mean.to_dict(), "pairs": pairs}

    def to_arrow(self) -> pa.Table:
        """A row for each annotator."""
        rows = [{"annotator": one.name, **one.to_dict()} for one in self.annotators]
        names = [f.name for f in dataclasses.fields(Annotator)[1:]]
        kinds = [pa.int64(), pa.int64(), *[pa.float64()] * 3, pa.list_(pa.list_(pa.float64()))]
        named = pa.array([row["annotator"] for row in rows], pa.string())
        columns = [
            pa.array([row.get(n) for row in rows], kind)
            for n, kind in zip(names, kinds, strict=True)
        ]
        return pa.table([named, *columns], names=["annotator", *names])


def _by_quality(one: Annotator) -> float:
    return 2.0 if one.quality is None else one.quality


def agreement_of(
    table: Table, source: ReadsAnswers, classes: tuple[Class, ...], asked: Asked, engine: Engine
) -> tuple[AgreementNumbers, Any, Cohen | None]:
    """Agreement of all, counts of each annotator, and kappas of pairs, from one pass; its states
    are kept beside a dataset."""
    values = krippendorff.numbers_of(classes)
    folds: list[Any] = [Agreement(source, values, asked.ordered), Company(source)]
    if fits(source):
        folds.append(CohenKappa(source, asked.weights))
    found = engine.fold(table, Product(tuple(folds)), label="Agreement").result
    return found[0], found[1], found[2] if len(found) > 2 else None


def describe(
    table: Table,
    scorer: Consensus,
    quantities: Quantities,
    *,
    engine: Engine,
    work: str,
    asked: Asked | None = None,
) -> Annotators:
    """All about the annotators of a table that has a column for each, given what the scorer
    prepared. ``work`` is the URI of a folder that the workers see.

    Two passes over the annotators' columns; that for agreement, and both for the majority, are kept
    beside a dataset, so that after an append only new partitions are read.
    """
    source = scorer.source(table, engine)
    asked = asked or Asked()
    told, company, cohen = agreement_of(table, source, source.classes, asked, engine)
    model = scorer.model(quantities)
    uri = None if model is None else store(model, storage.join(work, "model"))
    fold = CountConsensus(source, uri, scorer.weighed(quantities) if uri else None)
    counts = engine.fold(table, fold, cache=uri is None, label="Consensus").result
    items = {key: key for key in counts.disputed.keys.tolist()}
    return assembled(scorer, quantities, source, (told, company, cohen), counts, items)


def assembled(
    scorer: Consensus,
    quantities: Quantities,
    source: Wide,
    agreement: tuple[AgreementNumbers, Any, Cohen | None],
    counts: ConsensusCounts,
    items: dict[int, Any],
) -> Annotators:
    """The result from its parts; ``items`` by their keys."""
    told, company, cohen = agreement
    fit = {n: quantities[n] for n in FIT if n in quantities}
    return Annotators(
        method=scorer.method,
        parameters=scorer.parameters,
        classes=source.classes,
        agreement=told,
        cohen=cohen,
        annotators=_each(source, quantities, company, counts),
        consensus=tuple(counts.classes.tolist()),
        disputed=_disputed(source, counts, items),
        fit=fit,
    )


def _disputed(
    source: Wide, counts: ConsensusCounts, items: dict[int, Any]
) -> tuple[DisputedItem, ...]:
    told = counts.disputed
    rows = zip(
        told.keys, told.answers, told.disagreement, told.labels, told.confidence, strict=True
    )
    return tuple(
        DisputedItem(
            items[int(key)], int(answers), float(split), source.classes[label], float(sure)
        )
        for key, answers, split, label, sure in rows
    )


def _each(
    source: Wide, quantities: Quantities, company: Any, counts: ConsensusCounts
) -> tuple[Annotator, ...]:
    quality = quantities.get("quality")
    confusion = quantities.get("confusion")
    if confusion is not None and confusion.size > MOST_CONFUSIONS:
        confusion = None
    found = []
    for index, name in enumerate(source.names):
        answers, others, same, shared = (int(count) for count in company[index])
        agreement = same / others if others else None
        own = None
        if quality is None:
            own = agreement
        elif answers and np.isfinite(quality[index]):
            own = float(quality[index])
        table = None
        if confusion is not None and answers:
            table = tuple(tuple(row) for row in confusion[index].T.tolist())
        right = int(counts.right[index]) / answers if answers else None
        found.append(Annotator(name, answers, shared, agreement, right, own, table))
    return tuple(found)

"""Scorers for tables with a column for each annotator: what most of them mean, and how far they
differ."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask.engine import Engine
from dsm_dask.errors import SchemaError, UsageError
from dsm_dask.scores.annotators import crowdlab
from dsm_dask.scores.annotators.answer_files import AnswerFiles, Listed, WriteAnswers
from dsm_dask.scores.annotators.answers import Answers, Wide, classes_of
from dsm_dask.scores.annotators.calibration import Calibrated, calibrated, check_calibrate
from dsm_dask.scores.annotators.consensus_counts import decided, disagreement
from dsm_dask.scores.annotators.crowdlab import Crowdlab, Weights
from dsm_dask.scores.annotators.dawid_skene import Confusions, DawidSkene
from dsm_dask.scores.annotators.expectation import (
    ITERATIONS,
    TOLERANCE_AN_ANSWER,
    Method,
    check_iterations,
    fitted,
)
from dsm_dask.scores.annotators.glad import Abilities, Glad
from dsm_dask.scores.annotators.mace import Competences, Mace
from dsm_dask.scores.annotators.majority import Majority
from dsm_dask.scores.labels import Class, normal
from dsm_dask.scores.probabilities.probabilities import ClassProbabilities
from dsm_dask.scores.scorer import Quantities, RowScorer
from dsm_dask.table import Table, check_columns

MethodName = Literal["majority", "dawid-skene", "mace", "glad", "crowdlab"]
Kind = Literal["text", "integer", "boolean"]

_KINDS: dict[Kind, pa.DataType] = {
    "text": pa.string(), "integer": pa.int64(), "boolean": pa.bool_()
}  # fmt: skip


_ITERATIVE: dict[str, Callable[[int, float], Method]] = {
    "dawid-skene": DawidSkene, "mace": Mace, "glad": Glad
}  # fmt: skip

FIT = ("iterations", "converged", "objective", "temperature")
"""What quantities tell of how it went, where the method has it."""


@dataclasses.dataclass(frozen=True)
class Consensus:
    """``consensus_label``: the likeliest class given the answers in ``annotators`` (columns; null:
    no answer); of equally likely ones the first. ``consensus_confidence``: its probability, in
    [0, 1]. Both null for rows without an answer.

    * ``majority``: each answer counts the same; confidence is the share of votes. Depends on the
      row alone.
    * ``dawid-skene``: :class:`~dsm_dask.scores.annotators.dawid_skene.DawidSkene`
    * ``mace``: :class:`~dsm_dask.scores.annotators.mace.Mace`
    * ``glad``: :class:`~dsm_dask.scores.annotators.glad.Glad`
    * ``crowdlab``: ``LearnWeights``, with ``probabilities``; ``calibrate`` these first
      (``LearnTemperature``).

    ``classes`` in the order that breaks ties; learned (numbers by value, texts by code point) when
    None. ``kind`` is what labels are; :func:`kind_of` tells it of a table. Raises UsageError for
    settings that make no sense.

    >>> batch = pa.record_batch({"ann": ["cat", None], "bob": ["cat", None], "eve": ["dog", None]})
    >>> found = Consensus(("ann", "bob", "eve")).apply(batch, {})
    >>> found.column("consensus_label").to_pylist()
    ['cat', None]
    """

    annotators: tuple[str, ...]
    method: MethodName = "majority"
    kind: Kind = "text"
    classes: tuple[Class, ...] | None = None
    probabilities: ClassProbabilities | None = None
    iterations: int = ITERATIONS
    tolerance: float = TOLERANCE_AN_ANSWER
    calibrate: bool = False

    def __post_init__(self) -> None:
        check_annotators(self.annotators)
        if self.method not in get_args(MethodName):
            raise UsageError(
                f"The method {self.method!r} is unknown.", valid=", ".join(get_args(MethodName))
            )
        if (self.method == "crowdlab") != (self.probabilities is not None):
            raise UsageError(
                "crowdlab, and only crowdlab, takes the probabilities of a model.",
                valid="--consensus crowdlab --probs COL",
            )
        if self.probabilities is not None:
            check_model(self.probabilities, self.classes)
        check_iterations(self.iterations, self.tolerance)
        asked = (self.iterations, self.tolerance)
        if self.method not in _ITERATIVE and asked != (ITERATIONS, TOLERANCE_AN_ANSWER):
            raise UsageError(
                f"{self.method} does not iterate.",
                valid=f"Iterations and tolerance are for {', '.join(_ITERATIVE)}.",
            )
        check_calibrate(self.calibrate, self.method)

    @property
    def name(self) -> str:
        return "consensus"

    @property
    def columns(self) -> tuple[str, ...]:
        more = () if self.probabilities is None else self.probabilities.columns
        return tuple(dict.fromkeys([*self.annotators, *more]))

    @property
    def schema(self) -> pa.Schema:
        return pa.schema(
            [("consensus_label", _KINDS[self.kind]), ("consensus_confidence", pa.float32())]
        )

    @property
    def parameters(self) -> dict[str, Any]:
        told: dict[str, Any] = {"method": self.method}
        if self.classes is not None:
            told["classes"] = list(self.classes)
        if self.method in _ITERATIVE:
            told |= {"iterations": self.iterations, "tolerance": self.tolerance}
        if self.probabilities is not None:
            told["probabilities"] = self.probabilities.parameters
        return told | ({"calibrate": True} if self.calibrate else {})

    def source(self, table: Table, engine: Engine) -> Wide:
        """Where the answers are, the classes learned where they are not given."""
        if self.classes is not None:
            return Wide(self.annotators, self.classes)
        if self.probabilities is not None:
            return Wide(self.annotators, tuple(self.probabilities.classes))
        return Wide(self.annotators, classes_of(table, self.annotators, engine))

    def prepare(self, table: Table, engine: Engine, work: str) -> Quantities:
        """``classes``, ``quality`` of each annotator (NaN: not known), and the model's arrays; of
        the iterative methods also ``iterations``, ``converged`` and ``objective``. Nothing for the
        majority."""
        if self.method == "majority":
            return {}
        source = self.source(table, engine)
        told: dict[str, Any] = {"classes": list(source.classes)}
        if not source.classes:  # nobody answered
            return told
        if self.probabilities is not None:
            model: Any = self.probabilities
            if self.calibrate:
                model = calibrated(table, source, model, engine)
                told["temperature"] = model.temperature
            made = crowdlab.learn(table, source, model, engine, work)
            return {**told, **_flat(made), "quality": made.second.annotators.clip(0, 1)}
        parts = engine.map_partitions(
            WriteAnswers(source, work), table.partitions(), label="Reading answers"
        )
        files = AnswerFiles(work, tuple(file for part in parts for file in part))
        listed = Listed(source.annotators, source.labels)
        return {**told, **self.fit(files, listed, engine)}

    def fit(self, files: AnswerFiles, listed: Listed, engine: Engine) -> dict[str, Any]:
        """What :meth:`prepare` gives for the iterative methods, from answers in files."""
        method = _ITERATIVE[self.method](self.iterations, self.tolerance)
        found = fitted(files, method, listed, engine)
        told = {name: getattr(found, name) for name in ("iterations", "converged", "objective")}
        return {**_flat(found.model), "quality": found.model.quality(), **told}

    def model(self, quantities: Quantities) -> Any:
        """What :meth:`prepare` learned; None for the majority."""
        if self.method == "majority" or not quantities.get("classes"):
            return None
        if self.method == "dawid-skene":
            return Confusions(quantities["prior"], quantities["confusion"])
        if self.method == "mace":
            return Competences(quantities["knowing"], quantities["spamming"])
        if self.method == "glad":
            return Abilities(quantities["ability"], quantities["labels"])
        weights = [
            Weights(*(quantities[f"{step}_{f.name}"] for f in dataclasses.fields(Weights)))
            for step in ("first", "second")
        ]
        return Crowdlab(*weights)

    def weighed(self, quantities: Quantities) -> Any:
        """The probabilities that the annotators' answers are put together with; None without."""
        if self.probabilities is None or "temperature" not in quantities:
            return self.probabilities
        return Calibrated(self.probabilities, quantities["temperature"])

    def apply(self, batch: pa.RecordBatch, quantities: Quantities) -> pa.RecordBatch:
        """Raises BadRows for labels that are none of the classes."""
        classes = tuple(quantities.get("classes") or self.classes or here(batch, self.annotators))
        if not classes:
            return pa.record_batch(
                [pa.nulls(batch.num_rows, kind) for kind in self.schema.types], schema=self.schema
            )
        answers = Wide(self.annotators, classes).read(batch)
        model = self.model(quantities)
        if model is None:
            labels, sure = decided(Majority(len(classes)).posteriors(answers))
        elif self.probabilities is None:
            labels, sure = decided(model.posteriors(answers))
        else:
            numbers, nulls = self.weighed(quantities).read(batch)
            labels, sure = model.decide(answers, numbers, ~nulls)
        unknown = labels < 0
        return pa.record_batch(
            [
                labels_as(labels, classes, self.schema.types[0]),
                pa.array(sure.astype(np.float32), mask=unknown),
            ],
            schema=self.schema,
        )

    def summary(self, quantities: Quantities) -> dict[str, Any]:
        """The method, how it went, and the quality of each annotator, as in JSON; ``None`` where it
        is not known."""
        told: dict[str, Any] = {"method": self.method}
        told |= {name: quantities[name] for name in FIT if name in quantities}
        if "quality" in quantities:
            pairs = zip(self.annotators, quantities["quality"].tolist(), strict=True)
            told["annotators"] = {
                name: {"quality": value if np.isfinite(value) else None} for name, value in pairs
            }
        return told


@dataclasses.dataclass(frozen=True)
class Disagreement(RowScorer):
    """``annotator_disagreement``: the share of the pairs of answers to a row that differ, in
    [0, 1]; null for fewer than two answers. Depends on the row alone.

    >>> batch = pa.record_batch({"ann": ["cat", "cat"], "bob": ["cat", None], "eve": ["dog", None]})
    >>> found = Disagreement(("ann", "bob", "eve")).apply(batch, {})
    >>> found.column("annotator_disagreement").to_pylist()
    [0.6666666865348816, None]
    """

    annotators: tuple[str, ...]

    def __post_init__(self) -> None:
        check_annotators(self.annotators)

    @property
    def name(self) -> str:
        return "disagreement"

    @property
    def columns(self) -> tuple[str, ...]:
        return self.annotators

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([("annotator_disagreement", pa.float32())])

    @property
    def parameters(self) -> dict[str, Any]:
        return {"method": "pairs"}

    def apply(self, batch: pa.RecordBatch, quantities: Quantities) -> pa.RecordBatch:
        classes = here(batch, self.annotators)
        if not classes:
            return pa.record_batch([pa.nulls(batch.num_rows, pa.float32())], schema=self.schema)
        answers: Answers = Wide(self.annotators, classes).read(batch)
        found = disagreement(answers, len(classes)).astype(np.float32)
        return pa.record_batch([pa.array(found, mask=np.isnan(found))], schema=self.schema)

    def summary(self, quantities: Quantities) -> dict[str, Any]:
        return {}


def check_annotators(annotators: tuple[str, ...]) -> None:
    """Raise UsageError for none, or for one named twice."""
    if not annotators:
        raise UsageError("No annotator is named.", valid="--annotators COL,COL,...")
    if len(set(annotators)) < len(annotators):
        raise UsageError("Some annotator is named twice.", valid="Each column once.")


def check_model(probabilities: ClassProbabilities, classes: tuple[Class, ...] | None) -> None:
    """Raise UsageError when a model does not choose one of the classes."""
    if getattr(probabilities, "multilabel", False):
        raise UsageError("crowdlab takes models that choose one class.", valid="No multilabel.")
    if classes is not None and tuple(map(str, classes)) != tuple(map(str, probabilities.classes)):
        raise UsageError("The classes of the annotators and of the model are not the same.")


def kind_of(table: Table, columns: tuple[str, ...]) -> Kind:
    """What the labels in some columns are. Raises UnknownColumn, SchemaError when they are of
    different kinds or no labels at all."""
    check_columns(table, columns)
    found: dict[Kind, str] = {}
    for name in columns:
        kind = _kind(table.schema.field(name))
        if kind is not None:
            found.setdefault(kind, name)
    if len(found) > 1:
        told = ", ".join(f"{name!r} {kind}s" for kind, name in found.items())
        raise SchemaError(
            f"The annotators' labels are of different kinds: {told}.",
            where=table.uri,
            valid="Columns of one kind: texts, integers or booleans.",
        )
    return next(iter(found), "text")


def _kind(field: pa.Field) -> Kind | None:
    empty = normal(pa.nulls(0, field.type), field.name)  # raises for what is no label
    if pa.types.is_null(empty.type):
        return None
    if pa.types.is_boolean(field.type):
        return "boolean"
    return "integer" if pa.types.is_integer(empty.type) else "text"


def here(batch: pa.RecordBatch, columns: tuple[str, ...]) -> tuple[Class, ...]:
    """The labels in some columns of a batch, sorted."""
    found: set[Class] = set()
    for name in columns:
        found |= set(normal(batch.column(name), name).unique().drop_null().to_pylist())
    return tuple(sorted(found))


def labels_as(labels: npt.NDArray[np.int32], classes: tuple[Class, ...], kind: Any) -> pa.Array:
    """Classes by their numbers, null for -1, as values of a type.

    >>> labels_as(np.array([1, -1]), ("3", "7"), pa.int64()).to_pylist()
    [7, None]
    """
    numbers = {"false": "0", "true": "1"}
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        values = pa.array([str(one) for one in classes], kind)
    else:
        whole = [int(numbers.get(str(one).lower(), one)) for one in classes]
        values = pa.array(whole, pa.int64()).cast(kind)
    return values.take(pa.array(labels, mask=labels < 0))


def _flat(model: Any) -> dict[str, Any]:
    """The fields of a model, those of its parts too, as plain data."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(model):
        value = getattr(model, field.name)
        if dataclasses.is_dataclass(value):
            found |= {f"{field.name}_{name}": part for name, part in _flat(value).items()}
        else:
            found[field.name] = value
    return found

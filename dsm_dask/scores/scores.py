"""Scorers from options: one way for the command line, Python and jobs."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

from dsm_dask import arrays
from dsm_dask.dataset.version import Dataset
from dsm_dask.engine import Engine
from dsm_dask.errors import UsageError, nearest
from dsm_dask.scores import column_metadata
from dsm_dask.scores.annotators.asked import Asked
from dsm_dask.scores.annotators.expectation import ITERATIONS, TOLERANCE_AN_ANSWER
from dsm_dask.scores.labels import Class, LearnClasses
from dsm_dask.scores.probabilities.class_values import is_list
from dsm_dask.scores.probabilities.probabilities import (
    TOLERANCE,
    ClassProbabilities,
    Probabilities,
    default_classes,
)
from dsm_dask.scores.scorer import Scorer
from dsm_dask.scores.uncertainty.member_sequences import depth
from dsm_dask.stats.values import kind_of
from dsm_dask.table import Table, check_columns

KINDS = ("multiclass", "multilabel", "regression", "tokens", "ensemble")


@dataclasses.dataclass(frozen=True)
class ScoreOptions:
    """What to score by; at least one of ``probs``, ``model``, ``label``, ``annotators`` and
    ``embedding``."""

    probs: tuple[str, ...] = ()
    """Columns of probabilities; of ``regression``: of a variance, two bounds, or members."""
    kind: str = ""
    """What the model tells: one of :data:`KINDS`; when not given, multiclass, or ensemble where
    there are ``members``. Several members may also tell of ``multilabel`` rows and ``tokens``."""
    classes: tuple[Class, ...] = ()
    """In the order of the probabilities; learned when not given."""
    logits: bool = False
    temperature: float = 1.0
    renormalise: bool = False
    tolerance: float = TOLERANCE
    members: int = 0
    """Vectors in a list of an ensemble; 0: as many as there are."""
    aggregate: str = "mean"
    """How the scores of tokens become one."""
    spread: str = ""
    """Of ``regression``: variance, interval or members; has to be given with two columns. When not
    given, one column of numbers is a variance; lists, and three columns or more, are members."""
    model: str = ""
    """A skops or ONNX file that makes the probabilities, from the columns ``features``."""
    features: tuple[str, ...] = ()
    trusted: tuple[str, ...] = ()
    """Types in a skops file that may be loaded."""
    out_of_fold: tuple[str, ...] = ()
    """Columns of features or texts, of which probabilities are made by cross-validation."""
    group: str = ""
    """Rows with the same value here are in one part of the cross-validation."""
    label: str = ""
    quality: str = "self_confidence"
    """The method of ``label_quality``."""
    filter: str = "prune_by_noise_rate"
    """Which labels are issues."""
    min_examples: int = 1
    noise_share: float = 1.0
    annotators: tuple[str, ...] = ()
    consensus: str = ""
    """The method; dawid-skene, or crowdlab where there are probabilities, when not given."""
    calibrate: bool = False
    """Make the model as sure as the annotators say, before crowdlab weighs it."""
    em_iterations: int = ITERATIONS
    """Of the methods that iterate: until they gain less than ``em_tolerance`` an answer."""
    em_tolerance: float = TOLERANCE_AN_ANSWER
    kappa_weights: str = "none"
    """Of Cohen's kappa: none, linear or quadratic, by the places of the classes."""
    ordered: bool = False
    """The classes are named in their order."""
    embedding: str = ""
    neighbours: int = 0
    """How many are looked for; 0: the default."""

    @classmethod
    def of(cls, **given: Any) -> ScoreOptions:
        """From names and values; lists and single names do for tuples. Raises UsageError for names
        that there are not.

        >>> ScoreOptions.of(probs="p", classes=["cat", "dog"]).classes
        ('cat', 'dog')
        """
        known = {field.name: field for field in dataclasses.fields(cls)}
        found = {}
        for name, value in given.items():
            if name not in known:
                raise UsageError(f"{name!r} is no option of scores.", valid=nearest(name, known))
            if value is None:
                continue
            is_tuple = isinstance(known[name].default, tuple)
            if is_tuple:
                value = (value,) if isinstance(value, str) else tuple(value)
            found[name] = value
        return cls(**found)

    @property
    def tells(self) -> str:
        """The kind, given or not."""
        return self.kind or ("ensemble" if self.members else "multiclass")

    def check(self) -> None:
        """Raise UsageError for options that go with others that are not there."""
        if not (self.probs or self.model or self.label or self.annotators or self.embedding):
            raise UsageError(
                "There is nothing to score by.",
                valid="--probs COL, --model FILE, --label COL, --annotators COLS or "
                "--embedding COL.",
            )
        if self.tells not in KINDS:
            raise UsageError(
                f"There is no kind {self.kind!r}.", valid=f"One of {', '.join(KINDS)}."
            )
        if sum(bool(one) for one in (self.probs, self.model, self.out_of_fold)) > 1:
            raise UsageError(
                "Probabilities are in columns, made by a model or out of fold: one of these."
            )
        if self.label and self.label in self.out_of_fold:
            raise UsageError(
                f"{self.label!r} is what is to be learned, so nothing is learned from it.",
                valid="--out-of-fold takes columns of features or texts.",
            )
        default = ScoreOptions()
        for name, needed in _NEEDS.items():
            if getattr(self, name) != getattr(default, name) and not any(
                getattr(self, one) for one in needed
            ):
                options = " or ".join(f"--{one}" for one in needed)
                shown = name.replace("_", "-")
                raise UsageError(
                    f"--{shown} says nothing by itself.", valid=f"It goes with {options}."
                )
        if self.tells == "regression" and (self.label or self.model or self.classes):
            raise UsageError(
                "Regression has no classes.", valid="--kind regression --probs COL[,COL...]."
            )
        if self.tells == "regression" and len(self.probs) == 2 and not self.spread:
            raise UsageError(
                f"{' and '.join(self.probs)} may be the bounds of an interval, or predictions of "
                "two members.",
                valid="--spread interval or --spread members.",
            )


_WHOLE = re.compile("-?[0-9]+")
_PROBABILITIES = ("probs", "model", "out_of_fold")
_NEEDS = {
    "kind": _PROBABILITIES, "logits": _PROBABILITIES, "temperature": _PROBABILITIES,
    "renormalise": ("probs",), "tolerance": ("probs",), "members": ("probs",),
    "aggregate": ("probs",), "spread": ("probs",), "features": ("model",), "trusted": ("model",),
    "quality": ("label",), "filter": ("label",), "min_examples": ("label",),
    "noise_share": ("label",), "out_of_fold": ("label",), "group": ("out_of_fold",),
    "consensus": ("annotators",), "calibrate": ("annotators",), "em_iterations": ("annotators",),
    "em_tolerance": ("annotators",), "kappa_weights": ("annotators",), "ordered": ("annotators",),
    "neighbours": ("embedding",),
}  # fmt: skip


def scorers_for(table: Table, options: ScoreOptions, *, engine: Engine) -> list[Scorer]:
    """The scorers that some options ask for, in the order of their columns.

    Classes that are not given are those of the model, of the names of several columns, or of the
    labels. Raises UsageError for options that do not go together, UnknownColumn, SchemaError.
    """
    options.check()
    named = [*options.probs, *options.features, *options.annotators, options.label]
    check_columns(table, [name for name in [*named, options.embedding] if name])
    options = dataclasses.replace(options, classes=as_labels(table, options))
    found: list[Scorer] = []
    probabilities: ClassProbabilities | None = None
    if options.tells == "regression":
        found.append(_regression(table, options))
    elif options.probs or options.model:
        probabilities = _probabilities(table, options, engine)
        found.append(_uncertainty(table, options, probabilities))
    if options.label:
        found += _label_scorers(table, options, probabilities)
    if options.annotators:
        found += _annotator_scorers(table, options, probabilities)
    if options.embedding:
        found.append(_neighbours(table, options))
    return found


def as_labels(table: Table, options: ScoreOptions) -> tuple[Class, ...]:
    """Classes that were given, as numbers where the labels are no texts."""
    columns = [options.label] if options.label else list(options.annotators)
    texts = any(kind_of(table.schema.field(name).type) == "string" for name in columns)
    if texts or not all(_WHOLE.fullmatch(str(one)) for one in options.classes):
        return options.classes
    return tuple(int(one) for one in options.classes)


def _probabilities(table: Table, options: ScoreOptions, engine: Engine) -> ClassProbabilities:
    kind: Any = "logits" if options.logits else "probabilities"
    multilabel = options.tells == "multilabel"
    if options.model:
        from dsm_dask.scores.models.model import from_model

        return from_model(
            options.model, options.features, options.classes, kind=kind,
            temperature=options.temperature, multilabel=multilabel, trusted=options.trusted,
        )  # fmt: skip
    classes = options.classes or _classes(table, options, engine)
    return Probabilities(
        options.probs, classes, kind, options.temperature, options.renormalise, options.tolerance,
        multilabel,
    )  # fmt: skip


def _classes(table: Table, options: ScoreOptions, engine: Engine) -> tuple[Class, ...]:
    """Names of the classes of probabilities that come without; those of several columns are in
    the columns' names, others are the labels, where these are as many."""
    unnamed = default_classes(table, options.probs, options.members or 1)
    weighed = options.annotators and options.consensus in ("", "crowdlab")
    if len(options.probs) > 1 or not (options.label or weighed):
        return _names_known(table, options, unnamed)
    known = _known_labels(table, options, engine)
    if set(known) <= set(unnamed):
        return unnamed  # labels that are numbers of classes, perhaps not all of them
    if len(known) == len(unnamed):
        return known
    shown = ", ".join(repr(one) for one in known[:10])
    raise UsageError(
        f"There are {len(unnamed)} probabilities a row, and {len(known)} labels: {shown}"
        f"{', ...' if len(known) > 10 else ''}.",
        where=table.uri,
        valid="--classes names the classes in the order of the probabilities.",
    )


def _names_known(
    table: Table, options: ScoreOptions, unnamed: tuple[Class, ...]
) -> tuple[Class, ...]:
    """What the classes are called in scores of the same probabilities, if there are any."""
    known = column_metadata.read(table) if isinstance(table, Dataset) else {}
    for one in known.values():
        told = one.parameters.get("probabilities") or {}
        same = tuple(told.get("columns", ())) == options.probs
        if same and one.class_count == len(unnamed) and one.scorer == "uncertainty":
            return one.class_names(table.uri) or unnamed
    return unnamed


def _known_labels(table: Table, options: ScoreOptions, engine: Engine) -> tuple[Class, ...]:
    if not options.label:
        from dsm_dask.scores.annotators.answers import classes_of

        return classes_of(table, options.annotators, engine)
    learned = engine.fold(table, LearnClasses(options.label), label="Reading labels").result
    return tuple(learned.classes)


def _uncertainty(table: Table, options: ScoreOptions, probabilities: ClassProbabilities) -> Scorer:
    several = has_members(table, options)
    if options.tells == "multilabel" and several and isinstance(probabilities, Probabilities):
        from dsm_dask.scores.uncertainty.multilabel_ensembles import MultilabelEnsembleUncertainty

        return MultilabelEnsembleUncertainty(probabilities, options.members)
    if options.tells == "multilabel":
        from dsm_dask.scores.uncertainty.multilabel import MultilabelUncertainty

        return MultilabelUncertainty(probabilities)
    if options.tells == "multiclass":
        from dsm_dask.scores.uncertainty.classes import Uncertainty

        return Uncertainty(probabilities)
    if not isinstance(probabilities, Probabilities):
        raise UsageError(f"A model in a file gives no {options.tells}.", valid="--probs COL.")
    if options.tells == "tokens" and several:
        from dsm_dask.scores.uncertainty.token_ensembles import TokenEnsembleUncertainty

        return TokenEnsembleUncertainty(probabilities, options.members, _any(options.aggregate))
    if options.tells == "tokens":
        from dsm_dask.scores.uncertainty.tokens import TokenUncertainty

        return TokenUncertainty(probabilities, _any(options.aggregate))
    from dsm_dask.scores.uncertainty.ensembles import EnsembleUncertainty

    return EnsembleUncertainty(probabilities, options.members)


def has_members(table: Table, options: ScoreOptions) -> bool:
    """Do several members give each row, or each token of a row, a vector of probabilities?"""
    if options.members or options.tells == "ensemble":
        return True
    if not options.probs or options.tells not in ("multilabel", "tokens"):
        return False
    lists = depth(arrays.plain_type(table.schema.field(options.probs[0]).type))
    single = {"multilabel": 1, "tokens": 2}[options.tells]
    return bool(lists) and lists + (len(options.probs) > 1) > single


def _regression(table: Table, options: ScoreOptions) -> Scorer:
    from dsm_dask.scores.uncertainty.regression import RegressionUncertainty

    lists = is_list(arrays.plain_type(table.schema.field(options.probs[0]).type))
    method = options.spread or ("variance" if len(options.probs) == 1 and not lists else "members")
    return RegressionUncertainty(options.probs, _any(method))


def _label_scorers(
    table: Table, options: ScoreOptions, probabilities: ClassProbabilities | None
) -> Sequence[Scorer]:
    if probabilities is None:
        from dsm_dask.scores.neighbours.class_share import ClassShare

        return [ClassShare(options.label)]
    several = options.probs and has_members(table, options)
    if several or options.tells not in ("multiclass", "multilabel"):
        told = "members of an ensemble" if several else options.tells
        raise UsageError(
            f"Labels are not held against {told}.",
            valid="multiclass or multilabel, one vector of probabilities a row.",
        )
    from dsm_dask.scores.confident_learning.label_filters import LabelFilter
    from dsm_dask.scores.confident_learning.label_issues import LabelIssues
    from dsm_dask.scores.confident_learning.label_quality import LabelQuality

    chosen = LabelFilter(_any(options.filter), options.min_examples, options.noise_share)
    return [
        LabelQuality(options.label, probabilities, _any(options.quality)),
        LabelIssues(options.label, probabilities, chosen),
    ]


def _annotator_scorers(
    table: Table, options: ScoreOptions, probabilities: ClassProbabilities | None
) -> Sequence[Scorer]:
    from dsm_dask.scores.annotators import consensus as consensus_of
    from dsm_dask.scores.annotators.consensus import Consensus, Disagreement

    method = options.consensus or ("dawid-skene" if probabilities is None else "crowdlab")
    kind, classes = consensus_of.kind_of(table, options.annotators), options.classes or None
    asked_of(options).check(kind, classes)
    consensus = Consensus(
        options.annotators, _any(method), kind, classes,
        probabilities if method == "crowdlab" else None,
        options.em_iterations, options.em_tolerance, options.calibrate,
    )  # fmt: skip
    return [consensus, Disagreement(options.annotators)]


def asked_of(options: ScoreOptions) -> Asked:
    """How agreement is to be measured."""
    return Asked(_any(options.kappa_weights), options.ordered)


def _neighbours(table: Table, options: ScoreOptions) -> Scorer:
    from dsm_dask.scores.neighbours.neighbours import NEIGHBOURS, Neighbours

    return Neighbours.of(
        table,
        options.embedding,
        options.label or None,
        neighbours=options.neighbours or NEIGHBOURS,
        classes=options.classes,
    )


def _any(word: str) -> Any:
    """A word of which the scorer itself says whether it knows it."""
    return word

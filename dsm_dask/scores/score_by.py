"""Score by options: what they ask for becomes scorers, and these one version, or two where the
probabilities have to be learned first."""

from __future__ import annotations

import dataclasses
import uuid
from typing import Any

import pyarrow as pa

from dsm_dask.dataset.refs import Ref
from dsm_dask.dataset.version import Dataset, open_dataset, open_for_writing
from dsm_dask.duplicates.places import places
from dsm_dask.engine import Engine
from dsm_dask.scores import column_metadata
from dsm_dask.scores.column_checks import check
from dsm_dask.scores.labels import LearnClasses
from dsm_dask.scores.prepared import Prepared
from dsm_dask.scores.score import Unkept, score
from dsm_dask.scores.scored import Scored
from dsm_dask.scores.scorer import Scorer
from dsm_dask.scores.scores import ScoreOptions, as_labels, asked_of, scorers_for
from dsm_dask.table import check_columns


def score_by(
    data: str | Dataset,
    options: ScoreOptions,
    *,
    engine: Engine,
    replace: bool = False,
    message: str = "",
    dry_run: bool = False,
    prefix: str = "",
) -> Scored:
    """:func:`dsm_dask.scores.score.score` by what some options ask for; with ``annotators`` it also
    tells how far these agree and how good each is (``summaries["annotators"]``).

    With ``out_of_fold`` the probabilities become a column of a version of their own, and the scores
    are of that; a dry run ends before it."""
    options.check()
    base = open_for_writing(data)
    if dry_run:
        base = Unkept.of(base)
    ends: Any = {"replace": replace, "message": message, "dry_run": dry_run, "prefix": prefix}
    made = None
    if options.out_of_fold:
        first = _out_of_fold(base, options, engine)
        column = Prepared(first, prefix).schema.field(0)
        options = dataclasses.replace(options, out_of_fold=(), group="", probs=(column.name,))
        _check_second(base, column, options, prefix, replace, engine)
        made = score(base, [first], engine=engine, **ends)
        if dry_run:
            return made
        base = open_dataset(Ref(base.uri).at(made.version, base.branch))
    scorers = scorers_for(base, options, engine=engine)
    found = score(base, scorers, engine=engine, **ends)
    if made is not None:
        found = _joined(made, found)
    if not options.annotators or not found.quantities:
        return found
    from dsm_dask.scores.annotators.annotators import describe
    from dsm_dask.scores.annotators.consensus import Consensus

    consensus = next(one for one in scorers if isinstance(one, Consensus))
    with places(base, None, None, engine, uuid.uuid4().hex, dry_run) as place:
        quantities = found.quantities[consensus.name]
        told = describe(
            base, consensus, quantities, engine=engine, work=place.work, asked=asked_of(options)
        ).to_dict()
    return dataclasses.replace(found, summaries={**found.summaries, "annotators": told})


def _out_of_fold(base: Dataset, options: ScoreOptions, engine: Engine) -> Scorer:
    from dsm_dask.scores.out_of_fold.out_of_fold import OutOfFold

    check_columns(base, [options.label, *options.out_of_fold])
    classes = as_labels(base, options)
    if not classes:
        learned = engine.fold(base, LearnClasses(options.label), label="Reading labels").result
        classes = tuple(learned.classes)
    return OutOfFold(options.label, options.out_of_fold, classes, options.group or None)


def _check_second(
    base: Dataset, column: pa.Field, options: ScoreOptions, prefix: str, replace: bool,
    engine: Engine,
) -> None:  # fmt: skip
    """Raise what scoring by the probabilities would, before these are learned."""
    fields = [field for field in base.schema if field.name != column.name]
    table: Any = _WithColumn(base, pa.schema([*fields, column]))
    steps = [Prepared(one, prefix) for one in scorers_for(table, options, engine=engine)]
    check(table, steps, column_metadata.read(base), replace)


@dataclasses.dataclass(frozen=True)
class _WithColumn:
    """A dataset with a column that is still to be made."""

    dataset: Dataset
    schema: pa.Schema

    def __getattr__(self, name: str) -> Any:
        return getattr(self.dataset, name)


def _joined(first: Scored, second: Scored) -> Scored:
    """Two runs as one: the second is of what the first has made."""
    return dataclasses.replace(
        second,
        columns=(*first.columns, *second.columns),
        computed={**first.computed, **second.computed},
        stale=(*first.stale, *second.stale),
        committed=first.committed or second.committed,
    )

"""The verbs in Python, with an engine of their own when none is given.

``import dsm_dask as dsm; dsm.profile("s3://lake/reviews@clean")``. Several verbs in a row share a
cluster: ``with dsm.Engine() as engine: dsm.profile(..., engine=engine)``.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from dsm_dask import storage
from dsm_dask.dataset import columns as _columns
from dsm_dask.dataset import drop as _drop
from dsm_dask.dataset import gc as _gc
from dsm_dask.dataset import update as _update
from dsm_dask.dataset import verify as _verify
from dsm_dask.dataset import write as _write
from dsm_dask.dataset.annotation_tools.answers import Several
from dsm_dask.dataset.history import diff, log, show
from dsm_dask.dataset.naming import branch, restore, tag
from dsm_dask.dataset.version import Dataset, open_data, open_dataset
from dsm_dask.duplicates import dedup as _dedup
from dsm_dask.duplicates import embeddings as _embeddings
from dsm_dask.duplicates.result import Deduplicated
from dsm_dask.engine import Engine
from dsm_dask.errors import UsageError
from dsm_dask.jobs import collect as _collect
from dsm_dask.jobs.run import JobRun, run_job
from dsm_dask.jobs.spec import load_job
from dsm_dask.monitoring import comparison as _comparison
from dsm_dask.monitoring import drift as _drift
from dsm_dask.monitoring import series as _series
from dsm_dask.monitoring import slices as _slices
from dsm_dask.report.differences import CHARACTERS
from dsm_dask.scores import score as _score
from dsm_dask.scores import score_by as _score_by
from dsm_dask.scores import scores as _scores
from dsm_dask.scores.annotators import score_answers as _score_answers
from dsm_dask.scores.annotators.annotators import Annotators
from dsm_dask.scores.annotators.consensus import MethodName
from dsm_dask.scores.review import review_queue as _review_queue
from dsm_dask.scores.review.queued import Queue
from dsm_dask.scores.scored import Scored
from dsm_dask.scores.scorer import Scorer
from dsm_dask.stats import group_profiles as _group_profiles
from dsm_dask.stats import profile as _profile
from dsm_dask.validation import check as _check
from dsm_dask.validation.findings import Checked
from dsm_dask.validation.infer import Inferred
from dsm_dask.validation.schema import Schema
from dsm_dask.validation.schema_file import is_schema_file, load_schema


@contextmanager
def storage_options(**options: Any) -> Iterator[None]:
    """Reach object storage with these options in the enclosed code: ``endpoint_url``, ``region``,
    ``path_style``, ``anon``, ``profile``. Keys and secrets are refused: they belong in the
    environment of each process.

    >>> with storage_options(endpoint_url="http://localhost:9000", path_style=True):
    ...     pass
    """
    with storage.using(storage.Options.parse(options)):
        yield


__all__ = [
    "add_columns", "append", "branch", "check", "create", "dedup", "diff", "drift", "drift_by",
    "drift_over", "drop", "embed", "gc", "infer_schema", "issues", "log", "open", "profile",
    "profile_by", "restore", "run", "score", "score_answers", "show", "storage_options", "tag",
    "update", "verify",
]  # fmt: skip


@contextmanager
def _engine(given: Engine | None) -> Iterator[Engine]:
    if given is not None:
        yield given
        return
    with Engine() as engine:
        yield engine


def open(data: str) -> Dataset:
    """A dataset at ``URI``, ``URI@VERSION``, ``URI@TAG`` or ``URI@BRANCH``."""
    return open_dataset(data)


def create(
    dataset: str,
    sources: str | Sequence[str],
    *,
    copy: bool = False,
    message: str = "",
    engine: Engine | None = None,
) -> _write.Written:
    """See :func:`dsm_dask.dataset.write.create`."""
    with _engine(engine) as used:
        return _write.create(dataset, sources, engine=used, copy=copy, message=message)


def append(
    dataset: str, sources: str | Sequence[str], *, message: str = "", engine: Engine | None = None
) -> _write.Written:
    """See :func:`dsm_dask.dataset.write.append`."""
    with _engine(engine) as used:
        return _write.append(dataset, sources, engine=used, message=message)


def drop(
    dataset: str, where: str, *, message: str = "", engine: Engine | None = None
) -> _write.Written:
    """See :func:`dsm_dask.dataset.drop.drop`."""
    with _engine(engine) as used:
        return _drop.drop(dataset, where, engine=used, message=message)


def add_columns(
    dataset: str, row_map: _columns.RowMap, *, message: str = "", engine: Engine | None = None
) -> _write.Written:
    """See :func:`dsm_dask.dataset.columns.add_columns`."""
    with _engine(engine) as used:
        return _columns.add_columns(dataset, row_map, engine=used, message=message)


def profile(
    data: Any,
    columns: Sequence[str] | None = None,
    *,
    label: str | None = None,
    engine: Engine | None = None,
) -> _profile.Profile:
    """See :func:`dsm_dask.stats.profile.profile`; ``data`` is a dataset, a path or a Table."""
    with _engine(engine) as used:
        return _profile.profile(open_data(data, used.map), columns, label=label, engine=used)


def profile_by(
    data: Any,
    by: str,
    columns: Sequence[str] | None = None,
    window: str | None = None,
    *,
    engine: Engine | None = None,
    **options: Any,
) -> _group_profiles.GroupedProfile:
    """See :func:`dsm_dask.stats.group_profiles.profile_by`."""
    with _engine(engine) as used:
        table = open_data(data, used.map)
        return _group_profiles.profile_by(table, by, columns, window, engine=used, **options)


def check(
    data: Any,
    against: Any,
    columns: Sequence[str] | None = None,
    *,
    examples: int = _check.EXAMPLES,
    scratch: str | None = None,
    engine: Engine | None = None,
) -> Checked:
    """See :func:`dsm_dask.validation.check.check`; ``against`` is a schema or the path of one
    (``.yaml``), sketches, saved or not, a dataset, a path or a Table."""
    title = against if isinstance(against, str) else None
    with _engine(engine) as used:
        if is_schema_file(against):
            against = load_schema(against)
        if not isinstance(against, Schema):
            against = _drift.open_side(against, used.map)
        table = open_data(data, used.map)
        found = _check.check(
            table, against, columns, engine=used, examples=examples, scratch=scratch
        )
    return found if title is None else dataclasses.replace(found, against=title)


def infer_schema(
    data: Any,
    columns: Sequence[str] | None = None,
    *,
    scratch: str | None = None,
    engine: Engine | None = None,
) -> Inferred:
    """See :func:`dsm_dask.validation.check.infer_schema`; ``.to_yaml()`` of what it gives is a
    schema file."""
    with _engine(engine) as used:
        side = _drift.open_side(data, used.map)
        return _check.infer_schema(side, columns, engine=used, scratch=scratch)


def dedup(
    data: Any,
    on: str | Sequence[str],
    *,
    method: str = "exact",
    against: Any = (),
    drop: bool = False,
    columns: bool = False,
    out: str | None = None,
    scratch: str | None = None,
    message: str = "",
    show: int | None = None,
    engine: Engine | None = None,
    **options: Any,
) -> Deduplicated:
    """See :func:`dsm_dask.duplicates.dedup.dedup`, which tells the ``options`` of each method.
    ``against`` is one dataset, path or Table, or several. ``show`` clusters come with the texts of
    their rows, for :meth:`~dsm_dask.duplicates.result.Deduplicated.save_html` to tell what differs.
    """
    with _engine(engine) as used:
        table = open_data(data, used.map)
        others = list(against) if isinstance(against, (list, tuple)) else [against]
        return _dedup.dedup(
            table, [on] if isinstance(on, str) else list(on), method, engine=used,
            against=[open_data(other, used.map) for other in others], columns=columns, show=show,
            cut=CHARACTERS if show else None, options=options,
            ends={"drop": drop, "out": out, "scratch": scratch, "message": message},
        )  # fmt: skip


def embed(
    data: Any,
    column: str,
    *,
    function: Callable[[list[Any]], Any] | None = None,
    dimension: int | None = None,
    batch_size: int = _embeddings.BATCH,
    name: str | None = None,
    message: str = "",
    dry_run: bool = False,
    engine: Engine | None = None,
) -> _write.Written:
    """See :func:`dsm_dask.duplicates.embeddings.embed`."""
    with _engine(engine) as used:
        return _embeddings.embed(
            data, column, engine=used, function=function, dimension=dimension,
            batch_size=batch_size, name=name, message=message, dry_run=dry_run,
        )  # fmt: skip


def score(
    dataset: str,
    scorers: Sequence[Scorer] = (),
    *,
    prefix: str = "",
    replace: bool = False,
    message: str = "",
    dry_run: bool = False,
    engine: Engine | None = None,
    **options: Any,
) -> Scored:
    """Write scores next to the data, by scorers of your own (see
    :func:`dsm_dask.scores.score.score`) or by ``options``: those of
    :class:`dsm_dask.scores.scores.ScoreOptions`, such as ``probs`` and ``label``."""
    if scorers and options:
        raise UsageError("Scores are by scorers or by options, not both.")
    with _engine(engine) as used:
        if scorers:
            return _score.score(
                dataset, scorers, engine=used, prefix=prefix, replace=replace, message=message,
                dry_run=dry_run,
            )  # fmt: skip
        return _score_by.score_by(
            dataset, _scores.ScoreOptions.of(**options), engine=used, prefix=prefix,
            replace=replace, message=message, dry_run=dry_run,
        )  # fmt: skip


def score_answers(
    data: Any,
    columns: Sequence[str],
    *,
    method: MethodName = "dawid-skene",
    out: str | None = None,
    engine: Engine | None = None,
    **options: Any,
) -> Annotators:
    """See :func:`dsm_dask.scores.annotators.score_answers.score_answers`, which tells the
    ``options``; ``data`` is a dataset, a path or a Table with a row for each answer."""
    with _engine(engine) as used:
        return _score_answers.score_answers(
            open_data(data, used.map), columns, engine=used, method=method, out=out, **options
        )


def update(
    dataset: str,
    corrections: str,
    on: str | None = None,
    *,
    who: str | None = None,
    tool: str | None = None,
    several: Several = "error",
    message: str = "",
    dry_run: bool = False,
    engine: Engine | None = None,
) -> _update.Updated:
    """See :func:`dsm_dask.dataset.update.update`."""
    with _engine(engine) as used:
        return _update.update(
            dataset, corrections, on, engine=used, who=who, tool=tool, several=several,
            message=message, dry_run=dry_run,
        )  # fmt: skip


def drift(
    reference: Any,
    current: Any,
    columns: Sequence[str] | None = None,
    *,
    method: str | None = None,
    threshold: float | None = None,
    share: float = _comparison.SHARE,
    score: str | None = None,
    engine: Engine | None = None,
) -> _comparison.Comparison:
    """See :func:`dsm_dask.monitoring.drift.drift`; both sides are datasets, paths, Tables, or
    sketches, saved or not."""
    with _engine(engine) as used:
        return _drift.drift(
            _drift.open_side(reference, used.map),
            _drift.open_side(current, used.map),
            columns,
            engine=used,
            method=method,
            threshold=threshold,
            share=share,
            score=score,
        )


def drift_over(
    data: Any, over: str, window: str, *, engine: Engine | None = None, **options: Any
) -> _series.Series:
    """See :func:`dsm_dask.monitoring.series.drift_over`."""
    with _engine(engine) as used:
        return _series.drift_over(open_data(data, used.map), over, window, engine=used, **options)


def drift_by(
    reference: Any, current: Any, by: str, *, engine: Engine | None = None, **options: Any
) -> _slices.Slices:
    """See :func:`dsm_dask.monitoring.slices.drift_by`."""
    with _engine(engine) as used:
        one, other = (_drift.open_rows(side, used.map) for side in (reference, current))
        return _slices.drift_by(one, other, by, engine=used, **options)


def issues(data: Any, *, engine: Engine | None = None, **options: Any) -> Queue:
    """Rows that people should look at first; see
    :func:`dsm_dask.scores.review.review_queue.issues`, which tells the ``options``.
    ``.save("queue.csv")`` writes a form for corrections, ``.save_html("queue.html")`` a page."""
    with _engine(engine) as used:
        return _review_queue.issues(open_data(data, used.map), engine=used, **options)


def verify(dataset: str, *, engine: Engine | None = None) -> _verify.Verified:
    """See :func:`dsm_dask.dataset.verify.verify`."""
    with _engine(engine) as used:
        return _verify.verify(dataset, engine=used)


def gc(
    dataset: str, *, older_than: dt.timedelta = dt.timedelta(days=14), dry_run: bool = False
) -> _gc.Collected:
    """See :func:`dsm_dask.jobs.collect.collect`."""
    return _collect.collect(dataset, older_than=older_than, dry_run=dry_run)


def run(job: str, *, engine: Engine | None = None) -> JobRun:
    """Run a job file; see :func:`dsm_dask.jobs.run.run_job`."""
    with _engine(engine) as used:
        return run_job(load_job(job), engine=used)

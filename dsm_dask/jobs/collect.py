"""``gc`` of all that lies beside a dataset, records of its jobs included."""

from __future__ import annotations

import dataclasses
import datetime as dt

from dsm_dask.dataset.gc import Collected, gc
from dsm_dask.jobs.record import forget, outdated


def collect(dataset: str, *, older_than: dt.timedelta, dry_run: bool = False) -> Collected:
    """:func:`dsm_dask.dataset.gc.gc`, and records of runs of jobs that ended before ``older_than``;
    those of runs that wait or are going on stay."""
    found = gc(dataset, older_than=older_than, dry_run=dry_run)
    old = outdated(dataset, older_than)
    for run in [] if dry_run else old:
        forget(run)
    return dataclasses.replace(found, jobs=tuple(str(run) for run in old))

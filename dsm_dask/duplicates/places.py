"""Where a run of deduplication puts its files: what is kept beside a dataset, and what is not.

What passes between tasks goes to this machine's temporary folder when all workers are on it and
there is room: an object store takes more time for it than all the rest of a run.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import tempfile
from collections.abc import Iterator

from dsm_dask import storage
from dsm_dask.dataset.version import Dataset
from dsm_dask.engine import Engine
from dsm_dask.errors import UsageError
from dsm_dask.table import Table

ROOM = 4
"""Free space that the temporary folder has to have, as a multiple of the data's size there."""


@dataclasses.dataclass(frozen=True)
class Places:
    """Folders of one run."""

    kept: str
    """For what the next run can use: ``_dsm`` of a dataset, else a folder that goes away."""
    run: str
    """For this run; what is not removed (decisions that a commit refers to) stays."""
    work: str
    """For what passes between tasks; removed at the end."""


def check_written(table: Table) -> None:
    """Raise UsageError for what cannot be written to: rows of plain files."""
    if not isinstance(table, Dataset):
        raise UsageError(
            f"Only a dataset can be written to; {table.uri} is plain files.",
            valid="Link them first with `dsm create DATASET SOURCE...`, or use --out.",
        )


def check_empty(out: str) -> None:
    """Raise UsageError for a folder that has something: results of different runs would mix."""
    if storage.listing(out):
        raise UsageError(
            f"The folder {out} is not empty.",
            where=out,
            valid="Results of different runs would mix: give --out a folder of its own, or remove "
            "what a run that was stopped left there.",
        )


def decisions_folder(out: str | None, writes: bool, run_folder: str) -> str | None:
    """Where decisions go: ``out``, beside the dataset when a commit will need them, or nowhere."""
    if out is not None:
        return storage.normalise(out)
    return storage.join(run_folder, "decisions") if writes else None


@contextlib.contextmanager
def places(
    table: Table, out: str | None, scratch: str | None, engine: Engine, run: str, dry_run: bool
) -> Iterator[Places]:
    """Folders for a run; what is not worth keeping is removed at the end."""
    with contextlib.ExitStack() as stack:
        if isinstance(table, Dataset):
            yield _beside(table, scratch, engine, run, dry_run, stack)
            return
        if scratch is None and out is None:
            if not engine.is_local:
                raise UsageError(
                    "Plain files need a folder for the shuffle that every worker can reach.",
                    valid="Give --scratch URI or --out URI, or link the files as a dataset.",
                )
            folder = stack.enter_context(storage.temporary_folder())
        else:
            folder = storage.join(scratch or storage.parent(str(out)), f"_dsm-{run}")
            stack.callback(storage.delete_folder, folder)
        yield Places(folder, folder, storage.join(folder, "work"))


def _beside(
    dataset: Dataset,
    scratch: str | None,
    engine: Engine,
    run: str,
    dry_run: bool,
    stack: contextlib.ExitStack,
) -> Places:
    base = storage.join(dataset.uri, "_dsm")
    runs = storage.join(base, "runs", run)
    if dry_run:
        stack.callback(storage.delete_folder, runs)
    if scratch is None and engine.is_local and _has_room(dataset):
        work = stack.enter_context(storage.temporary_folder())
    else:
        work = storage.join(runs, "work")
        if scratch is not None:
            work = storage.join(scratch, f"_dsm-{run}")
        stack.callback(storage.delete_folder, work)
    return Places(runs if dry_run else base, runs, work)


def _has_room(dataset: Dataset) -> bool:
    needed = ROOM * sum(partition.size for partition in dataset.partitions())
    return shutil.disk_usage(tempfile.gettempdir()).free > needed

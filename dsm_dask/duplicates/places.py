"""Where a run of deduplication puts its files: what is kept beside a dataset, and what is not."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator

from dsm_dask import storage
from dsm_dask.dataset.version import Dataset
from dsm_dask.engine import Engine
from dsm_dask.errors import UsageError
from dsm_dask.table import Table


@dataclasses.dataclass(frozen=True)
class Places:
    """Folders of one run."""

    kept: str
    """For what the next run can use: ``_dsm`` of a dataset, else a folder that goes away."""
    run: str
    """For this run; what is not removed (decisions that a commit refers to) stays."""
    work: str
    """For what passes between tasks; removed at the end."""


def check_places(table: Table, *, writes: bool, out: str | None) -> None:
    """Raise UsageError when results cannot go where they are to go: rows of plain files cannot be
    changed, and decisions of different runs would mix in one folder."""
    if writes and not isinstance(table, Dataset):
        raise UsageError(
            f"Only a dataset can be written to; {table.uri} is plain files.",
            valid="Link them first with `dsm create DATASET SOURCE...`, or use --out.",
        )
    if out is not None and storage.listing(out):
        raise UsageError(
            f"The folder {out} is not empty.",
            where=out,
            valid="Decisions of different runs would mix: give --out a folder of its own.",
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
    if isinstance(table, Dataset):
        base = storage.join(table.uri, "_dsm")
        runs = storage.join(base, "runs", run)
        work = storage.join(runs, "work")
        try:
            yield Places(runs if dry_run else base, runs, work)
        finally:
            storage.delete_folder(work)
            if dry_run:
                storage.delete_folder(runs)
        return
    if scratch is None and out is None and not engine.is_local:
        raise UsageError(
            "Plain files need a folder for the shuffle that every worker can reach.",
            valid="Give --scratch URI or --out URI, or link the files as a dataset.",
        )
    with contextlib.ExitStack() as stack:
        if scratch is None and out is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="dsm-"))
        else:
            folder = storage.join(scratch or storage.parent(str(out)), f"_dsm-{run}")
            stack.callback(storage.delete_folder, folder)
        yield Places(folder, folder, storage.join(folder, "work"))

"""The Nth operation on the store fails, for every N of every verb that writes: before it was done,
after it was done (the answer was lost), or it and all that follow. Each time the dataset is whole,
is what it was or what it was to become, and the same call again makes it so."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pytest
from dsm_trials import Doubled, inline, parquet, rows

from dsm_dask import storage
from dsm_dask.dataset.columns import add_columns
from dsm_dask.dataset.drop import drop
from dsm_dask.dataset.history import log
from dsm_dask.dataset.naming import branch, restore, tag
from dsm_dask.dataset.update import update
from dsm_dask.dataset.verify import verify
from dsm_dask.dataset.version import is_dataset, open_dataset
from dsm_dask.dataset.write import append, create
from dsm_dask.duplicates.dedup import dedup
from dsm_dask.errors import DsmError, SchemaError, StoreUnreachable

pytestmark = [pytest.mark.slow]

STORAGE = [
    "read", "read_ranges", "write", "create", "delete", "delete_folder", "listing", "find", "info",
    "exists", "check_bucket", "upload",
]  # fmt: skip
READS = {"read", "read_ranges", "listing", "find", "info", "exists", "check_bucket", "dataset"}
"""It is all the same whether these fail before or after they were done."""
LANCE = [
    (lance, "dataset"), (lance.LanceDataset, "commit"), (lance.fragment.LanceFragment, "create"),
    (lance.file.LanceFileWriter, "close"), (lance.LanceDataset, "create_branch"),
]  # fmt: skip


class Store:
    """Hears what is asked of storage and of Lance, and fails some of it."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.fails: Callable[[int], bool] = lambda number: False
        self.when = "before"

    def through(self, real: Any, name: str, error: Callable[[], Exception]) -> Any:
        def door(*given: Any, **named: Any) -> Any:
            fails = self.fails(len(self.asked))
            self.asked.append(name)
            if fails and self.when == "before":
                raise error()
            answer = real(*given, **named)
            if fails:
                raise error()
            return answer

        return door


@pytest.fixture
def store(monkeypatch) -> Iterator[Store]:
    made = Store()
    for name in STORAGE:
        door = made.through(getattr(storage, name), name, lambda: StoreUnreachable("It is away."))
        monkeypatch.setattr(storage, name, door)
    for place, name in LANCE:
        door = made.through(getattr(place, name), name, lambda: OSError("connection reset"))
        kept = isinstance(vars(place).get(name), staticmethod)
        monkeypatch.setattr(place, name, staticmethod(door) if kept else door)
    monkeypatch.setattr("dsm_dask.dataset.lease.SECONDS", 0.05)  # who failed holds none
    yield made
    made.fails = lambda number: False


@contextlib.contextmanager
def failing(store: Store, when: str, number: int) -> Iterator[None]:
    store.asked, store.when = [], "after" if when == "after" else "before"
    store.fails = (lambda n: n >= number) if when == "for good" else (lambda n: n == number)
    try:
        yield
    finally:
        store.fails = lambda n: False


def place(ds: str, name: str) -> str:
    return f"{Path(ds).parent.parent}/{name}"


def deduplicated(ds: str, engine: Any) -> None:
    dedup(open_dataset(ds), ["t"], engine=engine, ends={"drop": True}, options={})


VERBS: dict[str, Callable[[str, Any], Any]] = {
    "create": lambda ds, e: create(ds, place(ds, "raw"), engine=e, resume=True),
    "copy": lambda ds, e: create(ds, place(ds, "raw"), engine=e, copy=True, resume=True),
    "append": lambda ds, e: append(ds, place(ds, "more"), engine=e),
    "drop": lambda ds, e: drop(ds, "a < 7", engine=e),
    "columns": lambda ds, e: add_columns(ds, Doubled(), engine=e),
    "dedup": deduplicated,
    "update": lambda ds, e: update(ds, place(ds, "fix.parquet"), "a", engine=e),
    "tag": lambda ds, e: tag(ds, "good"),
    "branch": lambda ds, e: branch(ds, "side"),
    "restore": lambda ds, e: restore(ds, "1"),
}


def state(ds: str) -> tuple[Any, ...]:
    """All that one can see of a dataset. Twice restored is restored."""
    if not is_dataset(ds):
        return ()
    versions = [v.job for v in log(ds).versions]
    shown = open_dataset(ds).lance
    names = (set(shown.tags.list()), set(shown.branches.list()))
    return rows(open_dataset(ds)), list(dict.fromkeys(versions)), names


@pytest.fixture
def before(quick_path, request) -> str:
    """A dataset in a folder that is copied for each try; the sources lie beside it."""
    for index in range(2):
        numbers = np.arange(index * 10, index * 10 + 10)
        parquet(quick_path / f"raw/{index}.parquet", {"a": numbers, "t": numbers % 6})
    parquet(quick_path / "more/x.parquet", {"a": [90, 91], "t": [0, 1]})
    parquet(quick_path / "fix.parquet", {"a": [3, 15], "t": [100, 101]})
    ds = str(quick_path / "before/ds")
    Path(ds).mkdir(parents=True)
    if request.node.callspec.params["verb"] not in ("create", "copy"):
        with inline() as engine:
            create(ds, str(quick_path / "raw"), engine=engine)
            drop(ds, "a = 19", engine=engine)
    return ds


def _has_columns(ds: str) -> bool:
    """Then they are not computed again, and the error says so."""
    return is_dataset(ds) and "doubled" in open_dataset(ds).schema.names


@pytest.mark.parametrize("verb", VERBS)
def test_it_is_as_it_was_or_as_it_was_to_be(before, store, verb):
    root = Path(before).parent.parent
    was = state(before)

    def copy(name: str) -> str:
        shutil.copytree(Path(before).parent, root / name)
        return str(root / name / "ds")

    clean, store.asked = copy("clean"), []
    with inline() as engine:
        VERBS[verb](clean, engine)
        asked, wanted = list(store.asked), state(clean)
    assert len(asked) > 1
    assert wanted != was
    for number, name in enumerate(asked):
        for when in ("before", "for good") if name in READS else ("before", "after", "for good"):
            ds = copy(f"{when}-{number}")
            with contextlib.suppress(DsmError), failing(store, when, number), inline() as engine:
                VERBS[verb](ds, engine)
            found = state(ds)
            assert found in (was, wanted), (number, when)
            with inline() as engine:
                assert not found or verify(ds, engine=engine).damaged == ()
                with pytest.raises(SchemaError) if _has_columns(ds) else contextlib.nullcontext():
                    VERBS[verb](ds, engine)
                assert state(ds) == wanted, (number, when)
                assert verify(ds, engine=engine).damaged == ()
            shutil.rmtree(root / f"{when}-{number}")

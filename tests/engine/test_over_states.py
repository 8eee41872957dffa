"""A function of the states of several tables, computed where the states are."""

import dataclasses

import numpy as np
import pytest
from dsm_trials import objects, parquet

from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import append, create
from dsm_dask.engine import Engine
from dsm_dask.errors import UnknownColumn
from dsm_dask.sources.parquet import open_parquet
from dsm_dask.stats.count import Count
from dsm_dask.stats.quantiles import Quantiles

FOLDS = (Count("a"), Quantiles("a"))


@dataclasses.dataclass(frozen=True)
class Finished:
    """What the Folds make of each table's states."""

    def __call__(self, *sides):
        return [[repr(f.finish(s)) for f, s in zip(FOLDS, side, strict=True)] for side in sides]


def raw(place, name: str, seed: int, rows: int = 30_000) -> str:
    values = np.random.default_rng(seed).random(rows)
    return parquet(f"{place}/{name}.parquet", {"a": values}, row_group_size=1000)


def test_as_if_each_were_computed_alone(engine, tmp_path):
    tables = [open_parquet(raw(tmp_path, str(n), n, 10_000 * n)) for n in (3, 1, 2)]
    before = engine.client_bytes
    found = engine.over_states(Finished(), [(table, FOLDS) for table in tables])
    moved = engine.client_bytes - before
    alone = [[repr(engine.fold(table, fold).result) for fold in FOLDS] for table in tables]
    assert found == alone
    states = engine.client_bytes
    for table in tables:
        engine.states(table, FOLDS)
    assert moved < (engine.client_bytes - states) / 2  # results, not states


def test_no_tables_and_no_rows(engine, tmp_path):
    empty = open_parquet(parquet(f"{tmp_path}/none.parquet", {"a": np.empty(0)}))
    assert engine.over_states(Finished(), []) == []
    assert engine.over_states(Finished(), [(empty, FOLDS)]) == Finished()(
        [fold.init() for fold in FOLDS]
    )
    with pytest.raises(UnknownColumn, match="'b'"):
        engine.over_states(Finished(), [(empty, [Count("b")])])


@pytest.mark.parametrize("files", [1, 3])
def test_what_is_kept_is_not_computed_again(tmp_path, files):
    """Of both sides, of one of them, and after an append."""
    for n in range(files):
        raw(tmp_path, f"one/{n}", n)
        raw(tmp_path, f"two/{n}", 10 + n)
    with Engine(workers=0) as engine:
        for name in ("one", "two"):
            create(f"{tmp_path}/{name}-ds", f"{tmp_path}/{name}", engine=engine)
        one, two = (open_dataset(f"{tmp_path}/{name}-ds") for name in ("one", "two"))
        first = engine.over_states(Finished(), [(one, FOLDS), (two, FOLDS)])
        mark = engine.mark()
        assert engine.over_states(Finished(), [(one, FOLDS), (two, FOLDS)]) == first
        assert mark.io.bytes_written == 0
        assert mark.io.bytes_read < one.size / 2
        append(f"{tmp_path}/two-ds", raw(tmp_path, "more", 99, 1000), engine=engine)
        grown = open_dataset(f"{tmp_path}/two-ds")
        mark = engine.mark()
        found = engine.over_states(Finished(), [(one, FOLDS), (grown, FOLDS)])
        assert mark.io.bytes_read < one.size / 2
        assert found[0] == first[0]
        assert found[1] == [repr(engine.fold(grown, fold, cache=False).result) for fold in FOLDS]
        for uri in objects(f"{tmp_path}/one-ds"):
            if "/_dsm/states/" in uri:
                open(uri, "wb").close()  # what cannot be read is computed again
        assert engine.over_states(Finished(), [(one, FOLDS), (grown, FOLDS)]) == found

"""Drift within each value of a column."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from scipy import stats as truth

from dsm_dask.dataset.version import open_data
from dsm_dask.engine import Engine
from dsm_dask.errors import SchemaError, UnknownColumn, UsageError
from dsm_dask.monitoring.slices import drift_by
from dsm_dask.stats import group_profiles

ROWS = 6000


def made(seed, moved=None, langs=("en", "de", "fr")):
    rng = np.random.default_rng(seed)
    lang = rng.choice(langs, ROWS)
    return pa.table(
        {
            "lang": pa.array(lang, mask=rng.random(ROWS) < 0.1),
            "x": rng.normal(size=ROWS) + (lang == moved),
            "calm": rng.normal(size=ROWS),
            "s": rng.choice(["a", "b"], ROWS),
        }
    )


@pytest.fixture(scope="module")
def engine():
    with Engine(workers=0) as used:
        yield used


@pytest.fixture
def opened(engine, tmp_path):
    def open_as(name, data):
        (tmp_path / name).mkdir()
        for i in range(3):
            pq.write_table(data[i * 2000 : (i + 1) * 2000], tmp_path / name / f"{i}.parquet")
        return open_data(str(tmp_path / name), engine.map)

    return open_as


@pytest.mark.parametrize("limit", [128 << 20, 1], ids=["at once", "column by column"])
def test_the_slice_that_moved_comes_first(opened, engine, monkeypatch, limit):
    monkeypatch.setattr(group_profiles, "STATE_BYTES", limit)
    one, two = made(0), made(1, moved="de")
    found = drift_by(opened("one", one), opened("two", two), "lang", engine=engine)
    assert found.drifted
    assert {part.value for part in found.slices} == {"en", "de", "fr", None}
    first = found.slices[0]
    assert first.value == "de"
    assert [name for name, cell in first.cells.items() if cell.verdict.drift] == ["x"]
    assert not any(part.drifted for part in found.slices[1:] if part.value is not None)
    for part in found.slices:
        masks = [pc.equal(t["lang"], part.value) if part.value else pc.is_null(t["lang"])
                 for t in (one, two)]  # fmt: skip
        sides = [t.filter(mask) for t, mask in zip((one, two), masks, strict=True)]
        assert part.rows == tuple(side.num_rows for side in sides)
        expected = truth.ks_2samp(*(side["calm"].to_numpy() for side in sides))
        by_ks = drift_by(opened(f"one {part.value}", one), opened(f"two {part.value}", two),
                         "lang", columns=["calm"], method="ks", engine=engine)  # fmt: skip
        (cell,) = [p.cells["calm"] for p in by_ks.slices if p.value == part.value]
        assert cell.distance.value == pytest.approx(expected.statistic, abs=1e-9)


def test_new_and_vanished_slices(opened, engine):
    one, two = made(0), made(1, langs=("en", "de", "es"))
    found = drift_by(opened("one", one), opened("two", two), "lang", engine=engine)
    assert (found.new, found.vanished) == (("es",), ("fr",))
    assert {part.value for part in found.slices if part.too_few} == {"es", "fr"}
    assert not any(part.drifted for part in found.slices)
    assert found.drifted  # a third of the rows on either side has nothing to be compared with
    shown = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert (shown["new"], shown["vanished"], shown["drifted"]) == (["es"], ["fr"], True)
    assert set(shown["slices"][0]) == {"value", "rows", "too_few", "drifted", "score", "columns"}


def test_nothing_moves_between_samples_of_the_same(opened, engine):
    for seed in range(3):
        sides = [opened(f"{seed} {i}", made(10 * seed + i)) for i in range(2)]
        assert not drift_by(*sides, "lang", engine=engine).drifted


def test_the_largest_slices_of_either_side_are_kept(opened, engine):
    rng = np.random.default_rng(2)
    users = [rng.zipf(1.6, ROWS) % 1000, 1000 - rng.zipf(1.6, ROWS) % 1000]
    sides = [opened(str(i), pa.table({"u": u, "x": rng.normal(size=ROWS)}))
             for i, u in enumerate(users)]  # fmt: skip
    found = drift_by(*sides, "u", cap=4, engine=engine)
    largest = [np.bincount(u).argsort()[-1] for u in users]
    assert {int(u) for u in largest} <= {part.value for part in found.slices}
    assert len(found.slices) == 4
    for side in range(2):
        assert sum(part.rows[side] for part in found.slices) + found.left_out_rows[side] == ROWS


def test_what_cannot_be_asked_for(opened, engine):
    one, other = opened("one", made(0)), opened("other", pa.table({"lang": [1, 2], "y": [1, 2]}))
    with pytest.raises(SchemaError, match="one type on both sides"):
        drift_by(one, other, "lang", engine=engine)
    with pytest.raises(UnknownColumn):
        drift_by(one, other, "x", engine=engine)
    with pytest.raises(UsageError):
        drift_by(one, one, "lang", cap=0, engine=engine)
    empty = drift_by(one, opened("empty", made(0)[:0]), "lang", engine=engine)
    assert (empty.drifted, empty.share_unmatched) == (True, 1.0)
    assert all(part.too_few for part in empty.slices)

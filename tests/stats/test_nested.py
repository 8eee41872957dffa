"""Statistics of what lies inside structs, lists and maps."""

import collections

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings

from dsm_dask.fold import fingerprint, run
from dsm_dask.stats.count import Count
from dsm_dask.stats.extremes import Extremes
from dsm_dask.stats.moments import Moments
from dsm_dask.stats.nested import DEPTH, INNER, PATHS, At, paths, shown
from dsm_dask.stats.profile import folds_for
from dsm_dask.stats.top_values import TopValues
from dsm_dask.testing.folds import batches, check_laws

QUICK = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
DTYPE = pa.struct(
    {
        "a": pa.int32(),
        "tags": pa.list_(pa.string()),
        "m": pa.map_(pa.string(), pa.struct({"n": pa.float64()})),
        "pair": pa.list_(pa.int8(), 2),
    }
)
WALKS = {
    ("x", ".a"): lambda rows: [row and row["a"] for row in rows],
    ("x", ".tags"): lambda rows: [row and row["tags"] for row in rows],
    ("x", ".tags", "[]"): lambda rows: [t for row in rows for t in (row and row["tags"]) or []],
    ("x", ".m", "{}.key"): lambda rows: [k for row in rows for k, _ in (row and row["m"]) or []],
    ("x", ".m", "{}.value", ".n"): lambda rows: [
        v and v["n"] for row in rows for _, v in (row and row["m"]) or []
    ],
    ("x", ".pair", "[]"): lambda rows: [p for row in rows for p in (row and row["pair"]) or []],
}


def shortened(value):
    long = isinstance(value, str) and len(value) > 200
    return value[:200] + "…" if long else value


@pytest.mark.parametrize("path", WALKS, ids="".join)
def test_values_at_a_path_are_those_of_python(path):
    dtype = paths(pa.field("x", DTYPE))[0][path]
    folds = tuple(kind(INNER) for kind in (Count, TopValues) if kind.accepts(dtype))

    @QUICK
    @given(batches({"x": DTYPE}, max_rows=12))
    def check(cut):
        rows = [row for batch in cut for row in batch.column("x").to_pylist()]
        expected = WALKS[path](rows)
        counts, *rest = run(At(path, folds), cut)
        assert counts.count == len(expected)
        assert counts.nulls == sum(value is None for value in expected)
        for top in rest:
            known = [v for v in expected if v is not None and v == v]
            real = collections.Counter(map(shortened, known))
            assert all(real[t.value] == t.count for t in top.top)
            assert len(top.top) == min(10, len(real))

    check()


@QUICK
@given(batches({"x": DTYPE}, max_rows=12))
def test_laws(cut):
    folds = (Count(INNER), Extremes(INNER), Moments(INNER))
    check_laws(At(("x", ".m", "{}.value", ".n"), folds), cut)
    check_laws(At(("x", ".a"), folds), cut)


def test_each_path_is_another_computation():
    one, other = (At(("x", step), (Count(INNER),)) for step in (".a", ".b"))
    assert len({fingerprint(one), fingerprint(other)}) == 2
    assert fingerprint(one) != fingerprint(At(("x", ".a"), (Moments(INNER),)))


def test_paths_are_capped_and_the_rest_is_counted():
    wide = pa.field("w", pa.struct({f"f{i}": pa.int8() for i in range(PATHS + 9)}))
    found, left_out = paths(wide)
    assert (len(found), left_out) == (PATHS, 9)
    deep = pa.int8()
    for _ in range(DEPTH + 3):
        deep = pa.list_(deep)
    found, left_out = paths(pa.field("d", deep))
    assert (len(found), left_out) == (DEPTH, 1)


def test_vectors_are_not_taken_apart():
    assert paths(pa.field("v", pa.list_(pa.float32(), 4))) == ({}, 0)


def test_fields_of_the_same_name_are_told():
    twice = pa.struct([pa.field("a", pa.int8()), pa.field("a", pa.string())])
    found, left_out = paths(pa.field("s", twice))
    assert (found, left_out) == ({("s", ".a"): pa.int8()}, 1)
    array = pa.StructArray.from_arrays(
        [pa.array([1], pa.int8()), pa.array(["x"])], fields=list(twice)
    )
    (counts,) = run(At(("s", ".a"), (Count(INNER),)), [pa.record_batch({"s": array})])
    assert counts.count == 1


def test_names_do_not_clash_with_columns():
    assert shown(("a", ".b"), {"a.b", '"a".b'}) == '""a"".b'
    assert all(fold.columns == ("s",) for fold in folds_for(pa.field("s", DTYPE)))

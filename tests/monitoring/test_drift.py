"""Comparison of two tables: choice of methods, verdicts, ranking, bad input."""

import dataclasses
import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.stats
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsm_dask import codec
from dsm_dask.distances.distance import Distance, between
from dsm_dask.engine import Engine
from dsm_dask.errors import StateVersion, UnknownColumn, UsageError
from dsm_dask.monitoring.comparison import compare
from dsm_dask.monitoring.drift import drift, open_side, sketch_for_drift
from dsm_dask.monitoring.methods import THRESHOLDS
from dsm_dask.monitoring.schema import DRIFT, json_schema
from dsm_dask.monitoring.verdict import judge
from dsm_dask.sources.parquet import open_parquet
from dsm_dask.testing.arrow import TYPES, arrow_arrays

RNG = np.random.default_rng(21)
N = 20_000


@pytest.fixture(scope="module")
def engine():
    with Engine(workers=0) as used:
        yield used


@pytest.fixture
def table(tmp_path, engine):
    """A table over a Parquet file of some columns."""
    made = iter(range(1000))

    def write(**columns):
        path = tmp_path / f"{next(made)}.parquet"
        data = columns if isinstance(columns, pa.Table) else pa.table(columns)
        pq.write_table(data, path, row_group_size=3000)
        return open_side(str(path), engine.map)

    return write


@pytest.fixture
def drifted(table, engine):
    def of(reference, current, **options):
        found = drift(table(**reference), table(**current), engine=engine, **options)
        shown = found.to_dict()
        DRIFT.validate_python(json.loads(json.dumps(shown, allow_nan=False)))
        assert set(shown["schema"]) == {"added", "removed", "changed"}
        scores = [column.score for column in found.columns.values()]
        assert scores == sorted(scores, reverse=True)
        assert all((c.score >= 1) == c.drift for c in found.columns.values())
        return found

    return of


def one(reference, current, drifted, **options):
    return drifted({"x": reference}, {"x": current}, **options).columns["x"]


def normal(shift=0.0, n=N):
    return RNG.normal(shift, 1, n)


def test_the_published_schema_is_the_code_s():
    from pathlib import Path

    docs = Path(__file__).parents[2] / "docs"
    assert (docs / "drift.schema.json").read_text() == json_schema()
    listed = (docs / "drift.md").read_text()
    assert all(f"`{name}`" in listed for name in THRESHOLDS)


LETTERS = np.array(list("abcdefgh"))
CHOICES = {
    "few numbers": (lambda: normal(n=200), lambda: normal(1, n=200), "ks"),
    "many numbers": (normal, lambda: normal(0.3), "wasserstein"),
    "heavy tails": (lambda: RNG.lognormal(0, 2, N), lambda: RNG.lognormal(1, 2, N), "js"),
    "few different numbers": (lambda: RNG.poisson(2, N), lambda: RNG.poisson(3, N), "js"),
    "few rows of few numbers": (
        lambda: RNG.poisson(2, 300), lambda: RNG.poisson(4, 300), "chi2",
    ),
    "few texts": (lambda: RNG.choice(LETTERS, 300), lambda: RNG.choice(LETTERS[:4], 300), "chi2"),
    "many texts": (lambda: RNG.choice(LETTERS, N), lambda: RNG.choice(LETTERS[:4], N), "js"),
    "booleans": (lambda: RNG.random(N) < 0.2, lambda: RNG.random(N) < 0.5, "js"),
    "infinities": (
        lambda: np.append(normal(), np.inf), lambda: np.append(normal(1), np.inf), "js",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CHOICES)
def test_methods_by_type_and_size(case, drifted):
    make, moved, method = CHOICES[case]
    found = one(make(), moved(), drifted)
    assert (found.method, found.drift, found.verdict.certain) == (method, True, True)
    assert found.threshold == THRESHOLDS[method]
    calm = one(make(), make(), drifted)
    assert (calm.method, calm.drift, calm.verdict.certain) == (method, False, True)


def test_embeddings(drifted):
    def vectors(shift, n=2000):
        rows = RNG.normal(shift, 1, (n, 8)).astype(np.float32)
        return pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), 8)

    found = one(vectors(0), vectors(0.6), drifted)
    assert (found.method, found.drift, found.measured.kind) == ("classifier", True, "embedding")
    assert set(found.measured.distances) == {"classifier", "mmd", "mahalanobis", "mean"}
    assert not one(vectors(0), vectors(0), drifted).drift
    assert one(vectors(0, 10), vectors(3, 10), drifted).method == "mmd"
    for method in ("mmd", "mahalanobis", "mean"):
        assert one(vectors(0), vectors(0.6), drifted, method=method).drift
        assert not one(vectors(0), vectors(0), drifted, method=method).drift


def test_ranking_and_dataset_verdict(drifted):
    before = {"a": normal(), "b": normal(), "c": RNG.choice(LETTERS, N), "d": normal()}
    after = {**before, "b": before["b"] + 0.5, "c": RNG.choice(LETTERS[:3], N), "d": normal() * 2}
    found = drifted(before, after)
    assert found.drifted
    assert found.certain
    assert list(found.columns)[-1] == "a"
    assert {n for n, c in found.columns.items() if c.drift} == {"b", "c", "d"}
    assert found.share_drifted == 0.75
    assert not drifted(before, after, share=0.8).drifted
    assert drifted(before, after, share=0.75).drifted
    arrow = found.to_arrow()
    assert arrow["column"].to_pylist() == list(found.columns)
    assert dict(arrow["distances"][0].as_py()).keys() >= {"js"}
    assert "<script>" not in drifted({"<script>": normal()}, {"<script>": normal()})._repr_html_()


def test_method_and_threshold(drifted):
    a, b = normal(), normal(0.15)
    assert one(a, b, drifted).drift
    assert not one(a, b, drifted, method="wasserstein", threshold=0.2).drift
    assert one(a, b, drifted, method="psi", threshold=0.01).method == "psi"
    assert one(a, b, drifted, method="ks").drift  # significant with so many rows
    texts = one(RNG.choice(LETTERS, N), RNG.choice(LETTERS, N), drifted, method="wasserstein")
    assert (texts.method, texts.threshold) == ("js", 0.1)
    for options in (
        {"method": "nope"}, {"threshold": 0.1}, {"method": "psi", "threshold": 0},
        {"method": "ks", "threshold": 1.5}, {"method": "psi", "threshold": math.nan}, {"share": 2},
    ):  # fmt: skip
        with pytest.raises(UsageError):
            one(a, b, drifted, **options)
    with pytest.raises(UnknownColumn, match="Did you mean 'x'"):
        one(a, b, drifted, columns=["xx"])


def test_many_columns_without_change_raise_few_alarms(drifted):
    for n, most in ((200, 3), (5000, 0)):
        before, after = ({f"c{i}": RNG.normal(0, 1, n) for i in range(60)} for _ in range(2))
        found = drifted(before, after)
        assert sum(c.drift for c in found.columns.values()) <= most
    p = [c.distance.p_value for c in found.columns.values() if c.distance.p_value is not None]
    assert p == []
    small = drifted(*({f"c{i}": RNG.normal(0, 1, 200) for i in range(40)} for _ in range(2)))
    raw = [c.distance.p_value for c in small.columns.values()]
    theirs = scipy.stats.false_discovery_control(raw)
    assert [c.verdict.adjusted_p_value for c in small.columns.values()] == pytest.approx(theirs)


def test_missing_values(drifted):
    values = normal()
    holes = pa.array(values, mask=RNG.random(N) < 0.3)
    found = one(values, holes, drifted)
    assert found.drift
    assert found.verdict.certain
    assert found.measured.distances["wasserstein"].value < 0.1
    assert found.measured.missing.value == pytest.approx(0.3, abs=0.02)
    nan = values.copy()
    nan[::5] = np.nan
    assert one(values, nan, drifted).measured.nulls == (0, pytest.approx(0.2))
    # by chance, with few rows
    assert not one([1.0] * 18 + [None] * 2, [1.0] * 17 + [None] * 3, drifted).drift


NOTHING = {
    "all null": (pa.nulls(50, pa.float64()), pa.nulls(70, pa.float64()), False),
    "null type": (pa.nulls(50), pa.nulls(50), False),
    "null type against texts": (pa.nulls(50), pa.array(["a"] * 50), True),
    "emptied": (pa.array(np.arange(500.0)), pa.nulls(500, pa.float64()), True),
    "emptied texts": (pa.array(["a", "b"] * 200), pa.nulls(400, pa.string()), True),
    "constant": (pa.array([5] * 99), pa.array([5] * 50), False),
    "other constant": (pa.array([5.0] * 99), pa.array([6.0] * 99), True),
    "one row": (pa.array([1]), pa.array([2]), False),
    "lists": (pa.array([[1], [2, 3]]), pa.array([[4], [5]]), False),
}


@pytest.mark.parametrize("case", NOTHING)
def test_little_to_compare(case, drifted):
    before, after, moved = NOTHING[case]
    assert one(before, after, drifted).drift == moved


def test_no_rows(drifted):
    none, some = pa.array([], pa.float64()), pa.array([1.0, 2.0])
    for a, b in ((none, some), (some, none), (none, none)):
        found = drifted({"x": a}, {"x": b})
        assert found.drifted == (a is not b)  # rows on just one side
        assert not found.columns["x"].drift
        assert found.columns["x"].method is None
        assert not found.columns["x"].verdict.certain


def test_columns_of_one_side_and_changed_types(drifted):
    before = {"gone": [1], "wider": pa.array([1], pa.int32()), "other": [1], "same": ["a"]}
    after = {
        "wider": [1.5], "other": ["1"], "new": [1],
        "same": pa.array(["a"]).dictionary_encode(),
    }  # fmt: skip
    found = drifted(before, after)
    assert (found.added, found.removed) == (("new",), ("gone",))
    assert {(c.column, c.compared) for c in found.changed} == {
        ("wider", True), ("other", False), ("same", True),
    }  # fmt: skip
    assert set(found.columns) == {"wider", "same"}
    assert found.columns["wider"].measured.note == "int32 compared with double"
    assert list(drifted(before, after, columns=["gone", "wider"]).columns) == ["wider"]


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_any_type_has_a_result(dtype, engine, tmp_path):
    @settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def check(data):
        sides = []
        for name in ("a", "b"):
            array = data.draw(arrow_arrays(dtype, max_size=25))
            sides.append(sketch_for_drift(_Held(name, pa.table({"x": array})), engine=engine))
        found = compare(*sides)
        shown = json.loads(json.dumps(found.to_dict(), allow_nan=False))
        DRIFT.validate_python(shown)
        alike = compare(sides[0], sides[0])
        assert not alike.drifted
        for column in alike.columns.values():
            values = {n: d.value for n, d in column.measured.distances.items() if n != "classifier"}
            assert values == dict.fromkeys(values, 0.0)

    check()


@dataclasses.dataclass(frozen=True)
class _Held:
    """A table in memory, as one partition."""

    uri: str
    data: pa.Table

    @property
    def schema(self):
        return self.data.schema

    @property
    def rows(self):
        return self.data.num_rows

    def partitions(self):
        return [self] if self.rows else []

    size, fingerprint, label = 1, "x", "held"

    def values_fingerprint(self, columns):
        return ""

    def column_sizes(self):
        return dict.fromkeys(self.schema.names, 1)

    def read(self, columns):
        yield from self.data.select(list(columns)).combine_chunks().to_batches()


def test_ten_thousand_categories(drifted):
    names = np.array([f"c{i}" for i in range(10_000)])
    same = one(np.tile(names, 3), RNG.permutation(np.tile(names, 3)), drifted, method="js")
    assert not same.drift
    assert not same.verdict.certain  # their shares could be others
    assert same.measured.note.startswith("100% in rare categories, about 0% of the current")
    # of two rows a category, a part is on one side alone by chance
    chance = one(RNG.choice(names, N), RNG.choice(names, N), drifted)
    assert (chance.method, chance.drift) == (None, False)
    assert chance.method_note == "values name rows: judged by missing values, or by --method"
    few = one(np.repeat(names[:5], 100), RNG.choice(names, N), drifted)
    assert few.drift
    assert few.verdict.certain
    assert set(few.measured.vanished) == set()


def test_keys_that_are_all_others(drifted):
    """Nothing is counted twice, and yet it is certain that all of it is new."""
    keys = [[f"{side}{i}" for i in range(N)] for side in "ab"]
    unasked = one(*keys, drifted)
    assert (unasked.method, unasked.drift) == (None, False)  # other rows have other keys
    assert unasked.measured.distances["js"].value == pytest.approx(1, abs=0.01)
    moved = one(*keys, drifted, method="js")
    assert (moved.method, moved.drift, moved.verdict.certain) == ("js", True, True)
    assert moved.distance.value == pytest.approx(1, abs=0.01)
    assert (
        moved.measured.note
        == "100% in rare categories, about 100% of the current values in new ones"
    )
    shown = moved.to_dict()["categories"]
    for side in ("new", "vanished"):
        assert 0 < shown[f"{side}_error"] < 0.02 * N
        assert abs(shown[side] - N) <= shown[f"{side}_error"]
    binary = [pa.array([key.encode().ljust(6) for key in side]) for side in keys]
    calm = one(binary[0], binary[0].cast(pa.binary(6)), drifted)
    assert calm.to_dict()["categories"] is None  # other hashes
    assert not calm.drift
    numbers = one(normal(), normal(), drifted)
    assert numbers.to_dict()["categories"] is None


def test_new_and_vanished_categories(drifted):
    found = one(list("aabbcc") * 50, list("aabbdd") * 50, drifted)
    assert (found.measured.new, found.measured.vanished) == (("d",), ("c",))
    assert found.to_dict()["chart"] == {
        "kind": "categorical",
        "values": ["a", "b", "c", "d"],
        "reference": pytest.approx([1 / 3, 1 / 3, 1 / 3, 0]),
        "current": pytest.approx([1 / 3, 1 / 3, 0, 1 / 3]),
        "other": {"reference": 0, "current": 0},
    }


def test_bins_can_be_computed_from_the_rows(drifted):
    a, b = normal(), normal(0.5)
    bins = one(a, b, drifted).to_dict()["bins"]
    for side, values in (("reference", a), ("current", b)):
        counts = np.bincount(np.searchsorted(bins["edges"], values), minlength=10)
        assert bins[side] == pytest.approx(counts / N, abs=2e-3)


def test_charts_add_up(drifted):
    moment = np.datetime64("2024-01-01", "us") + RNG.integers(0, 10**12, N)
    for values in (normal(), RNG.integers(-(2**63), 2**63 - 1, N), moment, RNG.lognormal(0, 9, N)):
        chart = one(values, values[: N // 2], drifted).to_dict()["chart"]
        assert chart["kind"] == "numeric"
        assert len(chart["edges"]) == len(chart["reference"]) + 1 == len(chart["current"]) + 1
        for side in ("reference", "current"):
            assert sum(chart[side]) == pytest.approx(1)
    assert chart["edges"] == sorted(chart["edges"])


def test_uncertain_verdicts_are_marked():
    near, far = between(0.09, 0.11, 0.12), between(0.2, 0.3, 0.4)
    tested = Distance(0.5, 0.1, p_value=0.04, p_error=0.02)
    found = judge([("js", 0.1, near), ("js", 0.1, far), ("ks", 0.05, tested), None], [None] * 4)
    assert [v.drift for v in found] == [True, True, True, False]
    assert [v.certain for v in found] == [False, True, False, False]
    sure = judge([("js", 0.1, near)], [Distance(0.5, 0.0, p_value=0.0)])
    assert (sure[0].drift, sure[0].certain) == (True, True)


def test_an_effect_by_chance_is_no_drift():
    for p_value, moved in ((0.5, False), (0.001, True)):
        (found,) = judge([("classifier", 0.55, Distance(0.7, 0.01, p_value))], [None])
        assert found.drift == moved
        assert found.certain


def test_saved_references(drifted, table, engine, tmp_path):
    before, after = table(x=normal(), v=normal()), table(x=normal(1), v=normal())
    live = drift(before, after, engine=engine)
    path = str(tmp_path / "reference")
    sketch_for_drift(before, engine=engine).save(path)
    saved = open_side(path)
    found = drift(saved, after, engine=engine)
    for name, column in live.columns.items():
        assert column.to_dict() == found.columns[name].to_dict()
    assert list(drift(saved, after, ["v"], engine=engine).columns) == ["v"]
    with pytest.raises(UsageError, match="no rows"):
        drift(saved, after, engine=engine, score="x")


def test_references_of_other_versions_are_refused(tmp_path):
    path = tmp_path / "old"
    new = codec.encode(1)
    for data in (b"dsm\x01" + new[4:], new[:-1], codec.encode({"a": 1})):
        path.write_bytes(data)
        with pytest.raises(StateVersion):
            open_side(str(path))


def test_importance_is_the_composition_effect(drifted):
    group = np.concatenate([np.repeat(["a", "b"], [15_000, 5_000])])
    other = np.concatenate([np.repeat(["a", "b"], [5_000, 15_000])])
    noise = normal(), normal(0.5)
    score = {"a": 1.0, "b": 3.0}
    found = drifted(
        {"g": group, "z": noise[0], "s": [score[g] for g in group]},
        {"g": other, "z": noise[1], "s": [score[g] for g in other]},
        score="s",
    ).importance
    assert (found.reference_mean, found.current_mean) == (1.5, 2.5)
    explained = {one.column: one for one in found.columns}
    assert list(explained) == ["g", "z"]
    assert explained["g"].change == pytest.approx(1.0)
    assert explained["g"].share == pytest.approx(1.0)
    assert abs(explained["z"].share) < 0.05


def test_importance_of_numbers_and_new_values(drifted):
    x, y = RNG.uniform(0, 1, N), RNG.uniform(0.3, 1.3, N)
    found = drifted(
        {"x": x, "s": x * 2}, {"x": pa.array(y), "s": pa.array(y * 2, mask=y > 1.2)}, score="s"
    ).importance
    (explained,) = found.columns
    edges = np.quantile(x, np.arange(1, 10) / 10, method="inverted_cdf")
    kept = y[y <= 1.2]
    p, q = (np.bincount(np.searchsorted(edges, v), minlength=10) / len(v) for v in (x, kept))
    slots = np.searchsorted(edges, x)
    means = np.bincount(slots, x * 2, 10) / np.bincount(slots, minlength=10)
    assert explained.change == pytest.approx(float((q - p) @ means), abs=5e-3)
    assert found.skipped == (0, int((y > 1.2).sum()))
    none = drifted({"x": x, "s": pa.nulls(N, pa.float64())}, {"x": y, "s": y}, score="s")
    assert none.importance is None


@pytest.mark.parametrize(
    ("current", "reason"),
    [
        ({"a": [], "b": []}, "no rows"),
        ({"z": [1, 2]}, "no column"),
        ({"a": [1, 2, 3]}, "'b' is gone"),
        ({"a": [1, 2, 3], "b": [1, 2, 3]}, "was string"),
    ],
)
def test_drift_that_no_distance_tells(tmp_path, current, reason):
    tables = {"one": {"a": [1, 2, 3], "b": ["x", "y", "z"]}, "other": current}
    for name, columns in tables.items():
        made = {k: pa.array(v, None if v else SCHEMA[k]) for k, v in columns.items()}
        pq.write_table(pa.table(made), tmp_path / f"{name}.parquet")
    with Engine(workers=0) as engine:
        sides = [open_parquet(str(tmp_path / f"{name}.parquet")) for name in tables]
        found = drift(*sides, engine=engine)
    assert found.drifted
    assert found.certain
    assert any(reason in one for one in found.reasons)


SCHEMA = {"a": pa.int64(), "b": pa.string()}

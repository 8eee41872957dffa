"""Exact duplicates with more than the first row to tell of: other tables, other survivors, columns,
clusters that are shown. The truth is grouping in plain Python."""

import json
import unicodedata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dsm_trials import dsm as run
from dsm_trials import objects, parquet
from exact_rows import cut, decisions, sample, survivors
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dsm_dask as dsm
from dsm_dask.dataset.drop import drop
from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import create
from dsm_dask.duplicates import keys
from dsm_dask.duplicates.exact import dedup_exact
from dsm_dask.duplicates.normalise import Normalise
from dsm_dask.duplicates.rule import Rule
from dsm_dask.errors import SchemaError, UnknownColumn, UsageError
from dsm_dask.jobs.run import run_job
from dsm_dask.jobs.spec import parse_job
from dsm_dask.sources.parquet import open_parquet

VALUES = st.lists(st.integers(0, 30), min_size=1, max_size=40)


def listed(folder) -> dict[int, tuple[int, str, str | None]]:
    """Row id: the kept row, the role, the table of the kept row."""
    table = pq.read_table(str(folder))
    rows = (table[name].to_pylist() for name in ("row_id", "cluster", "role", "against"))
    return {row: (kept, role, other) for row, kept, role, other in zip(*rows, strict=True)}


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=VALUES, others=st.lists(VALUES, min_size=1, max_size=3), files=st.integers(1, 4))
def test_rows_that_another_table_has_are_duplicates(
    tmp_path_factory, engine, data, others, files
):  # fmt: skip
    folder = tmp_path_factory.mktemp("any")
    raw = [
        cut(folder / f"raw{i}", pa.table({"x": values}), min(files, len(values)), group=5)
        for i, values in enumerate([data, *others])
    ]
    found = dedup_exact(
        open_parquet(raw[0]), "x", engine=engine, out=str(folder / "out"),
        against=[open_parquet(one) for one in raw[1:]],
    )  # fmt: skip
    want, kept = {}, {}
    for row, value in enumerate(data):
        where = next((i for i, other in enumerate(others) if value in other), None)
        if where is not None:
            want[row] = others[where].index(value), "duplicate", raw[where + 1]
        elif data.count(value) > 1:
            first = data.index(value)
            want[row] = first, "kept" if first == row else "duplicate", None
            kept[first] = row
    assert listed(folder / "out") == want
    assert found.duplicates == len(want) - len(kept)
    assert found.clusters == len({data[row] for row in want})
    assert [(one.clusters, one.rows, one.other_rows) for one in found.against] == [
        (
            len(set(data) & set(other)),
            sum(value in other for value in data),
            sum(value in data for value in other),
        )
        for other in others
    ]
    assert sum(count for _, _, count in found.sizes) == found.clusters


@pytest.mark.parametrize("on", [["n"], ["s"], ["key", "b"], ["items", "kind"]], ids="-".join)
def test_both_ways_find_the_same(tmp_path, engine, on):
    """The fast one, and the one that all methods end with."""
    data = open_parquet(cut(tmp_path / "raw", sample(900, seed=3), 4, group=50))
    fast = dedup_exact(data, on, engine=engine, out=str(tmp_path / "fast"))
    slow = dedup_exact(data, on, engine=engine, out=str(tmp_path / "slow"), cut=100)
    assert (fast.rows, fast.clusters, fast.duplicates) == (
        slow.rows,
        slow.clusters,
        slow.duplicates,
    )
    assert fast.sizes == slow.sizes
    tops = [
        [(one.size, one.survivor, one.values) for one in found.largest] for found in (fast, slow)
    ]
    assert tops[0] == tops[1]
    lost = {row: kept for row, (kept, role, _) in listed(tmp_path / "slow").items()
            if role == "duplicate"}  # fmt: skip
    assert decisions(tmp_path / "fast") == lost


@pytest.mark.cluster
def test_however_cut_and_whoever_works(tmp_path, engine, cluster, small_partitions):
    table = sample(3000, seed=5)
    other = open_parquet(cut(tmp_path / "other", sample(500, seed=6), 2))
    seen = set()
    for files, used in ((1, engine), (7, engine), (7, cluster)):
        name = f"{files}-{used is cluster}"
        raw, ds = cut(tmp_path / f"raw{name}", table, files, group=3000), str(tmp_path / name)
        create(ds, raw, engine=used)
        dedup_exact(
            open_dataset(ds), ["key", "b"], engine=used, drop=True, rule=Rule(prefer="n"),
            against=[other],
        )  # fmt: skip
        seen.add(tuple(survivors(open_dataset(ds))))
    (left,) = seen
    assert 500 < len(left) < 3000


def test_the_keys_of_another_dataset_are_used(tmp_path, engine, monkeypatch):
    """Also after a drop there; what is new is kept beside that one, unless it is a dry run."""
    data, test = (str(tmp_path / name) for name in ("data", "test"))
    create(data, parquet(tmp_path / "1.parquet", {"x": [1, 2, 3, 4]}), engine=engine)
    create(test, parquet(tmp_path / "2.parquet", {"x": [4, 3, 9]}), engine=engine)
    before = objects(test)
    tables = open_dataset(data), [open_dataset(test)]
    dedup_exact(tables[0], "x", engine=engine, against=tables[1], dry_run=True)
    assert objects(test) == before
    assert dedup_exact(tables[0], "x", engine=engine, against=tables[1]).duplicates == 2
    assert [uri for uri in set(objects(test)) - set(before) if "/_dsm/keys/" in uri]
    drop(test, "x = 4", engine=engine)
    monkeypatch.setattr(keys, "hash_lanes", None)  # whatever is hashed now fails
    found = dedup_exact(
        tables[0], "x", engine=engine, against=[open_dataset(test)], dry_run=True
    )  # fmt: skip
    assert found.duplicates == 1


def test_two_versions_of_one_dataset(tmp_path, engine):
    """What was dropped is found by holding a version against the one before."""
    ds = str(tmp_path / "ds")
    create(ds, parquet(tmp_path / "1.parquet", {"x": [1, 2, 3, 4, 5]}), engine=engine)
    drop(ds, "x > 3", engine=engine)
    now, before = open_dataset(ds), open_dataset(f"{ds}@1")
    for data, other, rows in ((before, now, 3), (now, before, 3)):
        found = dedup_exact(data, "x", engine=engine, against=[other])
        assert (found.duplicates, found.against[0].rows) == (rows, rows)


def test_decontamination(tmp_path, engine):
    """All rows of a benchmark go, copies among them too; of other copies one stays."""
    ds = str(tmp_path / "ds")
    texts = ["q1", "a", "q2", "a", "q1", None]
    create(ds, parquet(tmp_path / "1.parquet", {"text": texts}), engine=engine)
    other = parquet(tmp_path / "2.parquet", {"text": ["q2", "q1", "q1"]})
    found = dedup_exact(
        open_dataset(ds), "text", engine=engine, against=[open_parquet(other)], drop=True
    )  # fmt: skip
    assert open_dataset(ds).to_table(["text"])["text"].to_pylist() == ["a", None]
    assert (found.version, found.committed, found.duplicates) == (2, True, 4)
    again = dedup_exact(
        open_dataset(f"{ds}@1"), "text", engine=engine, against=[open_parquet(other)], drop=True
    )  # fmt: skip
    assert (again.version, again.committed, again.duplicates) == (2, False, 4)


def normal(text: str | None) -> str | None:
    """Lower case, runs of white space as one space, by Python."""
    return None if text is None else " ".join(unicodedata.normalize("NFKC", text).lower().split())


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(st.none() | st.text("aA bﬁ１é \t", max_size=4), min_size=1, max_size=30),
    encoded=st.booleans(),
)
def test_normalised_texts(tmp_path_factory, engine, texts, encoded):
    """Off unless asked for; then texts that differ in nothing else are equal, the first stays, or
    the longest as it is written."""
    folder = tmp_path_factory.mktemp("any")
    column = pa.array(texts, pa.string())
    raw = parquet(folder / "1.parquet", {"t": column.dictionary_encode() if encoded else column})
    assert dedup_exact(open_parquet(raw), "t", engine=engine).kept == len(set(texts))
    steps = Normalise.parse(["unicode,case,whitespace"])
    for name, rule in (("first", Rule()), ("longest", Rule("longest"))):
        out = folder / name
        dedup_exact(open_parquet(raw), "t", engine=engine, normalise=steps, rule=rule, out=str(out))
        groups: dict[str | None, list[int]] = {}
        for row, text in enumerate(texts):
            groups.setdefault(normal(text), []).append(row)
        want = {}
        for rows in groups.values():
            best = min(rows, key=lambda r: -len(texts[r] or "") if name == "longest" else r)
            want |= {row: best for row in rows if row != best}
        told = listed(out)
        assert {row: kept for row, (kept, role, _) in told.items() if role == "duplicate"} == want


def test_the_best_row_stays(tmp_path, engine):
    ds = str(tmp_path / "ds")
    rows = {"x": ["a", "b", "a", "a", "b"], "score": [1.0, None, 3.0, 3.0, float("nan")]}
    create(ds, parquet(tmp_path / "1.parquet", rows), engine=engine)
    found = dedup_exact(open_dataset(ds), "x", engine=engine, rule=Rule(prefer="score"), drop=True)
    assert survivors(open_dataset(ds)) == [1, 2]
    assert found.parameters == {"prefer": "score"}


def test_columns_next_to_the_data(tmp_path, engine):
    ds = str(tmp_path / "ds")
    create(ds, parquet(tmp_path / "1.parquet", {"x": ["a", "b", "a", "q"]}), engine=engine)
    other = open_parquet(parquet(tmp_path / "2.parquet", {"x": ["q"]}))
    made = dedup_exact(open_dataset(ds), "x", engine=engine, columns=True, against=[other])
    assert (made.version, made.columns[0]) == (2, "duplicate_of")
    assert [tuple(row.values()) for row in open_dataset(ds).to_table().to_pylist()] == [
        ("a", 0, "kept", 1.0),
        ("b", None, None, None),
        ("a", 0, "duplicate", 1.0),
        ("q", None, "duplicate", 1.0),
    ]


@pytest.fixture
def splits(tmp_path, engine) -> tuple[str, str]:
    train, test = str(tmp_path / "train"), str(tmp_path / "test")
    texts = ["The cat", "the  cat", "a dog", "a dog", "a dog", "one <b>bird</b>"]
    create(train, parquet(tmp_path / "1.parquet", {"text": texts}), engine=engine)
    create(test, parquet(tmp_path / "2.parquet", {"text": ["a dog", "no one"]}), engine=engine)
    return train, test


def test_from_the_command_line(splits, tmp_path):
    train, test = splits
    page = tmp_path / "page.html"
    said = run("dedup", train, "--on", "text", "--against", test, "--html", page)
    assert f"{test}@1: 3 rows with a duplicate there (1 row of it, 1 cluster)" in said.out
    assert "a dog" in page.read_text()
    found = run("dedup", train, "--on", "text", "--against", test, "--json").json
    assert (found["duplicates"], found["sizes"]) == (3, [[4, 4, 1]])
    shown = run("dedup", train, "--on", "text", "--normalise", "case,whitespace", "--show", 5).out
    assert "{+the" in shown
    assert "[-The" in shown
    run("dedup", train, "--on", "text", "--normalise", "case,whitespace", "--html", page)
    assert "<ins>" in page.read_text()
    assert "once their texts are normalised" in page.read_text()
    assert run("dedup", train, "--on", "text", "--threshold", "0.5").code == 2


def test_the_page_of_the_fast_way_has_sizes(tmp_path, engine):
    raw = parquet(tmp_path / "1.parquet", {"x": [1, 1, 1, 2, 2, 3]})
    found = dedup_exact(open_parquet(raw), "x", engine=engine)
    assert found.sizes == ((2, 2, 1), (3, 3, 1))
    found.save_html(str(tmp_path / "page.html"))
    assert "Clusters by size" in (tmp_path / "page.html").read_text()


def test_from_python_and_in_a_job(splits, engine):
    train, test = splits
    found = dsm.dedup(train, "text", against=test, show=3, engine=engine)
    assert found.against[0].rows == 3
    assert [member.values["text"] for member in found.largest[0].members] == ["a dog"] * 3
    steps = f"[{{dedup: {{on: text, against: {test}, normalise: case, drop: true}}}}]"
    run_job(parse_job(f"{{name: clean, dataset: {train}, steps: {steps}}}"), engine=engine)
    assert open_dataset(train).rows == 3


def test_what_cannot_be(tmp_path, engine):
    rows = {"t": ["a", "b"], "n": [1, 2], "both": ["1", "2"]}
    data = open_parquet(parquet(tmp_path / "1.parquet", rows))
    other = parquet(tmp_path / "2.parquet", {"t": ["a"], "n": [1.0], "both": [1]})
    tables = {"engine": engine, "against": [open_parquet(other)]}
    assert dedup_exact(data, "t", **tables).duplicates == 1
    for name in ("n", "both"):
        with pytest.raises(SchemaError, match="no value of one equals one of the other"):
            dedup_exact(data, name, **tables)
    missing = open_parquet(parquet(tmp_path / "3.parquet", {"x": [1]}))
    with pytest.raises(UnknownColumn, match="'t'"):
        dedup_exact(data, "t", engine=engine, against=[missing])
    steps = Normalise.parse(["case"])
    with pytest.raises(SchemaError, match="no text to normalise"):
        dedup_exact(data, "n", engine=engine, normalise=steps)
    with pytest.raises(UsageError, match="several columns"):
        dedup_exact(data, ["t", "both"], engine=engine, rule=Rule("longest"))
    with pytest.raises(SchemaError, match="no longest of it"):
        dedup_exact(data, "n", engine=engine, rule=Rule("longest"))
    with pytest.raises(SchemaError, match="no best of it"):
        dedup_exact(data, "n", engine=engine, rule=Rule(prefer="t"))


def test_one_value_in_every_row_of_both(tmp_path, engine):
    raw = [
        cut(tmp_path / f"raw{n}", pa.table({"x": np.zeros(count, int)}), 3, group=200)
        for n, count in enumerate((3000, 500))
    ]
    found = dedup_exact(open_parquet(raw[0]), "x", engine=engine, against=[open_parquet(raw[1])])
    assert (found.clusters, found.duplicates, found.against[0].other_rows) == (1, 3000, 500)


def test_a_run_leaves_nothing_behind(tmp_path, engine, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    raw = open_parquet(parquet(tmp_path / "1.parquet", {"x": [1, 1]}))
    dedup_exact(raw, "x", engine=engine, against=[raw])
    assert not list(Path(tmp_path / "temporary").iterdir())
    assert not json.dumps(dedup_exact(raw, "x", engine=engine).to_dict()).count("dsm-")

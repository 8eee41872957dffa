"""The review queue: order against NumPy, reasons, files, and corrections that come back."""

import csv
import io
import json
from typing import get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import dsm_dask
from dsm_dask.cli import dsm
from dsm_dask.dataset.update import update
from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import create
from dsm_dask.engine import Engine
from dsm_dask.errors import InvalidExpression, UnknownColumn, UsageError
from dsm_dask.fold import run
from dsm_dask.scores.review import thumbnails
from dsm_dask.scores.review.measures import MEASURES, Measure, ScoreColumns, score_columns
from dsm_dask.scores.review.queue_export import FORMATS, form
from dsm_dask.scores.review.reasons import reasons
from dsm_dask.scores.review.review_queue import issues
from dsm_dask.scores.review.tails import Distribution, distributions
from dsm_dask.scores.review.top_rows import TopRows
from dsm_dask.sources.parquet import open_parquet
from dsm_dask.table import ROW_ID
from dsm_dask.testing.folds import check_bounded, check_laws

QUALITY = Measure("label_quality", "label_quality", False)
OUTLIER = Measure("outlier", "outlier_score", True)


@pytest.fixture
def engine():
    with Engine(workers=0) as made:
        yield made


def table_of(rows: int, seed: int = 1) -> pa.Table:
    """A table with columns of scores, some null, some tied."""
    random = np.random.default_rng(seed)
    labels = random.choice(["cat", "dog", "emu"], rows, p=[0.8, 0.15, 0.05])
    predicted = np.where(random.random(rows) < 0.8, labels, "cat")
    return pa.table(
        {
            "id": [f"r{row}" for row in range(rows)],
            "text": [f"text of row {row}\n<b>" + "x " * 40 for row in range(rows)],
            "y": pa.array(labels, mask=random.random(rows) < 0.05),
            "label_quality": pa.array(
                random.random(rows).astype(np.float32), mask=random.random(rows) < 0.1
            ),
            "neighbour_agreement": random.integers(0, 6, rows).astype(np.float32) / 5,
            "neighbour_label": predicted,
            "outlier_score": random.random(rows).astype(np.float32),
            "predicted_label": predicted,
            "predicted_probability": random.uniform(0.4, 1, rows).astype(np.float32),
        }
    )


def write(folder, table: pa.Table, count: int = 1) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    edges = np.linspace(0, table.num_rows, count + 1).astype(int)
    for number in range(count):
        piece = table.slice(edges[number], edges[number + 1] - edges[number])
        pq.write_table(piece, folder / f"{number:03}.parquet", row_group_size=100)
    return str(folder)


@pytest.fixture
def data(tmp_path):
    return open_parquet(write(tmp_path / "raw", table_of(600), 3))


@pytest.fixture
def dataset(tmp_path, engine):
    made = create(str(tmp_path / "ds"), [write(tmp_path / "raw", table_of(300), 2)], engine=engine)
    return made.dataset


# ---------------------------------------------------------------------------------------------
# The order


@st.composite
def cuts(draw):
    """Batches with row ids of their own, many ties, nulls, groups."""
    sizes = draw(st.lists(st.integers(0, 12), min_size=1, max_size=4))
    number = st.one_of(st.none(), st.sampled_from([0.0, 0.25, 0.5, 1.0, float("nan")]))
    batches, start = [], 0
    for size in sizes:
        columns = [draw(st.lists(number, min_size=size, max_size=size)) for _ in range(2)]
        groups = draw(st.lists(st.sampled_from(["a", "b", None]), min_size=size, max_size=size))
        ids = pa.array(range(start, start + size), pa.uint64())
        batches.append(
            pa.record_batch(
                {
                    "label_quality": pa.array(columns[0], pa.float32()),
                    "outlier_score": pa.array(columns[1], pa.float32()),
                    "group": pa.array(groups, pa.string()),
                    ROW_ID: ids,
                }
            )
        )
        start += size
    return batches


FOLDS = st.sampled_from(
    [
        TopRows((QUALITY,), 5),
        TopRows((QUALITY,), 7, "group"),
        TopRows((OUTLIER,), 4, "group", "outlier_score > 0.2"),
        TopRows(
            (QUALITY, OUTLIER),
            6,
            "group",
            distributions=(
                Distribution(np.array([0.0, 0.5]), np.array([0.0, 3]), np.array([3.0, 9]), 9),
                Distribution(np.array([0.2, 1.0]), np.array([0.0, 5]), np.array([5.0, 8]), 8),
            ),
        ),
    ]
)


@given(FOLDS, cuts())
def test_laws(fold, cut):
    check_laws(fold, cut)


def test_the_state_is_bounded():
    check_bounded(
        TopRows((QUALITY,), 500, "group"),
        {"label_quality": pa.float32(), "group": pa.int64(), ROW_ID: pa.uint64()},
        limit=500 * 24 + 1000,
    )


def by_turns(ranked, groups, top):
    """Round robin, written plainly: ``ranked`` maps rows to what they are ranked by."""
    queues = {}
    for row in sorted(ranked, key=lambda row: (-ranked[row], row)):
        queues.setdefault(groups[row], []).append(row)
    order = []
    while any(queues.values()):
        turn = [queue.pop(0) for queue in queues.values() if queue]
        order += sorted(turn, key=lambda row: (-ranked[row], row))
    return order[:top]


@given(cuts(), st.integers(1, 12))
def test_turns_are_those_of_round_robin(cut, top):
    rows = pa.Table.from_batches(cut).to_pylist()
    ranked = {
        row[ROW_ID]: -row["label_quality"]
        for row in rows
        if row["label_quality"] is not None and row["label_quality"] == row["label_quality"]
    }
    groups = {row[ROW_ID]: row["group"] for row in rows}
    found = run(TopRows((QUALITY,), top, "group"), cut)
    assert found.rows.tolist() == by_turns(ranked, groups, top)
    assert found.seen == len(ranked)


@pytest.mark.parametrize("rows", [50, 4000, 60_000])
@pytest.mark.parametrize("kind", ["continuous", "tied", "skewed"])
def test_tails_are_the_shares_of_rows(tmp_path, engine, rows, kind):
    """Exact to 4,096 values; else to what is known of ranks, and still in order at the ends."""
    random = np.random.default_rng(rows)
    values = {
        "continuous": lambda: random.random(rows),
        "tied": lambda: random.integers(0, 11, rows) / 10,
        "skewed": lambda: np.where(random.random(rows) < 0.6, 1.0, random.random(rows) ** 8),
    }[kind]().astype(np.float32)
    folder = write(tmp_path / "raw", pa.table({"outlier_score": values}), 3)
    found = distributions(open_parquet(folder), (OUTLIER,), engine)["outlier_score"]
    numbers = values.astype(np.float64)
    ordered = np.sort(numbers)
    for more in (True, False):
        told = found.tail(numbers, more)
        less, upto = (np.searchsorted(ordered, numbers, side) for side in ("left", "right"))
        truth = (rows - less if more else upto) / rows
        assert np.abs(told - truth).max() <= (1e-12 if rows <= 4096 else 0.002)
        order = np.argsort(numbers, kind="stable")
        assert (np.diff(told[order]) * (-1 if more else 1) >= -1e-12).all()
        ends = order[-20:] if more else order[:20]
        assert len(np.unique(told[ends])) == len(np.unique(numbers[ends]))
    assert np.isnan(found.tail(np.array([np.nan]), True)).all()


def test_by_one_measure_is_its_order(data, engine):
    quality = data_column(data, "label_quality")
    found = issues(data, engine=engine, top=40, by="label_quality", label="y")
    known = np.flatnonzero(~np.isnan(quality))
    expected = known[np.argsort(quality[known], kind="stable")][:40]
    assert [one.row for one in found.queued] == expected.tolist()
    assert found.ranked == len(known)
    ids = [one.key for one in found.queued]
    assert ids == [f"r{row}" for row in expected]


def data_column(data, name):
    found = pa.concat_tables(
        [pa.Table.from_batches([b]) for p in data.partitions() for b in p.read([name])]
    )
    return found.column(0).to_numpy()


def tails(values, more):
    known = values[~np.isnan(values)]
    share = [np.mean(known >= one) if more else np.mean(known <= one) for one in values]
    return np.where(np.isnan(values), np.nan, share)


@pytest.mark.parametrize(("by", "measures"), [(None, 2), ("combined", 3)])
def test_several_measures_are_combined_by_the_harmonic_mean(data, engine, by, measures):
    """By default those of labels."""
    columns = [("label_quality", False), ("neighbour_agreement", False), ("outlier_score", True)]
    shares = [tails(data_column(data, name).astype(float), more) for name, more in columns]
    ranked = np.mean([np.where(np.isnan(one), 1, 1 / one) for one in shares[:measures]], axis=0)
    found = issues(data, engine=engine, top=600, by=by, label="y")
    assert found.by == (by or "labels")
    told = np.array([one.ranked for one in found.queued])
    np.testing.assert_allclose(told, ranked[[one.row for one in found.queued]])
    assert (np.diff(told) <= 0).all()


def test_where_and_balance(data, engine):
    quality = data_column(data, "label_quality")
    labels = data_column(data, "y")
    found = issues(
        data, engine=engine, top=50, by="label_quality", label="y", balance="class",
        where="outlier_score > 0.5 AND y <> 'emu'",
    )  # fmt: skip
    outlier = data_column(data, "outlier_score")
    chosen = {
        row: -quality[row]
        for row in range(600)
        if outlier[row] > 0.5 and labels[row] in ("cat", "dog") and quality[row] == quality[row]
    }
    assert [one.row for one in found.queued] == by_turns(chosen, labels, 50)
    assert found.balance == "y"
    classes = [one.label for one in found.queued]
    assert classes[:10].count("dog") == 5


def test_the_order_does_not_depend_on_the_cut(tmp_path, engine, data, monkeypatch):
    options = {"engine": engine, "top": 200, "by": "combined", "label": "y", "balance": "y"}
    one = issues(data, **options)
    monkeypatch.setattr("dsm_dask.sources.parquet.PARTITION_BYTES", (1, 1))
    table = open_parquet(write(tmp_path / "other", table_of(600), 5))
    assert len(table.partitions()) > 5
    many = issues(table, **options)
    assert [x.to_dict() for x in one.queued] == [x.to_dict() for x in many.queued]


def test_only_the_rows_at_the_top_are_fetched(tmp_path, engine):
    """Their values reach the client; nothing of others does."""
    table = table_of(600).append_column("payload", pa.array(["p" * 10_000] * 600))
    data = open_parquet(write(tmp_path / "raw", table))
    before = engine.client_bytes
    found = issues(data, engine=engine, top=5, label="y", show=["payload"])
    assert len(found.queued[0].shown["payload"].text) == 10_000
    assert engine.client_bytes - before < 5 * 10_000 + 100_000


# ---------------------------------------------------------------------------------------------
# Which columns


def test_score_columns_are_found_by_name_and_prefix():
    floats = ["m_outlier_score", "m_uncertainty_margin", "m_uncertainty_entropy", "outlier_score"]
    schema = pa.schema([*(pa.field(name, pa.float32()) for name in floats), ("y", pa.string())])
    found = score_columns(schema, {}, prefix="m_")
    assert [(one.name, one.column) for one in found.measures] == [
        ("uncertainty", "m_uncertainty_entropy"), ("outlier", "m_outlier_score")
    ]  # fmt: skip
    assert found.by(None)[0] == "combined"
    # a column of that name that holds no scores does not count
    assert not score_columns(pa.schema([("label_quality", pa.string())]), {}).measures


def test_what_cannot_be(data, engine, tmp_path):
    for options, error, words in (
        ({"by": "disagreement"}, UsageError, "Rows can be ranked by label_quality"),
        ({"label": "nowhere"}, UnknownColumn, "nowhere"),
        ({"key": "nowhere"}, UnknownColumn, "nowhere"),
        ({"show": ["nowhere"]}, UnknownColumn, "nowhere"),
        ({"balance": "nowhere"}, UnknownColumn, "nowhere"),
        ({"where": "nowhere = 1"}, UnknownColumn, "nowhere"),
        ({"where": "y <"}, InvalidExpression, "not a condition"),
        ({"top": 0}, UsageError, "0 rows"),
    ):
        with pytest.raises(error, match=words):
            issues(data, engine=engine, **options)
    plain = open_parquet(write(tmp_path / "plain", pa.table({"x": [1]})))
    with pytest.raises(UsageError, match="dsm score"):
        issues(plain, engine=engine)


def test_no_row_has_a_score(tmp_path, engine):
    none = pa.table({"label_quality": pa.nulls(4, pa.float32()), "y": list("abcd")})
    found = issues(open_parquet(write(tmp_path / "raw", none)), engine=engine, label="y")
    assert (found.queued, found.ranked, found.rows) == ((), 0, 4)
    assert form(found).num_rows == 0


# ---------------------------------------------------------------------------------------------
# Reasons

ALL = ScoreColumns(
    (
        QUALITY, Measure("disagreement", "annotator_disagreement", True), OUTLIER,
        Measure("uncertainty", "uncertainty_entropy", True),
        Measure("neighbours", "neighbour_agreement", False),
    ),
    (), label="y", neighbours=5,
)  # fmt: skip


@pytest.mark.parametrize(
    ("values", "tails", "told"),
    [
        (
            {"y": "cat", "predicted_label": "dog", "predicted_probability": 0.97,
             "neighbour_label": "dog", "neighbour_agreement": 0.2},
            {},
            ("label `cat`, model says `dog` 0.97", "1 of 5 neighbours are `cat`, most `dog`"),
        ),
        (
            {"y": 3, "predicted_label": "3", "annotator_disagreement": 0.4},
            {"disagreement": 0.01},
            ("annotators disagree 0.4",),
        ),
        (
            {"y": None, "predicted_label": "dog", "predicted_probability": 0.51},
            {},
            ("no label, model says `dog` 0.51",),
        ),
        (
            {"y": "a", "label_quality": 0.02, "label_issue": True, "predicted_label": "a"},
            {"label_quality": 0.001},
            ("label `a` has a quality of 0.02; flagged as a label issue",),
        ),
        (
            {"y": "a", "consensus_label": "b", "consensus_confidence": 0.8},
            {"outlier": 0.5},
            ("annotators' consensus is `b` 0.80",),
        ),
        (
            {"y": "a", "outlier_score": 0.9, "uncertainty_entropy": 0.99, "neighbour_margin": 0.05,
             "cluster_entropy": 0.8, "class_share": 0.002},
            {"outlier": 0.008, "uncertainty": 0.02},
            ("model is unsure: entropy 0.99", "outlier: farther than 99.2 % of rows",
             "on the boundary of two classes: margin 0.05",
             "in a cluster of mixed labels: entropy 0.80", "`a` is rare: 0.2 % of labels"),
        ),
        (
            {"y": "a", "predicted_label": "a", "label_quality": 0.4, "outlier_score": 0.1},
            {"label_quality": 0.3, "outlier": 0.9},
            ("label quality 0.40: 30 % of rows are as suspicious",),
        ),
        (
            {"y": "a`b", "neighbour_label": "c", "neighbour_agreement": 1 / 3},
            {},
            ("33 % neighbours are `a‘b`, most `c`",),
        ),
    ],
)  # fmt: skip
def test_reasons(values, tails, told):
    assert reasons(values, tails, ALL, "label_quality") == told


# ---------------------------------------------------------------------------------------------
# Files


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_corrections_come_back(dataset, engine, tmp_path, suffix):
    """What comes out is filled in, here and there, and goes straight back in."""
    found = issues(open_dataset(dataset), engine=engine, top=20, label="y")
    path = tmp_path / f"queue.{suffix}"
    assert found.save(str(path)) == path.stat().st_size
    fixes = {found.queued[0].key: "owl", found.queued[7].key: "cat, or dog"}
    fill_in(path, "id", fixes)
    made = update(dataset, str(path), "id", engine=engine)
    assert made.updated == 2
    assert made.changes == {"y": {"ann": 2}}
    before = dict(zip(*(table_of(300).column(n).to_pylist() for n in ("id", "y")), strict=True))
    after = open_dataset(dataset).to_table(["id", "y"]).to_pydict()
    assert dict(zip(after["id"], after["y"], strict=True)) == {**before, **fixes}


def fill_in(path, key, fixes):
    """As a person would, in a spreadsheet or so."""
    if path.suffix == ".csv":
        rows = list(csv.DictReader(io.StringIO(path.read_text())))
    elif path.suffix == ".jsonl":
        rows = [json.loads(line) for line in path.read_text().splitlines()]
    else:
        rows = pq.read_table(path).to_pylist()
    names = list(rows[0])
    assert names[:3] == [key, "y", "annotator"]
    assert all(name.startswith("#") for name in names[3:])
    assert not any(row["y"] for row in rows)
    for row in rows:
        if row[key] in fixes:
            row["y"], row["annotator"] = fixes[row[key]], "ann"
    if path.suffix == ".csv":
        sink = io.StringIO()
        writer = csv.DictWriter(sink, names)
        writer.writeheader()
        writer.writerows(rows)
        path.write_text(sink.getvalue())
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)


def test_corrections_come_back_by_row_id(tmp_path, engine):
    """Without a key column, and with labels that are numbers."""
    table = table_of(60).drop_columns(["id", "y"]).append_column("y", pa.array([1, 2, 3] * 20))
    made = create(str(tmp_path / "ds"), [write(tmp_path / "raw", table)], engine=engine)
    found = issues(open_dataset(made.dataset), engine=engine, top=5, label="y")
    path = tmp_path / "queue.csv"
    found.save(str(path))
    lines = path.read_text().splitlines()
    assert lines[0].startswith("_rowid,y,annotator,#y,#suggested,#why")
    first = found.queued[0].row
    path.write_text(
        "\n".join([lines[0], lines[1].replace(f"{first},,,", f"{first},9,,"), *lines[2:]])
    )
    assert update(made.dataset, str(path), ROW_ID, engine=engine, who="bob").updated == 1
    assert open_dataset(made.dataset).to_table(["y"])["y"][first].as_py() == 9


def test_an_untouched_form_changes_nothing(dataset, engine, tmp_path):
    issues(open_dataset(dataset), engine=engine, top=9, label="y").save(str(tmp_path / "q.csv"))
    made = update(dataset, str(tmp_path / "q.csv"), "id", engine=engine)
    assert (made.updated, made.committed) == (0, False)


def test_tasks_of_annotation_tools(data, engine, tmp_path):
    found = issues(data, engine=engine, top=30, label="y", show=["text"])
    found.save(str(tmp_path / "tasks.json"), "labelstudio")
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    for task, row in zip(tasks, found.queued, strict=True):
        assert task["data"]["id"] == row.key
        assert task["data"]["text"] == row.shown["text"].text
        choices = [one["result"][0]["value"]["choices"] for one in task["predictions"]]
        assert choices == ([] if row.suggested is None else [[row.suggested]])
        for one in task["predictions"]:
            assert one["score"] == row.scores["predicted_probability"]
            assert (one["result"][0]["from_name"], one["result"][0]["to_name"]) == ("y", "text")
    found.save(str(tmp_path / "a.jsonl"), "argilla")
    records = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [one["id"] for one in records] == [row.key for row in found.queued]
    assert all(set(one["fields"]) == {"text"} for one in records)
    suggested = [one["suggestions"].get("y", {}).get("value") for one in records]
    assert suggested == [row.suggested for row in found.queued]
    found.save(str(tmp_path / "d.jsonl"), "doccano")
    docs = [json.loads(line) for line in (tmp_path / "d.jsonl").read_text().splitlines()]
    assert [one["label"] for one in docs] == [
        [x] if (x := row.suggested or row.label) else [] for row in found.queued
    ]
    for name, kind, words in (
        ("q.xlsx", None, "no file that a queue"),
        ("q.csv", "x", "no format"),
    ):
        with pytest.raises(UsageError, match=words):
            found.save(str(tmp_path / name), kind)


def test_images_are_shown_small(tmp_path, engine):
    from PIL import Image

    random = np.random.default_rng(1)
    sink = io.BytesIO()
    noise = random.integers(0, 255, (400, 300, 3), np.uint8)
    Image.fromarray(noise).save(sink, "PNG")
    small = io.BytesIO()
    Image.fromarray(noise[:8, :8]).save(small, "PNG")
    cases = [sink.getvalue(), small.getvalue(), b"\x89PNG\r\n\x1a\n" + b"x" * 99_999, b"\xffno"]
    made = [thumbnails.as_image(case) for case in cases]
    assert made[0].uri.startswith("data:image/jpeg")
    assert len(made[0].uri) < thumbnails.SIZE
    assert made[1].uri.startswith("data:image/png")
    assert (made[2].uri, made[2].size) == ("", 100_007)
    assert made[3] is None
    table = pa.table({"outlier_score": [0.1, 0.2, 0.3, 0.4], "img": pa.array(cases, pa.binary())})
    found = issues(open_parquet(write(tmp_path / "raw", table)), engine=engine)
    kinds = [type(one.shown["img"]).__name__ for one in found.queued]
    assert kinds == ["Text", "Image", "Image", "Image"]
    assert len(json.dumps(found.to_dict())) < 40_000


# ---------------------------------------------------------------------------------------------
# End to end


def test_from_the_command_line(dataset, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    html, out = tmp_path / "q.html", tmp_path / "q.csv"
    base = ["issues", dataset, "--workers", "0", "--label", "y", "--top", "30"]
    made = CliRunner().invoke(
        dsm, [*base, "--json", "--balance", "class", "--html", str(html), "--out", str(out)]
    )
    assert made.exit_code == 0, made.output
    told = json.loads(made.stdout)
    assert (told["rows"], len(told["queued"]), told["balance"]) == (300, 30, "y")
    first = told["queued"][0]
    assert set(first) >= {
        "row",
        "key",
        "label",
        "suggested",
        "reasons",
        "scores",
        "shown",
        "ranked",
    }
    assert html.read_text().startswith("<!doctype html>")
    assert len(out.read_text().splitlines()) > 30
    text = CliRunner().invoke(dsm, base)
    assert text.stdout.startswith("30 of 300 ranked rows, by labels")
    assert f"r{told['queued'][0]['row']}" in made.stdout
    wrong = CliRunner().invoke(dsm, [*base, "--by", "disagreement"])
    assert wrong.exit_code == 2


def test_as_a_step_of_a_job(dataset, tmp_path, engine):
    from dsm_dask.jobs.run import run_job
    from dsm_dask.jobs.spec import Issues, parse_job

    text = f"""
    {{name: q, dataset: {dataset}, steps: [{{issues: {{top: 7, label: y, by: outlier,
      html: {tmp_path}/q.html, out: {tmp_path}/q.csv}}}}]}}
    """
    result = run_job(parse_job(text), engine=engine).steps[0].result
    assert [one["row"] for one in result["queued"]] == [
        one.row for one in issues(open_dataset(dataset), engine=engine, top=7, by="outlier").queued
    ]
    assert (tmp_path / "q.html").exists()
    assert (tmp_path / "q.csv").exists()
    for name, values in (("by", MEASURES), ("format", FORMATS)):
        (known, _) = get_args(Issues.model_fields[name].annotation)
        assert set(get_args(known)) == set(values)


def test_scores_know_their_label(tmp_path, engine):
    """Scored, queued, corrected, scored again: only by what the columns say of themselves."""
    from dsm_dask.scores.neighbours.class_share import ClassShare
    from dsm_dask.scores.neighbours.neighbours import Neighbours
    from dsm_dask.scores.score import score

    random = np.random.default_rng(4)
    home = random.integers(0, 3, 300)
    vectors = np.eye(3, 8)[home] + 0.1 * random.normal(size=(300, 8))
    labels = np.array(["cat", "dog", "emu"])[home]
    wrong = [7, 90, 211]
    given = labels.copy()
    given[wrong] = np.where(labels[wrong] == "cat", "dog", "cat")
    table = pa.table({"id": range(300), "animal": given, "v": vectors.astype(np.float32).tolist()})
    uri = create(str(tmp_path / "ds"), [write(tmp_path / "raw", table)], engine=engine).dataset
    scorers = [Neighbours("v", "animal", neighbours=5), ClassShare("animal")]
    first = score(uri, scorers, engine=engine)
    assert first.computed == {"neighbours": 300, "class_share": 300}
    again = score(uri, scorers, engine=engine)
    assert (again.committed, again.stale) == (False, ())
    found = dsm_dask.issues(uri, engine=engine, top=3)
    assert (found.label, found.by, found.version) == ("animal", "labels", str(first.version))
    assert {one.row for one in found.queued} == set(wrong)
    for one in found.queued:
        assert one.suggested == labels[one.row]
        assert f"0 of 5 neighbours are `{one.label}`, most `{labels[one.row]}`" in one.reasons
    path = tmp_path / "fixes.csv"
    found.save(str(path))
    text = path.read_text()
    for one in found.queued:
        text = text.replace(f"\n{one.key},,", f"\n{one.key},{one.suggested},")
    path.write_text(text)
    assert update(uri, str(path), "id", engine=engine).updated == 3
    after = score(uri, scorers, engine=engine)
    assert after.stale == (*(f.name for f in scorers[0].schema), "class_share")
    assert after.computed == {"neighbours": 300, "class_share": 300}
    agreement = open_dataset(uri).to_table(["neighbour_agreement"])[0].to_numpy()
    assert agreement.min() == 1

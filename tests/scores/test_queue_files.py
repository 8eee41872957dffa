"""The queue as a form that comes back as corrections, as tasks, with images."""

import csv
import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from queue_trials import table_of, write

from dsm_dask.dataset.update import update
from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import create
from dsm_dask.engine import Engine
from dsm_dask.errors import UsageError
from dsm_dask.scores.review import thumbnails
from dsm_dask.scores.review.review_queue import issues
from dsm_dask.sources.parquet import open_parquet
from dsm_dask.table import ROW_ID


@pytest.fixture
def engine():
    with Engine(workers=0) as made:
        yield made


@pytest.fixture
def data(tmp_path):
    return open_parquet(write(tmp_path / "raw", table_of(600), 3))


@pytest.fixture
def dataset(tmp_path, engine):
    made = create(str(tmp_path / "ds"), [write(tmp_path / "raw", table_of(300), 2)], engine=engine)
    return made.dataset


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
    found.save(str(tmp_path / "tasks.json"), "label-studio")
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
    assert [one["label"] for one in docs] == [[]] * len(found.queued)  # nobody has answered
    assert [one["suggested"] for one in docs] == [row.suggested for row in found.queued]
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

"""Tasks go to annotation tools, and what these export becomes a version: who changed what.

Exports are laid out as the tools' own code writes them."""

import csv
import io
import json
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dsm_dask.dataset.annotation_tools.answers import MARK, Answer, Mark, settle
from dsm_dask.dataset.update import update
from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import create
from dsm_dask.engine import Engine
from dsm_dask.errors import BadRows, CorruptFile, SchemaError, UsageError
from dsm_dask.scores.review.review_queue import issues

ANN, BOB = {"id": 3, "email": "ann@example.org"}, {"id": 4, "email": "bob@example.org"}
USERS = {
    "ann": "3e1f7a2e-0000-4000-8000-000000000003",
    "bob": "3e1f7a2e-0000-4000-8000-000000000004",
}
LABELS = ["art", "cooking", "sports"]


@pytest.fixture(scope="module")
def engine():
    with Engine(workers=0) as one:
        yield one


@pytest.fixture
def dataset(tmp_path, engine):
    """Twelve documents, ids that are no positions."""
    table = pa.table(
        {
            "id": pa.array(range(100, 112)),
            "text": [f'text {i}, "quoted"\nand more' for i in range(12)],
            "topic": [LABELS[i % 3] for i in range(12)],
            "tags": pa.array([["a"]] * 12),
            "grade": pa.array([1, 2, 3] * 4),
            "label_quality": np.linspace(0, 1, 12).astype(np.float32),
        }
    )
    pq.write_table(table, tmp_path / "raw.parquet")
    return create(str(tmp_path / "ds"), str(tmp_path / "raw.parquet"), engine=engine).dataset


def tasks_of(dataset, engine, tmp_path, kind, label="topic", **options):
    found = issues(
        open_dataset(dataset), engine=engine, top=5, label=label, show=["text"], **options
    )
    path = tmp_path / "tasks"
    found.save(str(path), kind)
    text = path.read_text()
    return json.loads(text) if kind == "label-studio" else list(map(json.loads, text.splitlines()))


def wanted(task):
    """Another label than the row has."""
    data = task.get("data") or task.get("metadata") or task
    return LABELS[(LABELS.index(data["given"]) + 1) % 3]


# As the tools export ------------------------------------------------------------------------------


def annotated(task, number, given, column="topic", **options):
    """A task of Label Studio with an annotation for each (annotator, choices)."""
    annotations = [
        {
            "id": 50 + 10 * number + i, "completed_by": who, "was_cancelled": False,
            "ground_truth": False, "created_at": f"2026-11-0{i + 1}T08:00:00.000000Z",
            "updated_at": f"2026-11-0{i + 1}T08:01:00.000000Z", "lead_time": 4.2, "task": number,
            "result": [{
                "id": "Dx_aB91ISN", "type": "choices", "from_name": column, "to_name": "text",
                "origin": "manual", "value": {"choices": choices},
            }] if choices else [], **options,
        }
        for i, (who, choices) in enumerate(given)
    ]  # fmt: skip
    return {
        "id": number, "data": task["data"], "annotations": annotations, "drafts": [],
        "predictions": task["predictions"], "meta": {}, "inner_id": 1, "project": 83,
    }  # fmt: skip


def pretty(choices):
    return choices[0] if len(choices) == 1 else {"choices": choices}


def minimal(tasks, for_csv=False):
    """JSON_MIN of annotated tasks: the tool's own id is the task's, not the row's. In a CSV it is
    that of the data."""
    for task in tasks:
        for one in task["annotations"] or [None]:
            found = {**task["data"], "id": task["id"]}
            if one and one["result"]:
                found["topic"] = pretty(one["result"][0]["value"]["choices"])
            if for_csv:
                found = {**found, **task["data"]}
            who = one and one["completed_by"]
            yield {
                **found, "annotator": who["email"] if isinstance(who, dict) else who,
                "annotation_id": one and one["id"], "created_at": one and one["created_at"],
                "updated_at": one and one["updated_at"], "lead_time": one and one["lead_time"],
            }  # fmt: skip


def label_studio(tasks, path, layout):
    """Two annotators agree about the first; one answered the second; the third was skipped, the
    others were not looked at."""
    both = [(ANN, [wanted(tasks[0])]), (BOB, [wanted(tasks[0])])]
    done = [annotated(tasks[0], 1, both), annotated(tasks[1], 2, [(7, [wanted(tasks[1])])])]
    done.append(annotated(tasks[2], 3, [(ANN, [wanted(tasks[2])])], was_cancelled=True))
    done += [annotated(task, 4 + i, []) for i, task in enumerate(tasks[3:])]
    if layout == "json":
        path.write_text(json.dumps(done, indent=2))
        return
    done[2]["annotations"] = []  # converters leave out what was cancelled
    rows = list(minimal(done, layout == "csv"))
    if layout == "json_min":
        path.write_text(json.dumps(rows, indent=2))
        return
    sink = io.StringIO()
    names = sorted({name for row in rows for name in row})
    writer = csv.DictWriter(sink, names, quoting=csv.QUOTE_NONNUMERIC)
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(sink.getvalue())


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize(
    ("layout", "name"), [("json", "e.json"), ("json_min", "m.json"), ("csv", "e.csv")]
)
def test_label_studio_there_and_back(dataset, engine, tmp_path, layout, name, named):
    tasks = tasks_of(dataset, engine, tmp_path, "label-studio")
    label_studio(tasks, tmp_path / name, layout)
    tool = "label-studio" if named else None
    made = update(dataset, str(tmp_path / name), engine=engine, tool=tool)
    both = "ann@example.org, bob@example.org"
    assert made.changes == {"topic": {both: 1, "7": 1}}
    assert (made.updated, made.committed) == (2, True)
    assert made.left == 3
    check(dataset, {task["data"]["id"]: wanted(task) for task in tasks[:2]})
    assert not update(dataset, str(tmp_path / name), engine=engine, tool=tool).committed


def check(dataset, fixes):
    """The rows have these topics; nothing else has changed."""
    before = open_dataset(f"{dataset}@1").to_table().to_pylist()
    after = open_dataset(dataset).to_table().to_pylist()
    assert after == [{**row, "topic": fixes.get(row["id"], row["topic"])} for row in before]
    assert fixes


def answered(record, responses):
    """A record of Argilla with responses by user: nested, as ``Record.to_dict`` has it."""
    said = [{"value": value, "user_id": USERS[who]} for who, value in responses]
    return {
        "id": record["id"], "fields": record["fields"], "metadata": record["metadata"],
        "suggestions": record["suggestions"], "responses": {"topic": said} if said else {},
        "vectors": {}, "_server_id": "0b8c7c1e-0000-4000-8000-000000000001",
    }  # fmt: skip


def flat(record, responses, status="submitted"):
    """As ``records.to_datasets()`` has it."""
    found = {"id": record["id"], **record["fields"], **record["metadata"]}
    found |= {"topic.responses": None, "topic.responses.users": None}
    found["topic.responses.status"] = None
    if responses:
        found["topic.responses"] = [value for _, value in responses]
        found["topic.responses.users"] = [USERS[who] for who, _ in responses]
        found["topic.responses.status"] = [status] * len(responses)
    return {**found, "_server_id": "0b8c7c1e", "topic.suggestion": "art"}


@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize("layout", ["json", "index", "columns", "jsonl", "parquet"])
def test_argilla_there_and_back(dataset, engine, tmp_path, layout, marked):
    records = tasks_of(dataset, engine, tmp_path, "argilla")
    said = [
        [("ann", wanted(records[0]))],
        [("bob", wanted(records[1])), ("ann", wanted(records[1]))],
    ]
    said += [[]] * (len(records) - 2)
    if not marked:  # the tool was not told to keep it
        for record in records:
            del record["metadata"][MARK]
    nested = [answered(*one) for one in zip(records, said, strict=True)]
    rows = [flat(*one) for one in zip(records, said, strict=True)]
    rows[2] = flat(records[2], [("ann", wanted(records[2]))], "draft")
    path = tmp_path / f"e.{layout if layout in ('jsonl', 'parquet') else 'json'}"
    if layout == "json":
        path.write_text(json.dumps(nested))
    elif layout == "index":
        path.write_text(json.dumps({one["id"]: one for one in nested}))
    elif layout == "columns":
        path.write_text(json.dumps({name: [row[name] for row in rows] for name in rows[0]}))
    elif layout == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    made = update(dataset, str(path), None if marked else "id", engine=engine)
    both = f"{USERS['ann']}, {USERS['bob']}"
    assert made.changes == {"topic": {USERS["ann"]: 1, both: 1}}
    assert made.left == 3
    check(dataset, {int(one["id"]): wanted(one) for one in records[:2]})
    if not marked:
        with pytest.raises(UsageError, match="do not tell which rows"):
            update(dataset, str(path), engine=engine)


def test_drafts_of_argilla_as_json(dataset, engine, tmp_path):
    """A record is completed when enough people have submitted; else it may hold drafts."""
    records = tasks_of(dataset, engine, tmp_path, "argilla")
    nested = [
        answered(one, [("ann", wanted(one))]) | {"status": "pending"} for one in records[:3]
    ] + [answered(records[3], []) | {"status": "pending"}]
    path = tmp_path / "e.json"
    path.write_text(json.dumps(nested))
    with pytest.raises(UsageError, match=r"are pending.*to_datasets"):
        update(dataset, str(path), engine=engine)
    nested[1]["status"] = "completed"
    path.write_text(json.dumps(nested))
    made = update(dataset, str(path), engine=engine)
    assert (made.updated, made.left) == (1, 3)
    check(dataset, {int(records[1]["id"]): wanted(records[1])})


def test_texts_that_look_like_json(dataset, engine, tmp_path):
    """Only a CSV has lists as texts."""
    tasks = tasks_of(dataset, engine, tmp_path, "label-studio")
    path = tmp_path / "e.json"
    said, more = '["quoted", "twice"]', '["quoted", "three times"]'
    path.write_text(json.dumps([annotated(tasks[0], 1, [(ANN, [said])])]))
    assert update(dataset, str(path), engine=engine).updated == 1
    flat = {**tasks[1]["data"], "topic": more, "annotation_id": 3, "lead_time": 1.0}
    path.write_text(json.dumps([flat]))
    assert update(dataset, str(path), engine=engine).updated == 1
    check(dataset, {tasks[0]["data"]["id"]: said, tasks[1]["data"]["id"]: more})


def test_doccano_there_and_back(dataset, engine, tmp_path):
    """The tool puts its own id first; what came with the document is over it, or is not."""
    docs = tasks_of(dataset, engine, tmp_path, "doccano")
    done = [{**one, "id": 900 + i, "Comments": []} for i, one in enumerate(docs)]
    done[0]["label"], done[1]["label"] = [wanted(docs[0])], [wanted(docs[1])]
    path = tmp_path / "all.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in done))
    made = update(dataset, str(path), engine=engine, who="carol")
    assert made.changes == {"topic": {"carol": 2}}
    check(dataset, {one["id"]: wanted(one) for one in docs[:2]})


def test_an_archive_of_doccano_tells_who_it_was(dataset, engine, tmp_path):
    docs = tasks_of(dataset, engine, tmp_path, "doccano", key="text")
    path = tmp_path / "export.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for who, place in (("ann", 0), ("bob", 1)):
            done = [dict(one) for one in docs]
            done[place]["label"] = [wanted(docs[place])]
            archive.writestr(f"{who}.jsonl", "".join(json.dumps(one) + "\n" for one in done))
    made = update(dataset, str(path), engine=engine)
    assert made.changes == {"topic": {"ann": 1, "bob": 1}}


def test_lists_and_numbers_as_labels(dataset, engine, tmp_path):
    tasks = tasks_of(dataset, engine, tmp_path, "label-studio", "tags")
    path = tmp_path / "e.json"
    path.write_text(json.dumps([annotated(tasks[0], 1, [(ANN, ["x", "y"])], "tags")]))
    assert update(dataset, str(path), engine=engine).changes == {"tags": {"ann@example.org": 1}}
    tasks = tasks_of(dataset, engine, tmp_path, "label-studio", "grade", key="text")
    path.write_text(json.dumps([annotated(tasks[0], 1, [(ANN, ["9"])], "grade")]))
    assert update(dataset, str(path), engine=engine).updated == 1
    found = open_dataset(dataset).to_table(["tags", "grade"]).to_pydict()
    assert ["x", "y"] in found["tags"]
    assert 9 in found["grade"]


def test_values_that_do_not_fit_are_named_by_their_key(dataset, engine, tmp_path):
    """There is no row of an export that a number would name; forms are filled in here and there."""
    tasks = tasks_of(dataset, engine, tmp_path, "label-studio", "grade")
    done = [annotated(one, i, [(ANN, ["9" if i < 3 else "many"])], "grade")
            for i, one in enumerate(tasks[:4])]  # fmt: skip
    (tmp_path / "e.json").write_text(json.dumps([annotated(tasks[4], 9, []), *done]))
    key = tasks[3]["data"]["id"]
    with pytest.raises(SchemaError, match=rf"which id {key} \('many'\) of"):
        update(dataset, str(tmp_path / "e.json"), engine=engine)
    (tmp_path / "form.csv").write_text("id,grade,#grade\n100,,1\n101,2,2\n102,x,3\n900,3,3\n")
    with pytest.raises(SchemaError, match=r"which id 102 \('x'\) of"):
        update(dataset, str(tmp_path / "form.csv"), "id", engine=engine)
    (tmp_path / "form.csv").write_text("id,grade,#grade\n100,,1\n101,2,2\n900,3,3\n")
    with pytest.raises(BadRows, match=r"has the key of id 900 of"):
        update(dataset, str(tmp_path / "form.csv"), "id", engine=engine)


def test_what_annotators_differ_about(dataset, engine, tmp_path):
    tasks = tasks_of(dataset, engine, tmp_path, "label-studio")
    given = tasks[0]["data"]["given"]
    one, other = (label for label in LABELS if label != given)
    path = tmp_path / "e.json"
    path.write_text(json.dumps([annotated(tasks[0], 1, [(ANN, [one]), (BOB, [other])])]))
    with pytest.raises(BadRows, match=rf"ann@example.org: {one}, bob@example.org: {other}"):
        update(dataset, str(path), engine=engine)
    skipped = update(dataset, str(path), engine=engine, several="skip")
    assert (skipped.committed, skipped.left) == (False, 1)
    done = annotated(tasks[0], 1, [(ANN, [one]), (BOB, [other])])
    done["annotations"][0]["ground_truth"] = True
    (tmp_path / "truth.json").write_text(json.dumps([done]))
    dry = update(dataset, str(tmp_path / "truth.json"), engine=engine, dry_run=True)
    assert dry.changes == {"topic": {"ann@example.org": 1}}
    last = update(dataset, str(path), engine=engine, several="last")
    assert last.changes == {"topic": {"bob@example.org": 1}}
    check(dataset, {tasks[0]["data"]["id"]: other})


def test_who_changes_their_mind_has_said_the_last():
    mark = Mark("id", "7", "topic")
    said = [Answer(mark, ("b",), "ann", "2"), Answer(mark, ("a",), "ann", "1")]
    assert settle(said, "error", "x").answers == (said[0],)


def test_what_is_no_export(dataset, engine, tmp_path):
    tasks = tasks_of(dataset, engine, tmp_path, "label-studio")
    two = annotated(tasks[0], 1, [(ANN, ["art", "sports"])])
    bare = {**annotated(tasks[0], 1, [(ANN, ["art"])]), "data": {"text": "x"}}
    spans = {MARK: Mark("id", "100", "topic").encode(), "label": [[0, 1, "art"]]}
    for name, content, options, error, told in (
        ("a.json", [two], {}, BadRows, "labels art and sports"),
        ("b.json", [bare], {}, UsageError, "do not tell which rows"),
        ("c.json", [spans], {}, UsageError, "spans of a text"),
        ("d.json", [two], {"on": "text"}, UsageError, "ask for 'topic' by 'id'"),
        ("e.json", [two], {"tool": "doccano"}, UsageError, "no export of doccano"),
        ("f.json", [two], {"tool": "prodigy"}, UsageError, "no tool 'prodigy'"),
        ("g.json", [two], {"several": "best"}, UsageError, "'best' is unknown"),
        ("h.json", [{"x": 1}], {"on": "id"}, UsageError, "no file of rows"),
        ("h2.json", [], {}, UsageError, "holds no tasks"),
        ("h3.json", [], {"tool": "label-studio"}, UsageError, "holds no tasks"),
        ("i.json", [1], {}, CorruptFile, "holds no records"),
        ("j.json", {"a": [1], "b": []}, {}, CorruptFile, "not of one length"),
        ("k.zip", "no archive", {}, CorruptFile, "no archive"),
    ):
        (tmp_path / name).write_text(json.dumps(content))
        with pytest.raises(error, match=told):
            update(dataset, str(tmp_path / name), engine=engine, **options)
    (tmp_path / "plain.csv").write_text("id,topic\n100,art\n")
    with pytest.raises(UsageError, match="Which column is the key"):
        update(dataset, str(tmp_path / "plain.csv"), engine=engine)
    assert open_dataset(dataset).version == 1

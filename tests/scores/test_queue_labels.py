"""The review queue of labels of every type: scores say 0 and 1 of booleans, integers of floats."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dsm_dask.dataset.update import update
from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import create
from dsm_dask.engine import Engine
from dsm_dask.errors import UsageError
from dsm_dask.scores.review.review_queue import issues
from dsm_dask.scores.score_by import score_by
from dsm_dask.scores.scores import ScoreOptions

ROWS, FLIPPED = 30, [3, 7]
TRUE = np.arange(ROWS) % 2
GIVEN = TRUE.copy()
GIVEN[FLIPPED] = 1 - GIVEN[FLIPPED]
KINDS = {
    "text": pa.array(np.array(["no", "yes"])[GIVEN]),
    "large": pa.array(np.array(["no", "yes"])[GIVEN], pa.large_string()),
    "coded": pa.array(np.array(["no", "yes"])[GIVEN]).dictionary_encode(),
    "number": pa.array(GIVEN, pa.uint8()),
    "truth": pa.array(GIVEN == 1),
    "float": pa.array([float("nan"), None, *GIVEN[2:].astype(float)]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_only_other_labels_are_suggested_and_come_back(tmp_path, kind):
    probabilities = np.where(TRUE[:, None] == [0, 1], 0.9, 0.1).astype(np.float32)
    vectors = np.stack([3.0 * TRUE, 1 - TRUE, np.arange(ROWS) / 100], axis=1)
    table = {
        "id": np.arange(100, 100 + ROWS), "y": KINDS[kind], "ann": KINDS[kind],
        "p": pa.array(list(probabilities), pa.list_(pa.float32(), 2)),
        "v": pa.array(list(vectors.astype(np.float32)), pa.list_(pa.float32(), 3)),
    }  # fmt: skip
    pq.write_table(pa.table(table), tmp_path / "1.parquet")
    ds = str(tmp_path / "ds")
    options = ScoreOptions.of(
        probs="p", label="y", embedding="v", neighbours=9, annotators="ann", consensus="majority"
    )
    with Engine(workers=0) as engine:
        create(ds, [str(tmp_path / "1.parquet")], engine=engine)
        score_by(ds, options, engine=engine)
        found = issues(open_dataset(ds), engine=engine, top=ROWS)
        labelled = [one for one in found.queued if one.label is not None]
        wrong = {one.key: one for one in labelled if one.suggested is not None}
        assert sorted(wrong) == [103, 107]
        for one in found.queued:
            says = any("model says" in why or "neighbours are" in why for why in one.reasons)
            assert says == (one.key in (103, 107) or one.label is None)
        for suffix in ("csv", "jsonl", "parquet"):
            form = str(tmp_path / f"form.{suffix}")
            found.save(form)
            assert update(ds, form, "id", engine=engine).updated == 0
        lines = [{"id": key, "y": one.suggested} for key, one in wrong.items()]
        fixes = tmp_path / "fixes.jsonl"
        fixes.write_text("".join(json.dumps(line) + "\n" for line in lines))
        assert update(ds, str(fixes), "id", engine=engine).updated == 2
        rows = open_dataset(ds).to_table(["id", "y"]).to_pylist()
    names = {"no": 0, "yes": 1}
    corrected = [names.get(row["y"], row["y"]) for row in rows]
    assert corrected[2:] == TRUE[2:].tolist()


def test_a_key_is_what_corrections_come_back_by(tmp_path):
    table = {"ID": [0.5, 1.5], "name": ["a", "b"], "label_quality": pa.array([0.1, 0.2])}
    pq.write_table(pa.table(table), tmp_path / "1.parquet")
    with Engine(workers=0) as engine:
        create(str(tmp_path / "ds"), [str(tmp_path / "1.parquet")], engine=engine)
        ds = open_dataset(str(tmp_path / "ds"))
        assert issues(ds, engine=engine).key is None
        assert issues(ds, engine=engine, key="name").key == "name"
        with pytest.raises(UsageError, match="'ID' is double, which is no key"):
            issues(ds, engine=engine, key="ID")

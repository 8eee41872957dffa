"""What the documentation says is true of the code."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import click
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsm_dask.cli import VERBS, dsm
from dsm_dask.engine import Engine
from dsm_dask.errors import every
from dsm_dask.fold import run
from dsm_dask.jobs.spec import json_schema, load_job
from dsm_dask.testing.folds import batches, check_bounded, check_laws

ROOT = Path(__file__).parents[1]


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def longest() -> Any:
    """The Fold of docs/extending.md."""
    module = types.ModuleType("extending")
    sys.modules["extending"] = module
    exec(blocks("docs/extending.md")[0], module.__dict__)
    return module.Longest("text")


def test_the_documented_fold_works(longest: Any) -> None:
    found = run(longest, [pa.record_batch({"text": ["a", None, "four"]})])
    assert found == 4


@given(st.data())
def test_the_documented_fold_keeps_the_laws(longest: Any, data: st.DataObject) -> None:
    check_laws(longest, data.draw(batches({"text": pa.string()})))


def test_the_documented_fold_is_bounded(longest: Any) -> None:
    check_bounded(longest, {"text": pa.string()}, rows=10_000)


def test_the_published_schema_is_the_code_s() -> None:
    assert (ROOT / "docs" / "job.schema.json").read_text() == json_schema()


@pytest.mark.parametrize("path", sorted((ROOT / "jobs").glob("*.yaml")), ids=lambda p: p.name)
def test_the_jobs_are_valid(path: Path) -> None:
    assert load_job(path).steps


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_there_and_told_the_same_way(verb: str) -> None:
    command = dsm.get_command(click.Context(dsm), verb)
    assert command is not None
    assert command.name == verb
    assert command.help


def test_the_reference_names_every_folder_and_exit_code() -> None:
    text = (ROOT / "docs" / "reference.md").read_text()
    assert {f"| {kind.exit_code} |" in text for kind in every()} == {True}
    for folder in ("links", "checksums", "states", "keys", "runs"):
        assert f"_dsm/{folder}" in text


def test_error_codes_are_unique_and_explained() -> None:
    kinds = list(every())
    assert len({kind.code for kind in kinds}) == len(kinds)
    assert all(kind.__doc__ and len(kind.__doc__) > 40 for kind in kinds)


@pytest.mark.cluster
def test_the_python_job_runs(tmp_path: Path, scheduler: str) -> None:
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"text": ["a", "b", "a", "c"]}), tmp_path / "a.parquet")
    command = [sys.executable, "jobs/curate.py", str(tmp_path / "ds"), str(tmp_path / "a.parquet")]
    done = subprocess.run(
        [*command, "text"], env={**os.environ, "DASK_SCHEDULER_ADDRESS": scheduler},
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "1 of 4 rows repeat an earlier text",
        "2 dedup 3 rows Exact copies",
        "1 create 4 rows Linked by jobs/curate.py",
    ]


@pytest.mark.cluster
def test_the_local_cluster_starts_serves_and_stops(tmp_path: Path) -> None:
    from dsm_dask.testing.s3 import free_ports

    (port,) = free_ports(1)
    environment = {**os.environ, "PORT": str(port), "DSM_CLUSTER_DIR": str(tmp_path / "cluster")}

    def script(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        path = str(ROOT / "cluster" / "local" / name)
        return subprocess.run(
            [path, *arguments], env=environment, capture_output=True, text=True, timeout=90
        )

    started = script("start.sh", "1")
    try:
        assert started.stdout == f"tcp://127.0.0.1:{port}\n", started.stderr
        with Engine(scheduler=started.stdout.strip()) as engine:
            assert engine.map(len, ["ab", "c"]) == [2, 1]
            assert not engine.is_local
        assert script("start.sh", "1").returncode == 2
    finally:
        assert script("stop.sh").returncode == 0
    assert script("stop.sh").returncode == 2


def test_results_are_json(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    import dsm_dask

    pq.write_table(pa.table({"a": [1, 1, None]}), tmp_path / "a.parquet")
    with Engine(workers=0) as engine:
        made = dsm_dask.create(str(tmp_path / "ds"), str(tmp_path), engine=engine)
        assert dataclasses.is_dataclass(made)
        assert json.loads(json.dumps(made.to_dict()))["rows"] == 3

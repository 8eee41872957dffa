"""What verbs print about a version opens that version, on a branch too."""

import re
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa

_HELPERS = str(Path(__file__).parents[1] / "faults")
if _HELPERS not in sys.path:
    sys.path.append(_HELPERS)

from dsm_trials import dsm, parquet, put

from dsm_dask.dataset.version import open_dataset


def test_versions_of_a_branch_are_printed_as_they_are_opened(tmp_path):
    random = np.random.default_rng(1)
    for number in (1, 2):
        columns = {
            "id": np.arange(20) + 100 * number,
            "y": random.choice(["a", "b"], 20),
            "text": [f"words {i % 15}" for i in range(20)],
            "p": pa.array(list(random.dirichlet([1, 1], 20)), pa.list_(pa.float64(), 2)),
        }
        parquet(tmp_path / f"{number}.parquet", columns)
    ds, fixes = str(tmp_path / "ds"), put(tmp_path / "fixes.csv", b"id,y\n103,c\n")
    assert dsm("create", ds, tmp_path / "1.parquet").code == 0
    assert dsm("drop", ds, "--where", "id = 100").code == 0
    said = dsm("branch", f"{ds}@1", "exp")
    assert open_dataset(re.search(rf"{ds}@\S+", said.out)[0]).branch == "exp"
    there, printed = f"{ds}@exp", []
    for verb in (
        ["append", there, tmp_path / "2.parquet"],
        ["drop", there, "--where", "id = 101"],
        ["score", there, "--probs", "p"],
        ["score", there, "--probs", "p"],  # nothing to commit
        ["score", there, "--probs", "p", "--label", "id", "--classes", "a,b", "--dry-run"],
        ["update", there, fixes, "--on", "id"],
        ["update", there, fixes, "--on", "id"],
        ["embed", there, "--column", "text", "--dimension", "8"],
        ["dedup", there, "--on", "text", "--drop"],
        ["restore", there, "2"],
        ["tag", there, "clean"],
        ["tag", ds, "clean", "--delete"],
    ):
        said = dsm(*verb)
        if said.code:
            assert "--classes" in verb, said.err  # labels that are none of the classes
            continue
        (spec,) = re.findall(rf"{ds}@([^\s:]+:?\d*)", said.out)
        printed.append(spec)
        found = open_dataset(f"{ds}@{spec}")
        assert found.branch == "exp", (verb, spec)
    newest = open_dataset(there).version
    assert printed[-1] == printed[-2] == f"exp:{newest}"
    assert dsm("log", there, "--json").json["versions"][0]["version"] == newest
    assert len(printed) == 11


def test_versions_of_the_main_line_stay_numbers(tmp_path):
    parquet(tmp_path / "1.parquet", {"id": [1, 2]})
    ds = str(tmp_path / "ds")
    assert f"{ds}@1: " in dsm("create", ds, tmp_path / "1.parquet").out
    assert f"{ds}@2: " in dsm("drop", ds, "--where", "id = 1").out

"""Near duplicates from the command line, from Python, and in a job; the index beside a dataset."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from dsm_trials import objects, parquet

import dsm_dask as dsm
from dsm_dask.cli import dsm as command
from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import append, create
from dsm_dask.duplicates.conclude import COLUMNS
from dsm_dask.duplicates.decisions import SCHEMA
from dsm_dask.duplicates.near import dedup_near
from dsm_dask.errors import JobSpecError, NotFound, UsageError
from dsm_dask.jobs.run import run_job
from dsm_dask.jobs.spec import parse_job
from dsm_dask.report.differences import differences

PAGE = "the quick brown fox jumps over the lazy dog and runs away from the hunters at dawn"
TEXTS = [PAGE, "another text that has nothing to do with it at all", f"{PAGE} again", PAGE, None]


@pytest.fixture
def ds(tmp_path, engine) -> str:
    parquet(f"{tmp_path}/raw/0.parquet", pa.table({"text": TEXTS, "stars": [1, 2, 5, 3, 4]}))
    create(f"{tmp_path}/ds", f"{tmp_path}/raw", engine=engine)
    return f"{tmp_path}/ds"


def told(*args: str, code: int = 0) -> str:
    said = CliRunner().invoke(command, [*map(str, args), "--workers", "0"])
    assert said.exit_code == code, said.output
    return said.stdout


def test_show_prints_what_differs(ds):
    shown = told("dedup", ds, "--on", "text", "--method", "minhash", "--show", "3")
    assert "{+again+}" in shown
    assert "the same" in shown
    assert "\x1b" not in shown  # no colour: not a terminal
    assert "1 texts are empty or null" in shown


@pytest.mark.parametrize("texts", [("a b c", "a b c d"), ("x y", "p q"), ("", "a"), ("a b", "a b")])
def test_differences_tell_both_texts(texts):
    """What is the same and removed makes one text, what is the same and added the other."""
    parts = differences(*texts)
    for side, kind in ((texts[0], "removed"), (texts[1], "added")):
        words = " ".join(part for what, part in parts if what in ("same", kind)).split()
        assert words == side.split()


def test_json_tells_everything(ds):
    found = json.loads(
        told("dedup", ds, "--on", "text", "--method", "minhash", "--prefer", "stars", "--json")
    )
    assert (found["rows"], found["clusters"], found["duplicates"], found["kept"]) == (5, 1, 2, 3)
    assert found["largest"][0]["survivor"] == 2
    assert found["parameters"]["bands"] == 21
    assert found["index"]["hashed"] == 1
    assert found["precision"] == 1.0
    assert "version" not in found
    exact = json.loads(told("dedup", ds, "--on", "text", "--json"))
    assert not {"precision", "parameters", "similarities", "notes"} & set(exact)
    assert set(exact["largest"][0]) == {"size", "survivor", "values"}


def test_drop_and_columns_commit(ds):
    near = ["--on", "text", "--method", "minhash"]
    written = json.loads(told("dedup", ds, *near, "--columns", "--json", "--tag", "marked"))
    assert (written["version"], written["committed"]) == (2, True)
    found = open_dataset(f"{ds}@marked").to_table(["duplicate_of", "duplicate_role"])
    assert found["duplicate_of"].to_pylist() == [0, None, 0, 0, None]
    assert found["duplicate_role"].to_pylist() == ["kept", None, "duplicate", "duplicate", None]
    dropped = json.loads(told("dedup", ds, *near, "--drop", "--json"))
    assert dropped["version"] == 3
    assert open_dataset(ds).to_table(["stars"])["stars"].to_pylist() == [1, 2, 4]


def test_what_was_committed_in_words(ds):
    near = ["--on", "text", "--method", "minhash"]
    assert f"{ds}@2: columns written" in told("dedup", ds, *near, "--columns")
    assert f"{ds}@3: duplicates dropped" in told("dedup", ds, *near, "--drop")


@pytest.mark.parametrize("method", ["minhash", "semantic"])
def test_when_nothing_is_found(tmp_path, engine, method):
    """A table of decisions without rows, columns of null, no commit of a drop."""
    data = pa.table({"text": ["one text", "another"], "v": [[1.0, 0.0], [0.0, 1.0]]})
    parquet(f"{tmp_path}/raw/0.parquet", data)
    ds, on = f"{tmp_path}/ds", "v" if method == "semantic" else "text"
    create(ds, f"{tmp_path}/raw", engine=engine)
    dsm.dedup(ds, on, method=method, out=f"{tmp_path}/out", engine=engine)
    told = pq.read_table(f"{tmp_path}/out")
    assert (told.num_rows, told.schema.names) == (0, SCHEMA.names)
    assert dsm.dedup(ds, on, method=method, drop=True, engine=engine).version == 1
    made = dsm.dedup(ds, on, method=method, columns=True, engine=engine)
    assert (made.version, made.committed) == (2, True)
    found = open_dataset(ds).to_table(COLUMNS.names)
    assert found.to_pylist() == [dict.fromkeys(COLUMNS.names)] * 2


@pytest.mark.parametrize("method", ["exact", "minhash", "semantic"])
@pytest.mark.parametrize("option", ["--drop", "--columns"])
def test_a_version_that_is_not_the_newest(ds, method, option):
    """Is refused before any work when rows were dropped since, as `dsm drop` refuses it."""
    if (method, option) == ("exact", "--columns"):
        return
    told("drop", ds, "--where", "stars = 5")
    before = objects(ds)
    args = ["--on", "text", "--method", method, *(["--embed"] if method == "semantic" else [])]
    said = CliRunner().invoke(command, ["dedup", f"{ds}@1", *args, option, "--workers", "0"])
    assert (said.exit_code, objects(ds)) == (2, before)
    assert "@1 is not the newest version; version 2 is." in " ".join(said.output.split())
    assert json.loads(told("dedup", f"{ds}@1", *args, "--json"))["rows"] == 5


def test_rows_added_meanwhile_stay(ds, tmp_path, engine):
    """A job that goes on from a version of its own drops what it found there."""
    before = open_dataset(ds)
    parquet(f"{tmp_path}/more/1.parquet", pa.table({"text": [PAGE], "stars": [9]}))
    append(ds, f"{tmp_path}/more", engine=engine)
    found = dedup_near(before, "text", engine=engine, drop=True)
    assert (found.version, found.committed) == (3, True)
    assert open_dataset(ds).to_table(["stars"])["stars"].to_pylist() == [1, 2, 4, 9]
    again = dedup_near(before, "text", engine=engine, drop=True)  # done, and so not refused
    assert (again.version, again.committed, again.duplicates) == (3, False, 2)
    with pytest.raises(UsageError, match="not the newest"):
        dedup_near(before, "text", engine=engine, columns=True)


def test_what_was_found_in_words(tmp_path, engine):
    rows = [PAGE, f"{PAGE} again", "something else"]
    parquet(f"{tmp_path}/raw/0.parquet", pa.table({"text": rows}))
    ds = f"{tmp_path}/ds"
    create(ds, f"{tmp_path}/raw", engine=engine)
    first = told("dedup", ds, "--on", "text", "--method", "minhash", "--show", "1")
    assert "3 rows: 1 duplicate (33.3%) in 1 cluster; 2 to keep" in first
    assert "1 candidate pair compared, 1 of them" in first
    assert "row 1, strongest pair 0.9" in first
    again = told("dedup", ds, "--on", "text", "--method", "minhash")
    assert "1 candidate pair compared by an earlier run, 1 of them" in again


def test_the_longest_of_bytes_of_one_length(tmp_path, engine):
    """Are all as long: the first stays."""
    values = pa.array([b"abcd efgh ijk", b"abcd efgh ijk", None], pa.binary(13))
    raw = parquet(f"{tmp_path}/0.parquet", pa.table({"b": values}))
    found = dsm.dedup(str(raw), "b", method="minhash", keep="longest", engine=engine)
    assert [(one.survivor, one.size) for one in found.largest] == [(0, 2)]


def test_help_lists_the_methods():
    lines = [line.split()[0] for line in told("dedup", "--help").splitlines() if line.split()]
    assert {"exact", "minhash", "semantic", "phash,"} <= set(lines)


def test_a_dry_run_writes_nothing(ds):
    before = objects(ds)
    for option in ("--drop", "--columns"):
        args = ["--on", "text", "--method", "minhash", option, "--dry-run", "--json"]
        assert json.loads(told("dedup", ds, *args))["duplicates"] == 2
        assert objects(ds) == before


@pytest.mark.parametrize(
    ("args", "names"),
    [
        (["--threshold", "0.9"], "method exact"),
        (["--method", "minhash", "--shingle", "line:3"], "word:N"),
        (["--method", "minhash", "--preset", "datatrovee"], "datatrove"),
        (["--method", "minhash", "--normalise", "accents"], "unicode"),
        (["--method", "minhash", "--on", "stars"], "one column"),
        (["--method", "minhash", "--drop", "--columns"], "--drop or --columns"),
        (["--method", "minhash", "--bands", "5000"], "4096"),
        (["--method", "minhash", "--rows", "200"], "128 permutations have no room for 200 rows"),
        (["--method", "minhash", "--rows", "90", "--bands", "90"], "at most 4096"),
    ],
)
def test_usage(ds, args, names):
    said = CliRunner().invoke(command, ["dedup", ds, "--on", "text", *args, "--workers", "0"])
    assert said.exit_code == 2
    assert names in said.output


def test_the_index(ds):
    assert "no index" in told("index", "ls", ds)
    told("dedup", ds, "--on", "text", "--method", "minhash")
    told("dedup", ds, "--on", "text", "--method", "minhash", "--shingle", "char:9")
    listed = json.loads(told("index", "ls", ds, "--json"))["indexes"]
    assert {index["about"]["shingle"] for index in listed} == {"word:5", "char:9"}
    assert "0 damaged" in told("index", "verify", ds)
    name = listed[0]["name"]
    (file,) = (Path(ds) / "_dsm/index" / name).glob("*.bands")
    data = bytearray(file.read_bytes())
    data[-9] ^= 1
    file.write_bytes(data)
    assert str(file) in told("index", "verify", ds, name, code=1)
    told("index", "rm", ds, name, "--dry-run")
    assert file.exists()
    told("index", "rm", ds, name)
    assert [i["name"] for i in json.loads(told("index", "ls", ds, "--json"))["indexes"]] == [
        listed[1]["name"]
    ]
    told("index", "rm", ds, name, code=2)
    told("index", "rm", ds, name, "--dry-run", code=2)
    told("index", "ls", ds, name, code=2)
    told("index", "rm", ds)
    assert "no index" in told("index", "ls", ds)


def test_a_cut_off_index_is_made_again(ds, engine):
    first = dsm.dedup(ds, "text", method="minhash", engine=engine)
    (file,) = Path(ds).glob("_dsm/index/*/*.bands")
    file.write_bytes(file.read_bytes()[:-8])
    (known,) = Path(ds).glob("_dsm/index/*/partitions.known")
    known.unlink()  # else nobody looks, as long as nothing is new
    found = dsm.dedup(ds, "text", method="minhash", engine=engine)
    assert (found.index.hashed, found.sizes) == (1, first.sizes)


def test_what_was_settled_is_checked(ds, engine):
    """A damaged file of verified groups is not believed."""
    first = dsm.dedup(ds, "text", method="minhash", engine=engine)
    (file,) = Path(ds).glob("_dsm/index/*/verified-*/*-00000")
    data = bytearray(file.read_bytes())
    data[-2] ^= 1
    file.write_bytes(data)
    found = dsm.dedup(ds, "text", method="minhash", engine=engine)
    assert found.similarities == first.similarities
    assert found.index.compared == first.index.compared


def test_from_python(ds, engine, tmp_path):
    other = parquet(f"{tmp_path}/other.parquet", {"text": [PAGE.upper(), "x"]})
    found = dsm.dedup(
        ds, "text", method="minhash", against=str(other), normalise=["case"], engine=engine
    )
    assert [(one.rows, one.other_rows) for one in found.against] == [(3, 1)]
    assert found.duplicates == 3
    with pytest.raises(UsageError, match="exact"):
        dsm.dedup(ds, "text", threshold=0.9, engine=engine)
    with pytest.raises(UsageError, match=r"treshold is not .*'threshold'.* Known: against, bands"):
        dsm.dedup(ds, "text", method="minhash", treshold=0.9, engine=engine)
    with pytest.raises(UsageError, match="Only a dataset can be written to"):
        dsm.dedup(str(other), "text", method="minhash", columns=True, engine=engine)
    with pytest.raises(UsageError, match="no method"):
        dsm.dedup(ds, "text", method="simhash", engine=engine)
    with pytest.raises(NotFound):
        dsm.dedup(ds, "text", method="minhash", against="nowhere.parquet", engine=engine)


def test_in_a_job(ds, engine):
    job = parse_job(
        f"{{name: j, dataset: '{ds}', steps: ["
        "{dedup: {on: text, method: minhash, threshold: 0.7, keep: longest, drop: true}}]}"
    )
    done = run_job(job, engine=engine)
    assert open_dataset(ds).to_table(["stars"])["stars"].to_pylist() == [2, 5, 4]
    assert done.version == 2


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ("{on: text, threshold: 0.7}", "method: minhash"),
        ("{on: [a, b], method: minhash}", "one column"),
        ("{on: text, method: minhash, threshold: 2}", "threshold"),
        ("{on: text, method: minhash, preset: other}", "datatrove"),
    ],
)
def test_bad_jobs(body, names):
    with pytest.raises(JobSpecError) as error:
        parse_job(f"{{name: j, dataset: d, steps: [{{dedup: {body}}}]}}")
    assert names in str(error.value)

"""What programs rely on: one JSON object, its names, exit codes, no writes by --dry-run."""

import json
import subprocess
import sys

import pyarrow as pa
import pytest
from dsm_trials import dsm, dsm_apart, objects, parquet, put, sql

from dsm_dask.cli import VERBS
from dsm_dask.errors import every

IO = {"bytes_read", "bytes_written", "requests", "client_bytes", "seconds"}
TABLE = pa.table(
    {"id": range(8), "text": list("abcabcdd"), "score": [0.5, None, 1.5, 2.0, 2.0, 0.0, -1.0, 9.0]}
)


@pytest.fixture
def source(tmp_path):
    return parquet(tmp_path / "raw/1.parquet", TABLE)


@pytest.fixture
def ds(tmp_path, source):
    assert dsm("create", tmp_path / "ds", source).code == 0
    return str(tmp_path / "ds")


def told(*args, code: int = 0) -> dict:
    """The JSON object of a verb; nothing else on standard output, nothing on standard error."""
    said = dsm(*args, "--json")
    assert said.code == code, said.err
    found = said.json
    if code == 0:
        assert said.err == ""
        assert found["io"].keys() == IO
        assert all(isinstance(found["io"][name], int) for name in IO - {"seconds"})
    return found


def test_create_append_drop(tmp_path, source):
    ds = str(tmp_path / "ds")
    made = told("create", ds, source, "--message", "first", "--tag", "raw")
    assert made.keys() >= {"dataset", "version", "rows"}
    assert (made["dataset"], made["version"], made["rows"], made["added"]) == (ds, 1, 8, 8)
    assert made["io"]["bytes_written"] > 0
    more = parquet(tmp_path / "raw/2.parquet", {"id": [8], "text": ["z"], "score": [1.0]})
    made = told("append", ds, source, more, "--tag", "more")
    assert (made["version"], made["rows"], made["added"], made["committed"]) == (2, 9, 1, True)
    made = told("append", ds, more, "--tag", "same")
    assert (made["version"], made["rows"], made["committed"]) == (2, 9, False)
    made = told("drop", ds, "--where", "score < 0", "--tag", "clean", "-m", "negative")
    assert (made["version"], made["rows"], made["dropped"]) == (3, 8, 1)
    tags = {v["version"]: v["tags"] for v in told("log", ds)["versions"]}
    assert tags == {1: ["raw"], 2: ["more", "same"], 3: ["clean"]}


def test_profile(ds, source):
    found = told("profile", ds)
    assert found["rows"] == 8
    assert list(found["columns"]) == ["id", "text", "score"]
    names = {"type", "count", "nulls", "min", "max", "mean", "std", "distinct", "quantiles", "top"}
    for column in found["columns"].values():
        assert column.keys() >= {*names, "histogram"}
    ((low, high, mean, distinct),) = sql(
        "select min(score), max(score), avg(score), count(distinct score) from t", t=TABLE
    )
    score = found["columns"]["score"]
    assert (score["min"], score["max"], score["distinct"]) == (low, high, distinct)
    assert score["mean"] == pytest.approx(mean)
    assert score["nulls"] == 1
    assert found["columns"]["text"]["top"][0]["count"] == 2
    assert told("profile", source)["columns"] == found["columns"]  # however it is stored
    assert list(told("profile", ds, "--columns", "score, id")["columns"]) == ["score", "id"]


def test_check(ds, source, tmp_path):
    found = told("check", ds, "--against", source)
    assert found.keys() >= {"data", "against", "passed", "rows", "findings", "checked"}
    assert (found["passed"], found["findings"], found["rows"]) == (True, [], 8)
    made = told("check", ds, "--infer", tmp_path / "s.yaml")
    assert made["columns"] == ["id", "text", "score"]
    other = parquet(tmp_path / "other.parquet", TABLE.drop(["text"]))
    (finding,) = told("check", other, "--against", tmp_path / "s.yaml", code=1)["findings"]
    assert (finding["rule"], finding["column"]) == ("missing_column", "text")


def test_dedup(ds, tmp_path):
    found = told("dedup", ds, "--on", "text")
    assert found.keys() >= {"rows", "clusters", "duplicates", "kept"}
    assert (found["rows"], found["clusters"], found["duplicates"], found["kept"]) == (8, 4, 4, 4)
    assert "version" not in found
    found = told("dedup", ds, "--on", "text,id", "--out", tmp_path / "out")
    assert (found["duplicates"], found["on"]) == (0, ["text", "id"])
    found = told("dedup", ds, "--on", "text", "--drop", "--tag", "unique")
    assert (found["version"], found["kept"]) == (2, 4)
    assert told("show", f"{ds}@unique")["rows"] == 4


def test_embed(ds):
    options = ("--column", "text", "--dimension", "16", "--name", "v")
    made = told("embed", ds, *options, "--tag", "e", "-m", "vectors")
    assert made.keys() >= {"dataset", "version", "rows", "columns_added", "committed", "column"}
    assert (made["version"], made["rows"], made["column"], made["committed"]) == (2, 8, "v", True)
    assert told("show", f"{ds}@e")["columns"]["v"] == "fixed_size_list<item: float>[16]"
    found = told("dedup", ds, "--on", "v", "--method", "semantic")
    assert (found["clusters"], found["duplicates"]) == (4, 4)
    assert told("embed", ds, *options, code=2)["error"]["code"] == "schema"


def test_history(ds):
    told("drop", ds, "--where", "id < 2", "-m", "two")
    found = told("log", ds)
    names = {"version", "parent", "job", "message", "rows", "tags", "at", "bytes_written"}
    assert all(version.keys() >= names for version in found["versions"])
    assert [v["rows"] for v in found["versions"]] == [6, 8]
    assert len(told("log", ds, "--limit", "1")["versions"]) == 1
    found = told("diff", f"{ds}@1", "@2")
    assert found.keys() >= {"added", "removed", "updated", "columns_added", "columns_removed"}
    assert (found["added"], found["removed"], found["updated"]) == (0, 2, 0)
    assert told("diff", f"{ds}@1", ds)["removed"] == 2
    assert told("show", ds)["columns"] == {"id": "int64", "text": "string", "score": "double"}
    assert told("tag", f"{ds}@1", "first")["version"] == 1
    assert told("tag", ds, "first", code=2)["error"]["code"] == "ref-exists"
    assert told("tag", ds, "first", "--force")["version"] == 2
    assert told("tag", ds, "first", "--delete")["name"] == "first"
    assert told("branch", f"{ds}@1", "side")["name"] == "side"
    assert told("drop", f"{ds}@side", "--where", "id = 0")["rows"] == 7
    made = told("restore", ds, "1", "--tag", "again")
    assert (made["version"], made["rows"]) == (3, 8)
    assert told("verify", ds)["ok"] is True
    assert told("gc", ds)["versions"] == 0


def test_explain():
    codes = told("explain")["codes"]
    assert set(codes) == {kind.code for kind in every()}
    for code in codes:
        found = told("explain", code)
        assert found["exit_code"] in (2, 3, 4)
        assert len(found["explanation"]) > 40
    assert told("explain", "no-such", code=2)["error"]["code"] == "usage"


MUTATING = {
    "create": ["{place}/new", "{place}/raw/*.parquet"],
    "append": ["{place}/ds", "{place}/more.parquet"],
    "drop": ["{place}/ds", "--where", "id < 3"],
    "restore": ["{place}/ds", "1"],
    "gc": ["{place}/ds", "--older-than", "0d"],
    "run": ["{place}/job.yaml"],
    "dedup": ["{place}/ds", "--on", "text", "--drop", "--out", "{place}/out"],
    "embed": ["{place}/ds", "--column", "text"],
    "score": ["{place}/ds", "--label", "text"],
    "update": ["{place}/ds", "{place}/fix.csv", "--on", "id"],
}


@pytest.mark.parametrize("where", ["local", pytest.param("s3", marks=pytest.mark.s3)])
def test_dry_runs_write_nothing(tmp_path, request, where):
    place = str(tmp_path) if where == "local" else f"s3://{request.getfixturevalue('bucket')}"
    source = parquet(f"{place}/raw/1.parquet", TABLE)
    parquet(f"{place}/more.parquet", TABLE)
    assert dsm("create", f"{place}/ds", source).code == 0
    assert dsm("drop", f"{place}/ds", "--where", "id = 7").code == 0
    job = tmp_path / "job.yaml"
    steps = "[{drop: {where: id = 1}}, {dedup: {on: text, drop: true}}, {tag: {name: x}}]"
    job.write_text(f"{{name: j, dataset: '{place}/ds', steps: {steps}}}")
    put(f"{place}/fix.csv", b"id,text\n1,mended\n")
    before = objects(place), objects(tmp_path)
    for verb, args in MUTATING.items():
        given = [arg.format(place=place) for arg in args] if verb != "run" else [str(job)]
        named = [] if verb in ("gc", "run") else ["--tag", "t"]
        found = told(verb, *given, "--dry-run", *named)
        assert (objects(place), objects(tmp_path)) == before, verb
        assert found.get("dry_run", True) is True
        assert not found.get("committed")
    drops = told("drop", f"{place}/ds", "--where", "id < 3", "--dry-run")
    assert (drops["dropped"], drops["rows"], drops["version"]) == (3, 4, 2)
    assert told("dedup", f"{place}/ds", "--on", "text", "--drop", "--dry-run")["duplicates"] == 3


# `submit` wants a cluster that outlives it: see tests/cluster.
@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in ("demo", "submit")])
def test_text_is_for_people(ds, tmp_path, verb):
    """Text, and no JSON, without --json; with --quiet nothing at all."""
    args = {
        "create": [tmp_path / "new", tmp_path / "raw"], "append": [ds, tmp_path / "raw"],
        "profile": [ds], "dedup": [ds, "--on", "text"], "drop": [ds, "--where", "id = 1"],
        "drift": [ds, ds], "check": [ds, "--against", ds],
        "log": [ds], "show": [ds], "diff": [ds, ds], "tag": [ds, "t"], "branch": [ds, "b"],
        "restore": [ds, "1"], "verify": [ds], "gc": [ds], "explain": ["schema"],
        "index": ["ls", ds], "embed": [ds, "--column", "text"],
        "score": [ds, "--label", "text"], "update": [ds, tmp_path / "fix.csv", "--on", "id"],
        "issues": [ds],
    }.get(verb)  # fmt: skip
    if verb == "issues":  # there have to be scores
        assert dsm("embed", ds, "--column", "text").code == 0
        assert dsm("score", ds, "--embedding", "text_embedding").code == 0
    (tmp_path / "fix.csv").write_text("id,text\n1,mended\n")
    if args is None:
        job = tmp_path / "job.yaml"
        job.write_text(f"{{name: j, dataset: '{ds}', steps: [log]}}")
        args = [job]
    said = dsm(verb, *args)
    assert said.code == 0, said.err
    assert said.out.strip()
    with pytest.raises(json.JSONDecodeError):
        json.loads(said.out)
    assert "Traceback" not in said.err
    if verb in ("log", "show", "diff", "profile", "verify", "gc"):
        assert dsm(verb, *args, "--quiet").out == ""


def test_help_of_every_verb():
    overview = dsm("--help")
    assert overview.code == 0
    for verb, meaning in VERBS.items():
        assert verb in overview.out
        found = dsm(verb, "--help")
        assert found.code == 0
        for option in ("--json", "--scheduler", "--workers", "--quiet"):
            assert option in found.out
        if verb in ("create", "append", "drop", "dedup", "embed", "restore"):
            for option in ("--dry-run", "--message", "--tag"):
                assert option in found.out
        assert meaning


def test_the_command_line_is_light():
    """Help, completion and mistakes do not wait for Arrow, Lance and Dask."""
    code = (
        "import sys, dsm_dask.cli, dsm_dask\n"
        "heavy = {'lance', 'dask', 'distributed', 'pyarrow', 'pandas', 'numpy', 's3fs', 'fsspec',"
        " 'sqlglot', 'pydantic', 'rich', 'jinja2'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
        "try: dsm_dask.cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0] == done.stdout.splitlines()[-1] == "[]"


def test_the_installed_programs(ds):
    """``dsm`` and ``dask dsm`` are the same."""
    from pathlib import Path

    folder = Path(sys.executable).parent
    for program in (["dsm"], ["dask", "dsm"]):
        command = [str(folder / program[0]), *program[1:], "log", ds, "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["versions"][0]["rows"] == 8


def test_a_failure_in_a_process_of_its_own(tmp_path):
    said = dsm_apart("log", tmp_path / "nothing", "--json")
    assert said.code == 2
    assert said.error["code"] == "not-a-dataset"
    assert "Traceback" not in said.err
    assert "dsm explain not-a-dataset" in said.err

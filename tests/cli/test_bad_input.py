"""Every bad input of the issue: named, with the way out, exit code 2 or 3, nothing written."""

import os

import pytest
from dsm_trials import Said, dsm, dsm_apart, flip, objects, parquet, put

from dsm_dask import storage

DATA = {"source": ["a", "b", "a"], "n": [1, 2, 3]}
HASTE = {"DSM_RETRY_SECONDS": "2", "AWS_MAX_ATTEMPTS": "1"}


@pytest.fixture
def ds(place):
    parquet(f"{place}/raw/1.parquet", DATA)
    assert dsm("create", f"{place}/ds", f"{place}/raw").code == 0
    return f"{place}/ds"


def refused(said: Said, code: str, exit_code: int, *names: str) -> dict:
    """Exit code, error code, and all names in what it says; no traceback."""
    assert said.code == exit_code, said.out + said.err
    error = said.error
    assert error["code"] == code
    for name in names:
        assert name in said.err, said.err
    assert f"dsm explain {code}" in said.err or code == "usage"
    assert "Traceback" not in said.err + said.out
    return error


def nothing(place: str, *args, code: str, exit_code: int = 2, names: tuple[str, ...] = ()) -> dict:
    """Refused, and every object of the place is as it was."""
    before = objects(place)
    error = refused(dsm(*args, "--json"), code, exit_code, *names)
    assert objects(place) == before
    return error


def test_no_such_path(place, ds):
    for path in ("nope", "nope/*.parquet", "raw/2.parquet", "raw/*.csv"):
        gone = f"{place}/{path}"
        nothing(place, "create", f"{place}/new", gone, code="not-found", names=(gone,))
        nothing(place, "append", ds, gone, code="not-found", names=(gone,))
    error = nothing(place, "profile", f"{place}/raw/2.parquet", code="not-found")
    assert error["valid"]


@pytest.mark.s3
def test_no_such_bucket(bucket):
    place = f"s3://{bucket}"
    parquet(f"{place}/raw/1.parquet", DATA)
    for verb in (
        ["create", f"{place}/ds", "s3://no-such-bucket-here/raw/*.parquet"],
        ["create", f"{place}/ds", "s3://no-such-bucket-here/raw"],
        ["profile", "s3://no-such-bucket-here/raw/1.parquet"],
    ):
        nothing(place, *verb, code="not-found", names=("no-such-bucket-here",))
    for verb in ("log", "show", "verify"):
        said = dsm(verb, "s3://no-such-bucket-here/ds", "--json")
        assert said.code == 2
        assert said.error["code"] in ("not-found", "not-a-dataset")
        assert "no-such-bucket-here" in said.err


@pytest.mark.s3
def test_no_such_bucket_for_the_dataset(s3, bucket):
    parquet(f"s3://{bucket}/raw/1.parquet", DATA)
    try:
        said = dsm("create", "s3://no-such-bucket-there/ds", f"s3://{bucket}/raw", "--json")
        refused(said, "not-found", 2, "no-such-bucket-there")
        assert objects("s3://no-such-bucket-there") == {}
    finally:
        s3.remove_bucket("no-such-bucket-there")


@pytest.mark.parametrize("kind", ["truncated", "no parquet", "empty", "footer", "tiny"])
def test_files_that_are_no_parquet(place, ds, kind):
    good = storage.read(f"{place}/raw/1.parquet")
    start = len(good) - 8 - int.from_bytes(good[-8:-4], "little")
    content = {
        "truncated": good[: len(good) // 2],
        "no parquet": b"id,name\n1,hello\n2,world\n" * 20,
        "empty": b"",
        "footer": good[:start] + b"\xff" * 32 + good[start + 32 :],
        "tiny": b"PAR1",
    }[kind]
    bad = put(f"{place}/bad/1.parquet", content)
    for verb in (
        ["create", f"{place}/new", bad],
        ["create", f"{place}/new", f"{place}/raw", f"{place}/bad"],
        ["create", f"{place}/new", bad, "--copy"],
        ["append", ds, bad],
        ["profile", bad],
        ["dedup", bad, "--on", "n"],
    ):
        nothing(place, *verb, code="corrupt-file", names=(bad,))


def test_a_damaged_page(place, ds):
    """The footer is fine; what it points to is not."""
    source = f"{place}/raw/1.parquet"
    content = storage.read(source)
    bad = put(f"{place}/bad/1.parquet", content[:4] + b"\xff" * 40 + content[44:])
    before = objects(place)
    said = dsm("profile", bad, "--json")
    assert said.code in (2, 3)
    assert bad in said.err
    assert "row groups 0 to 0" in said.err
    assert objects(place) == before
    said = dsm("create", f"{place}/new", bad, "--copy", "--json")
    assert said.code in (2, 3)
    assert bad in said.err
    assert not [uri for uri in objects(f"{place}/new") if "/_versions/" in uri]


def test_skipping_a_damaged_file(tmp_path):
    """--on-error skip: exit code 3, and the file is listed with its row groups and the cause."""
    numbers = {"n": list(range(400_000))}
    parquet(tmp_path / "raw/1.parquet", numbers)
    content = storage.read(parquet(tmp_path / "raw/2.parquet", numbers))
    bad = put(tmp_path / "raw/2.parquet", content[:4] + b"\xff" * 4000 + content[4004:])
    assert dsm("create", tmp_path / "ds", tmp_path / "raw").code == 0
    said = dsm("profile", tmp_path / "ds", "--on-error", "skip", "--json")
    assert said.code == 3
    (skipped,) = said.json["skipped"]
    assert skipped["partition"].startswith(f"{bad} (row groups 0 to 0)")
    assert said.json["rows"] == 400_000
    assert dsm("profile", tmp_path / "ds", "--json").code in (2, 3)
    said = dsm("profile", tmp_path / "ds", "--on-error", "skip")
    assert bad in said.err
    said = dsm("drop", tmp_path / "ds", "--where", "n < 5", "--on-error", "skip", "--json")
    assert (said.code, said.json["dropped"]) == (3, 5)


@pytest.mark.parametrize("linked", [True, False], ids=["dataset", "files"])
def test_of_small_files_read_together_only_the_damaged_one_is_skipped(tmp_path, linked):
    for number in range(6):
        parquet(tmp_path / f"raw/{number}.parquet", {"n": [number] * 1000})
    data = tmp_path / "raw"
    if linked:
        data = tmp_path / "ds"
        assert dsm("create", data, tmp_path / "raw").code == 0
    place = tmp_path / "raw/4.parquet"
    content = storage.read(str(place))
    before = place.stat()
    place.write_bytes(content[:4] + b"\xff" * 40 + content[44:])
    os.utime(place, ns=(before.st_atime_ns, before.st_mtime_ns))
    said = dsm("profile", data, "--on-error", "skip", "--json")
    assert said.code == 3
    (skipped,) = said.json["skipped"]
    assert skipped["partition"].startswith(str(place))
    top = {one["value"]: one["count"] for one in said.json["columns"]["n"]["top"]}
    assert top == {number: 1000 for number in range(6) if number != 4}


def test_unknown_columns(place, ds):
    for verb in (
        ["profile", ds, "--columns", "sorce"],
        ["dedup", ds, "--on", "sorce"],
        ["dedup", ds, "--on", "sorce", "--drop"],
        ["dedup", f"{place}/raw", "--on", "n,sorce", "--out", f"{place}/out"],
        ["drop", ds, "--where", "sorce = 'a'"],
    ):
        error = nothing(place, *verb, code="unknown-column", names=("'sorce'", "'source'"))
        assert "Did you mean 'source'?" in error["valid"]


def test_bad_conditions(place, ds):
    for where in ("n <", "n = 'x'", "n", "rm(n) = 1", "n = 1; select 2"):
        error = nothing(place, "drop", ds, "--where", where, code="invalid-expression")
        assert where.split(" ")[0] in error["what"]
        assert "<class" not in error["what"]


def test_datasets_that_are_there_or_not(place, ds):
    nothing(place, "create", ds, f"{place}/raw", code="dataset-exists", names=(ds, "append"))
    for verb in (
        ["append", f"{place}/nods", f"{place}/raw"],
        ["drop", f"{place}/nods", "--where", "n = 1"],
        ["dedup", f"{place}/nods@1", "--on", "n"],
        ["log", f"{place}/nods"],
        ["tag", f"{place}/nods", "x"],
        ["branch", f"{place}/nods", "x"],
        ["restore", f"{place}/nods", "1"],
        ["verify", f"{place}/nods"],
        ["gc", f"{place}/nods"],
        ["diff", f"{place}/nods@1", "@2"],
    ):
        nothing(place, *verb, code="not-a-dataset", names=(f"{place}/nods",))
    for verb in (["show", f"{ds}@7"], ["drop", f"{ds}@cleen", "--where", "n = 1"]):
        nothing(place, *verb, code="unknown-version", names=(ds,))
    nothing(place, "restore", ds, "9", code="unknown-version", names=("9",))
    nothing(place, "tag", ds, "7", code="invalid-name", names=("'7'",))
    nothing(place, "create", f"{place}/new@x", f"{place}/raw", code="usage")


def test_files_that_disagree(place, ds):
    other = parquet(f"{place}/other/2.parquet", {"source": [1], "n": [1]})
    one = f"{place}/raw/1.parquet"
    names = ("'source'", one, other)
    nothing(place, "create", f"{place}/new", one, other, code="schema", names=names)
    nothing(place, "append", ds, other, code="schema", names=("'source'", other))


@pytest.mark.parametrize("how", ["overwritten", "gone", "same size"])
def test_a_source_that_changed_after_linking(place, ds, how):
    source = f"{place}/raw/1.parquet"
    if how == "overwritten":
        parquet(source, {"source": ["z"], "n": [9]})
    elif how == "gone":
        storage.delete(source)
    else:
        flip(source, 10)
    for verb in (
        ["profile", ds],
        ["dedup", ds, "--on", "source", "--drop"],
        ["drop", ds, "--where", "n = 1"],
    ):
        nothing(place, *verb, code="source-changed", names=(source, "verify"))
    if how != "gone":
        nothing(place, "append", ds, f"{place}/raw", code="source-changed", names=(source,))
    before = objects(place)
    said = dsm("verify", ds, "--json")
    assert (said.code, said.json["damaged"][0]["uri"]) == (1, source)
    assert objects(place) == before


VERBS = [
    ["create", "{place}/new", "{place}/raw"],
    ["log", "{ds}"],
    ["drop", "{ds}", "--where", "n = 1"],
]


@pytest.mark.s3
@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb[0])
def test_wrong_credentials(bucket, verb):
    place = f"s3://{bucket}"
    parquet(f"{place}/raw/1.parquet", DATA)
    assert dsm("create", f"{place}/ds", f"{place}/raw").code == 0
    before = objects(place)
    args = [arg.format(place=place, ds=f"{place}/ds") for arg in verb]
    wrong = {"AWS_SECRET_ACCESS_KEY": "not-the-right-secret", **HASTE}
    said = dsm_apart(*args, "--workers", "0", "--json", env=wrong)
    refused(said, "access-denied", 2, place, "AWS_")
    assert "not-the-right-secret" not in said.out + said.err
    assert objects(place) == before


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb[0])
def test_endpoint_down(tmp_path, verb):
    env = {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "us-east-1", **HASTE,
    }  # fmt: skip
    args = [arg.format(place="s3://lake", ds="s3://lake/ds") for arg in verb]
    said = dsm_apart(*args, "--workers", "0", "--json", env=env, timeout=30)
    refused(said, "store-unreachable", 3, "127.0.0.1:9", "AWS_ENDPOINT_URL")


def test_an_unreachable_scheduler(ds, place):
    before = objects(place)
    said = dsm("profile", ds, "--scheduler", "nonsense://127.0.0.1:9", "--json")
    refused(said, "cluster", 3, "nonsense://127.0.0.1:9", "--scheduler")
    assert objects(place) == before


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["drpo", "x"], "'drop'"),
        (["drop", "x"], "--where"),
        (["create"], "DATASET"),
        (["create", "x"], "SOURCES"),
        (["log", "x", "--limit", "0"], "--limit"),
        (["log", "x", "--colour"], "--colour"),
        (["gc", "x", "--older-than", "1y"], "1y"),
        (["dedup", "x", "--on", "a", "--method", "magic"], "magic"),
        (["profile", "x", "--workers", "-1"], "--workers"),
        (["profile", "x", "--workers", "2", "--scheduler", "tcp://127.0.0.1:9"], "not both"),
        (["profile", "s3://lake/x", "--endpoint-url", "localhost:9000"], "'localhost:9000'"),
        (["run"], "job"),
        (["explain", "shema"], "'schema'"),
    ],
)
def test_mistakes_on_the_command_line(args, says):
    said = dsm(*args, "--json")
    assert said.code == 2
    assert said.json["error"]["code"] == "usage"
    assert says in said.err
    assert "Traceback" not in said.err


def test_debug_shows_the_traceback(tmp_path):
    said = dsm("log", tmp_path / "nothing", "--debug")
    assert said.code == 2
    assert "Traceback" in said.err
    assert said.out == ""

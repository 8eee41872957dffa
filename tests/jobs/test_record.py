"""Records of runs: names, heartbeats, one driver at a time, cancelling, what is told."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import threading
import time

import pytest
from dsm_trials import dsm, inline, parquet
from hypothesis import given
from hypothesis import strategies as st

from dsm_dask import storage
from dsm_dask.dataset.history import log
from dsm_dask.errors import CommitConflict, Interrupted, NotFound, UnknownColumn, UsageError
from dsm_dask.jobs.driver import drive, enter, enter_again
from dsm_dask.jobs.heart import Heard, Heart, claim, seconds_between_beats
from dsm_dask.jobs.record import MISSED, Run, ask_to_cancel, find, load, log_lines, now, runs
from dsm_dask.jobs.spec import parse_job
from dsm_dask.progress import Silent


@pytest.fixture(autouse=True)
def _quick_heart(monkeypatch):
    monkeypatch.setenv("DSM_HEARTBEAT_SECONDS", "0.05")


@pytest.fixture
def text(tmp_path) -> str:
    source = parquet(tmp_path / "a.parquet", {"n": [1, 2, 3, 3]})
    steps = f"[{{create: {{sources: '{source}'}}}}, {{drop: {{where: n = 1}}}}, profile]"
    return f"{{name: weekly, dataset: '{tmp_path}/ds', steps: {steps}}}"


@pytest.fixture
def run(text) -> Run:
    entered = enter(parse_job(text), text, "client")
    assert entered is not None
    return entered


def test_a_run_from_beginning_to_end(run, text, tmp_path):
    assert load(run).state == "queued"
    with inline() as engine:
        found = drive(run, engine=engine)
    record = load(run)
    assert (record.state, record.exit_code, record.version) == ("done", 0, 2)
    assert [step["verb"] for step in record.steps] == ["create", "drop", "profile"]
    assert record.io == found.io
    total = sum(step["io"]["bytes_read"] for step in record.steps)
    assert 0 < total <= record.io["bytes_read"]
    assert record.ended is not None
    assert record.began <= record.ended
    assert storage.read(run.place("job.yaml")).decode() == text
    assert json.loads(storage.read(run.place("result.json")))["version"] == 2
    said = "\n".join(log_lines(run))
    for words in ("Attempt 1 of weekly", "Step 2 of 3: drop", "Done, exit code 0"):
        assert words in said
    shown = dsm("jobs", "show", f"{tmp_path}/ds")
    assert shown.code == 0
    assert "planned" in shown.out
    assert dsm("jobs", "wait", run).code == 0


def test_findings_and_failures_have_their_exit_code(tmp_path):
    source = parquet(tmp_path / "a.parquet", {"n": [1]})
    (tmp_path / "schema.yaml").write_text("columns: {n: {type: int64, max: 0}}\n")
    steps = (
        "[{create: {sources: '%s'}}, {check: {against: '%s/schema.yaml'}}, {drop: {where: m=1}}]"
    )
    job = tmp_path / "job.yaml"
    head = f"name: j\ndataset: '{tmp_path}/ds'\nsteps: {steps % (source, tmp_path)}\n"
    job.write_text(head)
    assert dsm("run", job).code == 1
    assert dsm("jobs", "wait", f"{tmp_path}/ds").code == 1
    job.write_text(head.replace("schema.yaml'}", "schema.yaml', fail: false}"))
    assert dsm("run", job).code == 2
    listed = dsm("jobs", f"{tmp_path}/ds", "--json").json["jobs"]
    assert [one["state"] for one in listed] == ["failed", "done"]
    assert listed[0]["error"]["code"] == "unknown-column"
    shown = dsm("jobs", "show", f"{tmp_path}/ds").out
    assert "unknown-column: " in shown
    assert "resume" not in shown  # it would fail again


def test_no_record_where_there_is_no_dataset(tmp_path):
    job = tmp_path / "job.yaml"
    job.write_text(f"{{name: j, dataset: '{tmp_path}/none', steps: [profile]}}")
    assert dsm("run", job).code == 2
    assert not (tmp_path / "none").exists()


def test_one_of_many_drivers_gets_an_attempt(run):
    barrier, got = threading.Barrier(8), []

    def try_it() -> None:
        barrier.wait()
        got.append(claim(run))

    threads = [threading.Thread(target=try_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == list(range(1, 9))
    assert run.attempts() == 8


def beating(run: Run) -> Heart:
    record = dataclasses.replace(load(run), state="running", attempt=claim(run))
    return Heart(run, record)


def until(true) -> None:
    stop = time.monotonic() + 20
    while not true():
        assert time.monotonic() < stop
        time.sleep(0.01)


def test_a_driver_that_was_overtaken_gives_up_and_writes_nothing(run):
    with beating(run) as old, beating(run) as new:
        until(lambda: old.is_overtaken)
        with pytest.raises(CommitConflict):
            old.heed()
        old.end(state="failed")
        new.heed()
        assert load(run).attempt == 2
        assert load(run).state == "running"


def test_a_heart_beats_and_silence_is_death(run):
    with beating(run):
        first = load(run).beat
        until(lambda: load(run).beat > first)
        assert load(run).seen() == "running"
    record = load(run)
    beat = dt.datetime.fromisoformat(record.beat)
    nearly = dt.timedelta(seconds=MISSED * record.every * 0.99)
    assert record.seen(beat + nearly) == "running"
    assert record.seen(beat + nearly * 1.02) == "lost"
    assert dataclasses.replace(record, state="done").seen(beat + nearly * 9) == "done"


def test_a_store_that_is_away_for_a_while_is_told(run, monkeypatch):
    with beating(run):
        real, failed = storage.write, []

        def away(*given, **named):
            failed.append(given)
            raise NotFound("The store is away.")

        monkeypatch.setattr(storage, "write", away)
        until(lambda: len(failed) > 1)
        monkeypatch.setattr(storage, "write", real)
        until(lambda: any("away" in line for line in log_lines(run)))


def test_cancelled_between_tasks(run, text):
    """The engine's next report ends the work; what was committed stays, and the run goes on."""
    ask_to_cancel(dataclasses.replace(run))
    assert load(run).state == "cancelled"  # it had no driver
    enter_again(run)
    with inline() as engine:
        progress = engine.progress

        class Slow(Silent):
            def start(self, label: str, total: int) -> None:
                if not storage.exists(run.place("cancel")):
                    ask_to_cancel(run)
                    until(lambda: any("Cancelling" in line for line in log_lines(run)))

        engine.progress = Slow()
        with pytest.raises(Interrupted, match="cancelled"):
            drive(run, engine=engine)
        assert (load(run).state, load(run).exit_code) == ("cancelled", 3)
        assert f"dsm jobs resume '{run}'" in dsm("jobs", "show", run).out
        engine.progress = progress
        enter_again(run)
        drive(run, engine=engine)
    assert (load(run).state, load(run).attempt) == ("done", 2)
    assert [version.job for version in log(run.dataset).versions] == ["drop", "create"]


def test_progress_is_told(run):
    with beating(run) as heart:
        heard = Heard(heart, Silent())
        heard.start("Reading", 10)
        heard.advance(4)
        until(lambda: load(run).progress == {"label": "Reading", "done": 4, "total": 10})
    (listed,) = dsm("jobs", run.dataset, "--json").json["jobs"]
    assert listed["progress"]["done"] == 4
    assert "Reading" in dsm("jobs", run.dataset).out


def test_resuming_here(run, tmp_path):
    said = dsm("jobs", "resume", run, "--json")
    assert said.code == 0, said.err
    assert said.json["state"] == "done"
    assert dsm("jobs", "resume", run).out.strip().endswith("nothing left to do.")


def test_runs_are_found_by_the_beginning_of_their_name(run, text, tmp_path):
    time.sleep(0.01)  # names sort by millisecond
    other = enter(parse_job(text), text, "client")
    assert runs(run.dataset) == [other, run]
    assert find(run.dataset) == other
    assert find(str(run)) == run
    assert find(f"{run.dataset}#{run.id[:-2]}") == run
    with pytest.raises(UsageError, match="2 runs begin"):
        find(f"{run.dataset}#20")
    for name in (f"{run.dataset}#none", str(tmp_path / "other")):
        with pytest.raises(NotFound):
            find(name)
    assert dsm("jobs", tmp_path / "other").out.startswith("no run")
    assert dsm("jobs", run.dataset, "--limit", "1", "--json").json["more"] == 1


@pytest.mark.parametrize("content", ["", '{"run": "x', "[]", "{}", '{"steps": 3}', "\xff"])
def test_a_record_that_is_none(run, text, content):
    """Half written, say: it is named, and the other runs are listed."""
    storage.write(run.place("record.json"), content.encode("latin-1"))
    for action in ("show", "wait", "resume", "cancel"):
        said = dsm("jobs", action, run, "--json")
        assert (said.code, said.error["code"]) == (2, "dataset-damaged"), action
        assert run.id in said.err
    other = enter(parse_job(text), text, "client")
    listed = dsm("jobs", run.dataset, "--json").json
    assert [one["run"] for one in listed["jobs"]] == [str(other)]
    assert listed["unreadable"] == [run.id]


def test_a_record_that_is_none_does_not_keep_gc_from_its_work(run, tmp_path):
    with inline() as engine:
        drive(run, engine=engine)
    other = Run.new(run.dataset, "weekly")
    storage.write(other.place("record.json"), b"[]")
    assert dsm("gc", run.dataset, "--older-than", "0d", "--json").json["jobs"] == [str(run)]
    assert runs(run.dataset) == [other]  # nobody can tell whether it is over


def skewed(run: Run, hours: float) -> None:
    """The record as a driver wrote it by a clock that is so far ahead."""
    at = dt.datetime.now(dt.UTC) + dt.timedelta(hours=hours)
    record = dataclasses.replace(load(run), state="running", beat=at.isoformat(), every=0.05)
    record.save()


def test_a_driver_that_died_with_its_clock_ahead(run):
    """By the clocks it lives for an hour: nobody who watches believes that."""
    skewed(run, +1)
    assert load(run).seen() == "running"
    assert dsm("jobs", "wait", run, "--json", "--timeout", "30").json["state"] == "lost"
    assert dsm("jobs", "resume", run, "--json").json["state"] == "done"


def test_a_driver_that_lives_with_its_clock_behind(run):
    """By the clocks it is lost, but it gives signs: it is waited for."""
    skewed(run, -1)
    done = threading.Event()

    def beats() -> None:
        for minute in range(20):
            time.sleep(0.03)
            skewed(run, -1 + minute / 60)
        dataclasses.replace(load(run), state="done", exit_code=0).save()
        done.set()

    thread = threading.Thread(target=beats)
    thread.start()
    said = dsm("jobs", "wait", run, "--json", "--timeout", "30")
    thread.join()
    assert (said.code, said.json["state"]) == (0, "done")
    assert done.is_set()


def test_a_driver_that_gives_signs_is_not_resumed(run):
    with beating(run):
        said = dsm("jobs", "resume", run, "--json")
    assert (said.code, said.error["code"]) == (2, "usage")
    assert run.attempts() == 1


def test_a_step_that_failed_does_not_run(run, text, tmp_path):
    bad = text.replace("n = 1", "m = 1")
    entered = enter(parse_job(bad), bad, "client")
    with inline() as engine, pytest.raises(UnknownColumn):
        drive(entered, engine=engine)
    assert [step["state"] for step in load(entered).steps] == ["done", "failed", "waiting"]


def test_a_dataset_with_a_number_sign_in_its_name(text, tmp_path):
    odd = str(tmp_path / "a#b ü%20")
    job = tmp_path / "job.yaml"
    job.write_text(text.replace(f"{tmp_path}/ds", odd))
    assert dsm("run", job).code == 0
    (made,) = runs(odd)
    for name in (str(made), f"{odd}#{made.id[:8]}", f"{odd}#", odd):
        assert dsm("jobs", "show", name, "--json").json["run"] == str(made)


@pytest.mark.s3
def test_a_bucket_that_is_misspelt(s3):
    said = dsm("jobs", "s3://no-such-bucket/ds", "--json")
    assert (said.code, said.error["code"]) == (2, "not-found")


@given(st.text(st.characters(exclude_characters="#"), max_size=20))
def test_names_do_not_leave_the_folder(name):
    """Whatever is taken as a name is one step below the folder of runs."""
    try:
        run = Run.parse("/data/ds#" + name)
    except UsageError:
        return
    assert storage.normalise(run.folder) == f"/data/ds/_dsm/jobs/{name}"


@pytest.mark.parametrize("name", ["../x", "..", ".", "a/b", "", "#", "/etc"])
def test_names_that_are_refused(name):
    with pytest.raises(UsageError):
        Run.parse("/data/ds#" + name)


@pytest.mark.parametrize("given", ["0", "-1", "often", "nan", "1e9"])
def test_a_heartbeat_that_makes_no_sense(given, monkeypatch):
    monkeypatch.setenv("DSM_HEARTBEAT_SECONDS", given)
    with pytest.raises(UsageError):
        seconds_between_beats()


def test_times_sort_as_text():
    assert now() <= now()


def test_words_that_are_no_action(tmp_path):
    for words in (["shw", "x"], [], ["show", "a", "b"]):
        assert dsm("jobs", *words).code == 2

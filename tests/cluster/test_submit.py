"""Jobs that a cluster drives, and what happens when parts of it die."""

from __future__ import annotations

import os
import signal

import pytest
from dask_processes import until, waiting
from distributed import Client
from dsm_trials import dsm, dsm_apart, objects, parquet

from dsm_dask import storage
from dsm_dask.dataset.history import log
from dsm_dask.dataset.version import open_dataset
from dsm_dask.jobs.record import Run, load, log_lines

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.filterwarnings("ignore:.*no worker yet:dsm_dask.connection.ClusterWarning"),
]

STEPS = """
steps:
  - create: {sources: '%(place)s/raw/*.parquet'}
  - profile: {columns: [n]}
  - drop: {where: n < 3}
  - dedup: {on: text, drop: true}
  - tag: {name: good}
"""


def job_on(place: str, folder) -> str:
    for index in range(3):
        numbers = range(index * 20, index * 20 + 20)
        rows = {"n": numbers, "text": [f"t{n % 25}" for n in numbers]}
        parquet(f"{place}/raw/{index}.parquet", rows)
    job = folder / "job.yaml"
    job.write_text(f"name: weekly\ndataset: '{place}/ds'{STEPS % {'place': place}}")
    return str(job)


def submitted(cluster, job: str, *options: str) -> Run:
    said = dsm("submit", job, "--scheduler-file", cluster.file, "--allow-local", "--json", *options)
    assert said.code == 0, said.err
    return Run.parse(said.json["run"])


def step(run: Run) -> str:
    return next((s["verb"] for s in load(run).steps if s["state"] == "running"), "")


def versions(run: Run) -> list[str]:
    return [version.job for version in log(run.dataset).versions]


@pytest.mark.s3
def test_a_job_goes_on_without_its_client(cluster, s3, bucket, tmp_path):
    """Submitted by a process that is gone; the result is that of the same job run here."""
    place = f"s3://{bucket}"
    job = job_on(place, tmp_path)
    said = dsm_apart("submit", job, "--scheduler-file", cluster.file, "--json")
    assert said.code == 0, said.err
    run = Run.parse(said.json["run"])
    waited = dsm("jobs", "wait", run, "--timeout", "60", "--json")
    assert waited.code == 0, waited.err
    record = waited.json
    assert (record["state"], record["on"], record["attempt"]) == ("done", "cluster", 1)
    assert [one["state"] for one in record["steps"]] == ["done"] * 5
    assert record["io"]["bytes_read"] > 0
    assert record["seconds"] > 0
    dataset = open_dataset(f"{place}/ds@good")
    kept = [*range(3, 25), 25, 26, 27]
    assert dataset.to_table(["n"])["n"].to_pylist() == kept
    here = dsm("run", job, "--json")
    assert here.code == 0, here.err
    assert not any(one["result"].get("committed") for one in here.json["steps"])
    listed = dsm("jobs", f"{place}/ds", "--json").json["jobs"]
    assert [(one["on"], one["state"]) for one in listed] == [
        ("client", "done"),
        ("cluster", "done"),
    ]
    assert "Step 5 of 5: tag" in dsm("jobs", "logs", run).out
    records = {uri: storage.read(uri) for uri in objects(f"{place}/ds/_dsm/jobs")}
    assert len(records) >= 10
    assert not [uri for uri, data in records.items() if s3.secret_key.encode() in data]
    logs = [path.read_text() for path in cluster.folder.glob("*.log")]
    assert len(logs) >= 2
    assert not [log for log in logs if s3.secret_key in log or s3.access_key in log]


def test_the_driver_s_worker_dies(processes, tmp_path):
    """The scheduler calls the driver again, elsewhere; what was committed is not done twice. Both
    times it is a worker that offers itself to drivers."""
    processes.scheduler()
    processes.worker()
    first = processes.worker("--resources", "dsm-driver=4")
    processes.until_workers(2)
    processes.hold.touch()
    run = submitted(processes, job_on(str(tmp_path), tmp_path))
    until(lambda: step(run) == "drop")
    assert load(run).driver.split()[1] == str(first.pid)
    os.kill(first.pid, signal.SIGKILL)
    processes.hold.unlink()
    second = processes.worker("--resources", "dsm-driver=4")
    until(lambda: load(run).is_over)
    said = dsm("jobs", "wait", run, "--timeout", "60", "--json")
    assert said.code == 0, said.err
    assert (said.json["attempt"], said.json["version"]) == (2, 3)
    assert said.json["driver"].split()[1] == str(second.pid)
    assert versions(run) == ["dedup", "drop", "create"]
    assert [line for line in log_lines(run) if "Attempt 2" in line]


def test_the_driver_s_worker_is_retired(processes, tmp_path):
    """As when a cluster shrinks, or a machine is emptied: the driver loses its tasks, which is no
    failure of the job. It goes on on the other worker."""
    processes.scheduler()
    hold = str(processes.hold)
    for _ in range(2):
        processes.worker(preload=waiting("raw/1.parquet", hold))
    processes.until_workers(2)
    processes.hold.touch()
    run = submitted(processes, job_on(str(tmp_path), tmp_path))
    until(lambda: step(run) == "profile" and load(run).progress)
    with Client(scheduler_file=str(processes.file), set_as_default=False) as client:
        (driver,) = [
            address
            for address, pid in client.run(os.getpid).items()
            if str(pid) == load(run).driver.split()[1]
        ]
        client.retire_workers([driver])
    processes.hold.unlink()
    until(lambda: load(run).is_over)
    said = dsm("jobs", "wait", run, "--timeout", "60", "--json")
    assert (said.code, said.json["state"], said.json["error"]) == (0, "done", None), said.out
    assert said.json["attempt"] == 2
    assert versions(run) == ["dedup", "drop", "create"]


def test_the_scheduler_dies(processes, tmp_path):
    """The record outlives it, says that the run is lost, and the run goes on elsewhere."""
    processes.scheduler()
    processes.worker()
    processes.hold.touch()
    run = submitted(processes, job_on(str(tmp_path), tmp_path))
    until(lambda: step(run) == "drop")
    processes.stop()
    until(lambda: load(run).seen() == "lost")
    assert dsm("jobs", "wait", run).code == 3
    shown = dsm("jobs", "show", run)
    assert "lost" in shown.out
    assert f"dsm jobs resume '{run}'" in shown.out
    processes.hold.unlink()
    processes.scheduler()
    processes.worker()
    read = load(run).steps[1]["io"]["bytes_read"]
    assert read > 0
    resumed = dsm("jobs", "resume", run, "--scheduler-file", processes.file)
    assert resumed.code == 0, resumed.err
    said = dsm("jobs", "wait", run, "--timeout", "60", "--json")
    assert said.code == 0, said.err
    assert said.json["attempt"] == 2
    assert versions(run) == ["dedup", "drop", "create"]
    assert said.json["steps"][1]["io"]["bytes_written"] == 0  # the profile was known


def test_cancelled_and_resumed(cluster, tmp_path):
    cluster.hold.touch()
    run = submitted(cluster, job_on(str(tmp_path), tmp_path))
    until(lambda: step(run) == "drop")
    busy = dsm("jobs", "resume", run, "--scheduler-file", cluster.file, "--json")
    assert (busy.code, busy.error["code"]) == (2, "usage")
    assert dsm("jobs", "cancel", run).code == 0
    until(lambda: any("Cancelling" in line for line in log_lines(run)))
    cluster.hold.unlink()
    said = dsm("jobs", "wait", run, "--timeout", "60", "--json")
    assert (said.code, said.json["state"]) == (3, "cancelled")
    assert "dedup" not in versions(run)
    assert dsm("jobs", "resume", run, "--scheduler-file", cluster.file).code == 0
    assert dsm("jobs", "wait", run, "--timeout", "60").code == 0
    assert versions(run) == ["dedup", "drop", "create"]
    assert "nothing left" in dsm("jobs", "resume", run).out


def test_no_worker_offers_itself_to_drivers_any_more(cluster, tmp_path):
    """The scheduler keeps the name of a resource that went away: nobody waits for it."""
    gone = cluster.worker("--resources", "dsm-driver=4")
    cluster.until_workers(2)
    gone.kill()
    cluster.until_workers(1)
    run = submitted(cluster, job_on(str(tmp_path), tmp_path))
    said = dsm("jobs", "wait", run, "--timeout", "60", "--json")
    assert (said.code, said.json["state"]) == (0, "done")


def test_a_job_that_fails_tells_why(cluster, tmp_path):
    job = tmp_path / "job.yaml"
    source = parquet(tmp_path / "a.parquet", {"n": [1]})
    steps = f"[{{create: {{sources: '{source}'}}}}, {{drop: {{where: m < 3}}}}]"
    job.write_text(f"{{name: bad, dataset: '{tmp_path}/ds', steps: {steps}}}")
    run = submitted(cluster, str(job))
    said = dsm("jobs", "wait", run, "--timeout", "60", "--json")
    assert (said.code, said.json["state"]) == (2, "failed")
    assert said.json["error"]["code"] == "unknown-column"
    assert "'m'" in dsm("jobs", "show", run).out

"""The way to a cluster: by file, environment, Dask's configuration, TLS; and the same software."""

from __future__ import annotations

import dataclasses
import json

import dask.system
import distributed
import pytest
from dsm_trials import dsm, dsm_apart, parquet, square

from dsm_dask.connection import ClusterWarning, Connection, address_in, connect
from dsm_dask.engine import Engine
from dsm_dask.errors import ClusterError, NotFound, UsageError, VersionMismatch
from dsm_dask.storage import IO
from dsm_dask.task import Answer
from dsm_dask.versions import PACKAGES, differences, refuse, software

pytestmark = pytest.mark.filterwarnings("ignore:.*no worker yet:dsm_dask.connection.ClusterWarning")
MINE = {**dict.fromkeys(PACKAGES, "3.4.5"), "python": "3.11.7.final.0"}


def rows(said) -> int:
    assert said.code == 0, said.err
    return said.json["rows"]


@pytest.mark.cluster
def test_by_file_environment_and_configuration(processes, tmp_path):
    """``dsm``, told in different ways where its workers are."""
    address = processes.scheduler()
    processes.worker()
    data = parquet(tmp_path / "a.parquet", {"n": range(10)})
    words = ["profile", data, "--json", "--columns", "n"]
    assert rows(dsm(*words, "--scheduler-file", processes.file)) == 10
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "dask.yaml").write_text(f"scheduler-address: {address}\n")
    assert rows(dsm_apart(*words, env={"DASK_CONFIG": str(folder)})) == 10
    both = dsm(*words, "--scheduler-file", processes.file, "--scheduler", address)
    assert (both.code, both.error["code"]) == (2, "usage")
    assert "not both" in both.err


@pytest.mark.cluster
def test_tls(processes, tmp_path, certificate, monkeypatch):
    """Both ends prove who they are; who cannot is refused, and so is plain TCP."""
    given = [*("--tls-ca-file", certificate.ca), *("--tls-cert", certificate.cert)]
    given += ["--tls-key", certificate.key, "--protocol", "tls"]
    address = processes.scheduler(*given)
    assert address.startswith("tls://")
    processes.worker(*given)
    with pytest.raises(ClusterError, match=r"distributed\.comm\.tls"), Engine(address) as engine:
        engine.start()

    tls = {"ca-file": certificate.ca, "client": {"cert": certificate.cert, "key": certificate.key}}
    settings = {
        "distributed.comm.tls.ca-file": certificate.ca,
        "distributed.comm.tls.client.cert": certificate.cert,
        "distributed.comm.tls.client.key": certificate.key,
        "distributed.comm.require-encryption": True,
    }
    with dask.config.set(settings), Engine(address) as engine:
        assert engine.map(square, [1, 2, 3]) == [1, 4, 9]
    (tmp_path / "config").mkdir()
    written = {"scheduler-address": address, "distributed": {"comm": {"tls": tls}}}
    (tmp_path / "config/tls.yaml").write_text(json.dumps(written))
    place = parquet(tmp_path / "a.parquet", {"n": [1, 2, 2]})
    steps = f"[{{create: {{sources: '{place}'}}}}, {{drop: {{where: n = 1}}}}]"
    (tmp_path / "job.yaml").write_text(f"{{name: j, dataset: '{tmp_path}/ds', steps: {steps}}}")
    said = dsm_apart(
        "submit", tmp_path / "job.yaml", "--allow-local", "--wait", "--json",
        env={"DASK_CONFIG": str(tmp_path / "config")},
    )  # fmt: skip
    assert said.code == 0, said.err
    assert (said.json["state"], said.json["version"]) == ("done", 2)


@pytest.mark.cluster
def test_other_software_is_found_before_any_work(processes, tmp_path):
    """A worker that says it has another Arrow, major or minor."""
    import pyarrow

    major, minor, *_ = pyarrow.__version__.split(".")
    address = processes.scheduler()
    for name, version in (("minor", f"{major}.{int(minor) + 1}.0"), ("major", "9.0.0")):
        info = tmp_path / name / f"pyarrow-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: pyarrow\nVersion: {version}\n"
        )
    worker = processes.worker(path=tmp_path / "minor")
    processes.until_workers(1)
    told = pytest.warns(ClusterWarning, match=r"pyarrow .* should do no harm")
    with told, Engine(address) as engine:
        assert engine.map(square, [2]) == [4]
    processes.worker(path=tmp_path / "major")
    processes.until_workers(2)
    worker.kill()
    processes.until_workers(1)
    said = dsm_apart("run", parquet_job(tmp_path), "--scheduler", address, "--json")
    assert (said.code, said.error["code"]) == (2, "version-mismatch")
    assert f"pyarrow {pyarrow.__version__} here, 9.0.0 on the worker tcp://" in said.err
    assert f"pip install pyarrow=={pyarrow.__version__}" in said.err
    assert not (tmp_path / "ds").exists()


@pytest.mark.cluster
def test_a_worker_that_joins_later_and_runs_other_software(processes, tmp_path):
    """Its answers say so: none of them is taken, whether it is asked alone or merges others'."""
    info = tmp_path / "major" / "pyarrow-9.0.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pyarrow\nVersion: 9.0.0\n")
    address = processes.scheduler()
    first = processes.worker()
    with Engine(address) as engine:
        assert engine.map(square, [2]) == [4]
        processes.worker(path=tmp_path / "major")
        processes.until_workers(2)
        first.kill()
        processes.until_workers(1)
        with pytest.raises(VersionMismatch, match=r"pyarrow .* here, 9 there"):
            engine.map(square, [2])


def test_answers_of_other_software_are_refused():
    answer = Answer((1,), IO())
    assert Answer.load(answer.dump()) == answer
    for other in ("", software().replace("dsm-dask ", "dsm-dask 9.")):
        with pytest.raises(VersionMismatch, match=r"another release|dsm-dask .* here, 9"):
            Answer.load(dataclasses.replace(answer, made_by=other).dump())


def parquet_job(folder) -> str:
    source = parquet(folder / "a.parquet", {"n": [1]})
    job = f"{{name: j, dataset: '{folder}/ds', steps: [{{create: {{sources: '{source}'}}}}]}}"
    (folder / "job.yaml").write_text(job)
    return str(folder / "job.yaml")


@pytest.mark.parametrize(
    ("package", "version", "refused"),
    [
        ("python", "3.11.9.final.0", False), ("python", "3.12.7.final.0", True),
        ("dask", "3.4.6", False), ("dask", "3.5.5", True), ("distributed", "3.5.5", True),
        ("dsm-dask", "3.4.6", True), ("numpy", "3.5.0", False), ("numpy", "4.4.5", True),
        ("pyarrow", None, True), ("pylance", "4.0.0", True), ("pylance", "3.4.6", False),
    ],
)  # fmt: skip
@pytest.mark.parametrize("where", ["scheduler", "worker"])
def test_which_differences_matter(package, version, refused, where):
    other = {**MINE, package: version}
    scheduler = other if where == "scheduler" else MINE
    workers = {"tcp://a:1": MINE, "tcp://b:2": other if where == "worker" else MINE}
    (found,) = differences(MINE, scheduler, workers)
    assert (found.package, found.refused) == (package, refused)
    assert found.who == ("the scheduler" if where == "scheduler" else "tcp://b:2")
    if not refused:
        refuse([found], "tcp://x")
        return
    with pytest.raises(VersionMismatch) as error:
        refuse([found], "tcp://x")
    assert (version or "missing").split(".final")[0] in str(error.value)
    hint = "Python 3.11.7" if package == "python" else f"{package}==3.4.5"
    assert hint in str(error.value)


def test_the_same_software_is_no_difference():
    assert differences(MINE, MINE, {"tcp://a:1": dict(MINE)}) == []


class _Cluster:
    """What a local cluster was asked for, and whether it was closed."""

    def __init__(self, **asked):
        self.asked, self.closed = asked, False
        type(self).last = self

    def close(self, timeout):
        self.closed = True


class _Client:
    @staticmethod
    def current():
        raise ValueError("there is none")

    def __init__(self, cluster, timeout):
        raise OSError("no answer")


def test_a_local_cluster_has_the_size_that_this_process_may_use(monkeypatch):
    """In a container a part of the machine; and it does not outlive a client that fails."""
    monkeypatch.setattr(dask.system, "CPU_COUNT", 3)
    monkeypatch.setattr(distributed, "LocalCluster", _Cluster)
    monkeypatch.setattr(distributed, "Client", _Client)
    with pytest.raises(ClusterError, match="no answer"):
        connect(None, None)
    assert _Cluster.last.asked["n_workers"] == 3
    assert _Cluster.last.closed


class _Slow:
    closed = False

    def close(self, timeout):
        self.closed = True
        raise TimeoutError(f"timed out after {timeout} s.")


def test_a_cluster_that_is_slow_to_go_is_no_failure():
    """On a busy machine: the result is there, and what comes after the client is closed, too."""
    client, cluster = _Slow(), _Slow()
    Connection(client, cluster).close()
    assert client.closed
    assert cluster.closed


def test_a_script_that_starts_itself_is_told_how_not_to(monkeypatch):
    def failing(**_):
        raise RuntimeError("Nanny failed to start.")

    monkeypatch.setattr(distributed, "LocalCluster", failing)
    with pytest.raises(ClusterError, match=r"Nanny failed to start\..*__main__"):
        connect(None, 2)


def test_files_that_name_no_scheduler(tmp_path):
    with pytest.raises(NotFound):
        address_in(str(tmp_path / "none.json"))
    for text in ("", "[]", "{}", "tcp://x:1"):
        (tmp_path / "f.json").write_text(text)
        with pytest.raises(UsageError, match="not a scheduler file"):
            address_in(str(tmp_path / "f.json"))


def test_an_empty_variable_is_no_address(tmp_path):
    data = parquet(tmp_path / "a.parquet", {"n": range(10)})
    words = ["profile", data, "--json", "--columns", "n", "--workers", "1"]
    assert rows(dsm_apart(*words, env={"DASK_SCHEDULER_ADDRESS": ""})) == 10


def test_nobody_there_and_no_encryption():

    address = "tcp://127.0.0.1:9"
    quick = {"distributed.comm.timeouts.connect": "0.3s"}
    with dask.config.set(quick), pytest.raises(ClusterError, match="cannot be reached"):
        Engine(address).start()
    strict = {**quick, "distributed.comm.require-encryption": True}
    with dask.config.set(strict), pytest.raises(ClusterError, match="For TLS"):
        Engine(address).start()

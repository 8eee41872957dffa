"""What is in ``cluster/`` is what those who read it take: Kubernetes, the operator, Docker,
systemd, Slurm."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from dsm_trials import parquet

from dsm_dask.connection import ALLOCATION, DRIVER
from dsm_dask.dataset.version import open_dataset

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "cluster"
MANIFESTS = [p for p in sorted((CLUSTER / "kubernetes").glob("*.yaml")) if "values" not in p.name]


def operator() -> Path:
    """The folder of the operator's package, which is not imported."""
    found = importlib.util.find_spec("dask_kubernetes")
    assert found is not None, "pip install dsm-dask[test] has it"
    (place,) = found.submodule_search_locations or ()
    return Path(place) / "operator" / "deployment" / "helm" / "dask-kubernetes-operator"


def documents() -> list[dict[str, Any]]:
    return [one for path in MANIFESTS for one in yaml.safe_load_all(path.read_text()) if one]


def strict(schema: Any) -> Any:
    """As the API server takes it: a key that the schema does not name is a mistake."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: strict(value) for key, value in schema.items()}
    open_ = found.get("x-kubernetes-preserve-unknown-fields")
    if "properties" in found and "additionalProperties" not in found and not open_:
        found["additionalProperties"] = False
    if found.pop("x-kubernetes-int-or-string", False):
        found.pop("anyOf", None)
        found["type"] = ["integer", "string"]
    return found


def crds() -> dict[str, Any]:
    """The operator's schemas, by kind."""
    found = {}
    for path in (operator() / "crds").glob("*.yaml"):
        crd = yaml.load(path.read_text(), yaml.CSafeLoader)  # thousands of lines
        schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        own = {name: {} for name in ("apiVersion", "kind", "metadata")}
        schema["properties"] = {**own, **schema["properties"]}
        found[crd["spec"]["names"]["kind"]] = strict(schema)
    return found


def test_manifests_are_as_the_operator_s_schemas_say():
    schemas = crds()
    checked = []
    for one in documents():
        if one["apiVersion"] == "kubernetes.dask.org/v1":
            jsonschema.Draft7Validator(schemas[one["kind"]]).validate(one)
            checked.append(one["kind"])
    assert set(checked) == set(schemas)
    wrong = next(one for one in documents() if one["kind"] == "DaskCluster")
    wrong["spec"]["worker"]["spec"]["containers"][0]["imagee"] = "x"
    with pytest.raises(jsonschema.ValidationError, match="imagee"):
        jsonschema.Draft7Validator(schemas["DaskCluster"]).validate(wrong)


def test_manifests_are_as_kubernetes_says():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import kubernetes_validate

        for one in documents():
            if one["apiVersion"] != "kubernetes.dask.org/v1":
                kubernetes_validate.validate(one, "1.31", strict=True)


def pods(value: Any) -> Iterator[dict[str, Any]]:
    """Every pod spec inside a manifest."""
    if isinstance(value, dict):
        if "containers" in value:
            yield value
        for inner in value.values():
            yield from pods(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from pods(inner)


def test_pods_may_do_little():
    found = [pod for one in documents() for pod in pods(one)]
    assert len(found) == 8
    for pod in found:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["automountServiceAccountToken"] is False
        assert pod["serviceAccountName"] == "dsm"
        for box in pod["containers"]:
            inside = box["securityContext"]
            assert inside["allowPrivilegeEscalation"] is False
            assert inside["readOnlyRootFilesystem"] is True
            assert inside["capabilities"] == {"drop": ["ALL"]}
            assert {"cpu", "memory", "ephemeral-storage"} <= set(box["resources"]["limits"])
            assert not box["image"].endswith(":latest")
            for variable in box.get("env", []):
                assert not re.search("KEY|SECRET|TOKEN|PASSWORD", variable["name"])
    assert not [one for one in documents() if one["kind"] == "Secret"]


def test_names_agree():
    by_kind: dict[str, list[Any]] = {}
    for one in documents():
        by_kind.setdefault(one["kind"], []).append(one)
        assert one["kind"] == "Namespace" or one["metadata"]["namespace"] == "dsm"
    (cluster,) = by_kind["DaskCluster"]
    name = cluster["metadata"]["name"]
    for kind in ("DaskWorkerGroup", "DaskAutoscaler"):
        assert {one["spec"]["cluster"] for one in by_kind[kind]} == {name}
    for one in (cluster, by_kind["DaskJob"][0]):
        spec = one["spec"] if one is cluster else one["spec"]["cluster"]["spec"]
        selector = spec["scheduler"]["service"]["selector"]
        assert selector["dask.org/cluster-name"] == one["metadata"]["name"]
    offered = json.dumps(by_kind["DaskWorkerGroup"])
    assert f"{DRIVER}=" in offered
    assert "GPU=1" in offered


def test_helm_values_are_keys_of_the_chart():
    given = yaml.safe_load((CLUSTER / "kubernetes" / "operator-values.yaml").read_text())
    known = yaml.safe_load((operator() / "values.yaml").read_text())
    assert set(given) <= set(known)
    assert set(given["rbac"]) <= set(known["rbac"])


def test_the_operator_may_run_in_its_namespace():
    """A pod that the standard ``restricted`` refuses is not started there."""
    (space,) = [one for one in documents() if one["kind"] == "Namespace"]
    assert space["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    values = yaml.safe_load((operator() / "values.yaml").read_text())
    given = yaml.safe_load((CLUSTER / "kubernetes" / "operator-values.yaml").read_text())
    of_pod, of_container = (
        {**values, **given}[n] for n in ("podSecurityContext", "securityContext")
    )
    assert {**of_pod, **of_container}["seccompProfile"] == {"type": "RuntimeDefault"}
    assert of_container["runAsNonRoot"] is True
    assert of_container["allowPrivilegeEscalation"] is False
    assert of_container["capabilities"]["drop"] == ["ALL"]


def test_a_job_that_fails_gives_its_cluster_back():
    """The operator takes the cluster away when the pod has failed; one that is started again for
    ever does not get there."""
    (job,) = [one for one in documents() if one["kind"] == "DaskJob"]
    assert job["spec"]["job"]["spec"]["restartPolicy"] == "Never"


def test_workers_spill_to_a_disk():
    """A tmpfs counts as memory: what is spilled to one would stay in it."""
    found = yaml.safe_load((CLUSTER / "compose" / "compose.yaml").read_text())
    worker = found["services"]["worker"]
    (place,) = [one.split("=")[1] for one in worker["command"] if "--local-directory" in one]
    assert place in worker["volumes"]
    assert place in (CLUSTER / "Dockerfile").read_text()  # the home of the image's user
    for pod in (pod for one in documents() for pod in pods(one)):
        assert all("medium" not in one.get("emptyDir", {}) for one in pod["volumes"])


def test_what_workers_tell_over_http_is_on_loopback():
    """Without a dashboard, too: Dask starts a server for metrics on every interface."""
    for name in (
        "slurm/dsm.sbatch",
        "ssh/start.sh",
        "local/start.sh",
        "systemd/dsm-worker@.service",
    ):
        text = (CLUSTER / name).read_text()
        assert text.count("--no-dashboard --dashboard-address 127.0.0.1:0") == 1, name


def test_scripts():
    shellcheck = Path(sys.executable).parent / "shellcheck"
    scripts = [*CLUSTER.glob("*/*.sh"), CLUSTER / "slurm" / "dsm.sbatch"]
    done = subprocess.run(
        [shellcheck, *map(str, scripts)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_memory_settings_are_the_same_everywhere():
    wanted = {**ALLOCATION, "OMP_NUM_THREADS": "1"}
    files = ["Dockerfile", "slurm/dsm.sbatch", "systemd/dsm-worker@.service", "local/start.sh"]
    for name in files:
        text = (CLUSTER / name).read_text().replace("\n", " ")
        (found,) = re.findall(r"\{\"MALLOC.*?\}", text)
        assert json.loads(found) == wanted, name


def test_the_image():
    text = (CLUSTER / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    bases = [line.split()[1] for line in lines if line.startswith("FROM")]
    assert bases == ["${BASE}", "${BASE}"]
    assert re.search(r"ARG BASE=python:3\.\d+-slim-\w+$", text, re.MULTILINE)
    assert "-c constraints.txt" in text
    user = [line for line in lines if line.startswith("USER")][-1]
    assert int(user.split()[1].split(":")[0]) > 0
    ignored = (CLUSTER / "Dockerfile.dockerignore").read_text().splitlines()
    for line in lines:
        if line.startswith("COPY") and "--from" not in line:
            for name in line.split()[1:-1]:
                assert (ROOT / name).exists()
                assert f"!{name.removeprefix('./')}" in ignored
    pinned = (ROOT / "constraints.txt").read_text()
    for name in ("dask", "distributed", "pyarrow", "pylance", "numpy", "bokeh"):
        assert re.search(rf"^{name}==", pinned, re.MULTILINE), name


def test_compose():
    found = yaml.safe_load((CLUSTER / "compose" / "compose.yaml").read_text())
    for name, service in found["services"].items():
        assert service["user"] == "10001:10001"
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert "mem_limit" in service
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        assert "environment" not in service
    context = CLUSTER / "compose" / found["services"]["worker"]["build"]["context"]
    assert (context / found["services"]["worker"]["build"]["dockerfile"]).exists()


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
@pytest.mark.parametrize("name", ["dsm-scheduler.service", "dsm-worker@.service"])
def test_systemd_units(name, tmp_path):
    """With a program that is there."""
    text = (CLUSTER / "systemd" / name).read_text().replace("/opt/dsm/bin/dask", "/bin/true")
    (tmp_path / name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / name)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    told = [line for line in done.stderr.splitlines() if name.split(".")[0].rstrip("@") in line]
    assert told == []


@pytest.mark.parametrize("folder", sorted(p.name for p in CLUSTER.iterdir() if p.is_dir()))
def test_each_folder_has_a_page(folder):
    page = (CLUSTER / folder / "README.md").read_text()
    assert re.search("prerequisite", page, re.IGNORECASE)
    assert "ashboard" in page
    assert re.search("tear down|stop|delete|cancel", page, re.IGNORECASE)
    assert f"]({folder}/README.md)" in (CLUSTER / "README.md").read_text()
    for name in re.findall(r"cluster/[\w./@-]+\.(?:sh|yaml|sbatch|service)", page):
        assert (ROOT / name).exists(), name


def programs(folder: Path, **scripts: str) -> dict[str, str]:
    """An environment in which these programs stand before all others."""
    folder.mkdir()
    for name, body in scripts.items():
        (folder / name).write_text(f"#!/bin/bash\n{body}\n")
        (folder / name).chmod(0o755)
    path = os.pathsep.join([str(folder), str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "DSM_CLUSTER_DIR": str(folder.parent / "dir")}


def small_job(folder: Path) -> Path:
    source = parquet(folder / "a.parquet", {"n": [1, 2, 3]})
    steps = f"[{{create: {{sources: '{source}'}}}}, {{drop: {{where: n = 1}}}}]"
    job = folder / "job.yaml"
    job.write_text(f"{{name: j, dataset: '{folder}/ds', steps: {steps}}}")
    return job


@pytest.mark.cluster
def test_the_slurm_script(tmp_path):
    """With an ``srun`` that starts its command once, here."""
    srun = 'while [[ $1 == --* ]]; do shift 2; done; exec "$@"'
    environment = {**programs(tmp_path / "bin", srun=srun), "SLURM_JOB_ID": "1"}
    environment |= {"DSM_INTERFACE": "lo", "SLURM_MEM_PER_CPU": "2000"}
    done = subprocess.run(
        ["bash", str(CLUSTER / "slurm" / "dsm.sbatch"), str(small_job(tmp_path)), "--json"],
        env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["version"] == 2
    assert open_dataset(f"{tmp_path}/ds").rows == 2
    assert not (tmp_path / "dir").exists()


@pytest.mark.cluster
def test_the_ssh_scripts(tmp_path):
    """With an ``ssh`` that runs its command here, as one string, as ssh does."""
    from dsm_dask.engine import Engine
    from dsm_dask.testing.s3 import free_ports

    (port,) = free_ports(1)
    ssh = 'while [[ $1 == -* ]]; do shift 2; done; shift; exec bash -c "$*"'
    environment = {**programs(tmp_path / "bin", ssh=ssh), "PORT": str(port)}
    hosts = tmp_path / "hosts"
    hosts.write_text("# the first is the scheduler's\nme@127.0.0.1\n")

    def script(name: str, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", str(CLUSTER / "ssh" / name), str(hosts), *words],
            env=environment, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    started = script("start.sh", "1")
    try:
        assert started.stdout == f"tcp://127.0.0.1:{port}\n", started.stderr
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Engine(started.stdout.strip()) as engine:
                assert engine.map(len, ["ab"]) == [2]
        assert script("start.sh", "1").returncode != 0
        assert (tmp_path / "dir").stat().st_mode & 0o077 == 0
    finally:
        assert script("stop.sh").returncode == 0
    assert not (tmp_path / "dir").exists()


def test_the_image_s_command_starts_without_network(tmp_path):
    """In a network namespace of its own, where there is nothing but itself."""
    alone = ["unshare", "--user", "--map-root-user", "--net"]
    if not shutil.which("unshare") or subprocess.run([*alone, "true"], check=False).returncode:
        pytest.skip("network namespaces are not allowed here")
    dsm = [str(Path(sys.executable).parent / "dsm")]
    job = small_job(tmp_path)
    done = subprocess.run(
        [*alone, *dsm, "run", str(job), "--workers", "0", "--json"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["version"] == 2

"""What tells functions apart that make vectors: all that is theirs, the same in every process."""

import functools
import os
import subprocess
import sys
import threading

import numpy as np
import pyarrow as pa
import pytest
from dsm_trials import parquet

from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import create
from dsm_dask.duplicates.alike import dedup_alike
from dsm_dask.duplicates.embeddings import FunctionMap
from dsm_dask.duplicates.function_identity import function_identity
from dsm_dask.duplicates.semantic import Semantic

MODULE = """
import functools
import numpy as np

CONSTANT = {constant}
STOP = lambda word: word in {{"a", "b", "c", "d"}}

def inner(text):
    return {inner}

@functools.cache
def model():
    return {model}

class Model:
    def __init__(self, scale):
        self.scale = scale

    def __call__(self, texts):
        return [[len(text) * self.scale, {item}] for text in texts]

    def method(self, texts):
        return self(texts)

def closing(held):
    return lambda texts: [[len(text), held, {item}] for text in texts]

def outer(texts, scale={default}):
    return [[inner(text), CONSTANT, model(), {item}, np.{name}(1), STOP(text)] for text in texts]

several = {{
    "function": outer, "object": Model({scale}), "method": Model({scale}).method,
    "closure": closing({scale}), "array": closing(np.arange({scale})),
    "partial": functools.partial(outer, scale={scale}),
}}
"""
PLAIN = {
    "constant": "1", "inner": "len(text)", "model": "1", "item": "1", "default": "1",
    "name": "sin", "scale": "1",
}  # fmt: skip
CHANGES = {
    "constant": "function partial",
    "inner": "function partial",
    "model": "function partial",
    "item": "function object method closure array partial",
    "default": "function partial",
    "name": "function partial",
    "scale": "object method closure array partial",
}


def identities(**changed) -> dict[str, str]:
    space = {"__name__": "models"}
    exec(MODULE.format(**{**PLAIN, **changed}), space)
    return {name: function_identity(one) for name, one in space["several"].items()}


@pytest.mark.parametrize("part", CHANGES)
def test_whatever_of_a_function_changes_it_is_another(part):
    before, again = identities(), identities()
    after = identities(**{part: "cos" if part == "name" else "2"})
    assert before == again
    assert {name for name in before if before[name] != after[name]} == set(CHANGES[part].split())


def test_every_process_says_the_same(tmp_path):
    (tmp_path / "models.py").write_text(MODULE.format(**PLAIN))
    told = (
        "import models; from dsm_dask.duplicates.function_identity import function_identity as f;"
        "print(*map(f, models.several.values()))"
    )
    found = set()
    for seed in ("1", "2", "2"):  # the last one reads what the one before compiled
        env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONDONTWRITEBYTECODE": ""}
        done = subprocess.run(
            [sys.executable, "-c", told], cwd=tmp_path, env=env, capture_output=True, check=True
        )
        found.add(done.stdout)
    assert found == {(" ".join(identities().values()) + "\n").encode()}


def test_functions_that_call_each_other_and_what_cannot_be_told():
    def even(n):
        return n == 0 or odd(n - 1)

    def odd(n):
        return n > 0 and even(n - 1)

    lock = threading.Lock()
    assert function_identity(even) != function_identity(odd)
    one, same, other = (
        function_identity(functools.partial(even, some)) for some in (lock, lock, threading.Lock())
    )
    assert one == same != other


def test_the_index_of_one_function_serves_no_other_of_the_same_name(tmp_path, engine):
    """Variables that are closed over are told apart, too."""
    parquet(tmp_path / "raw/a.parquet", pa.table({"x": np.arange(5000)}))
    ds = f"{tmp_path}/ds"
    create(ds, [f"{tmp_path}/raw"], engine=engine)
    apart = np.random.default_rng(0).normal(size=(5000, 16))
    alike = np.repeat(apart[:2500], 2, axis=0)

    def of(vectors):
        return lambda rows: vectors[rows]

    for vectors, expected in ((apart, 0), (alike, 2500), (apart, 0), (alike, 2500)):
        made_by = FunctionMap("x", of(vectors), 16)
        method = Semantic("x", 0.999, made_by)
        found = dedup_alike(open_dataset(ds), method, engine=engine)
        assert found.duplicates == expected

"""Components are SciPy's, in memory and by rounds, in whatever order the edges come."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from dsm_dask.duplicates.components import components
from dsm_dask.duplicates.edges import EDGE, edges_of, write_edges
from dsm_dask.engine import Engine

IN_MEMORY, BY_ROUNDS = 1_000_000, 4


def by_scipy(left, right):
    """Each node with the smallest node of its component."""
    nodes, ids = np.unique(np.concatenate([left, right]), return_inverse=True)
    pairs = ids.reshape(2, -1)
    graph = coo_array((np.ones(pairs.shape[1]), (pairs[0], pairs[1])), (len(nodes), len(nodes)))
    _, labels = connected_components(graph, directed=False)
    smallest = {label: nodes[labels == label].min() for label in set(labels.tolist())}
    return {int(node): int(smallest[label]) for node, label in zip(nodes, labels, strict=True)}


def found(folder, edges, engine, limit, files=3, piece=5):
    parts = [write_edges(f"{folder}/in-{i}", e) for i, e in enumerate(np.array_split(edges, files))]
    pieces = components(parts, f"{folder}/out", engine=engine, limit=limit, piece=piece)
    read = [one.read() for one in pieces]
    for members, inside in read:  # whole components, in order
        assert (np.diff(members["root"].astype(np.int64)) >= 0).all()
        assert set(inside["left"].tolist()) | set(inside["right"].tolist()) == set(
            members["node"].tolist()
        )
    members = np.concatenate([one for one, _ in read])
    kept = np.concatenate([one for _, one in read])
    assert len(np.unique(members["node"])) == len(members)
    return members, kept


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_as_scipy_finds(tmp_path_factory, engine, data):
    size = data.draw(st.integers(2, 60))
    pairs = data.draw(
        st.lists(
            st.tuples(st.integers(0, size), st.integers(0, size)).filter(lambda p: p[0] != p[1]),
            min_size=1, max_size=80,
        )
    )  # fmt: skip
    left, right = (np.array(side, np.uint64) << np.uint64(50) for side in zip(*pairs, strict=True))
    random = np.random.default_rng(len(pairs))
    edges = edges_of(left, right, random.random(len(left)).astype(np.float32))
    truth = by_scipy(left, right)
    strongest: dict[int, float] = {}
    for a, b, s in edges.tolist():
        strongest[a], strongest[b] = max(strongest.get(a, 0), s), max(strongest.get(b, 0), s)
    for limit in (IN_MEMORY, BY_ROUNDS):
        folder = tmp_path_factory.mktemp("graph")
        members, kept = found(folder, random.permutation(edges), engine, limit)
        assert dict(zip(members["node"].tolist(), members["root"].tolist(), strict=True)) == truth
        told = dict(zip(members["node"].tolist(), members["similarity"].tolist(), strict=True))
        assert told == strongest
        assert {(a, b) for a, b, _ in kept.tolist()} == {(a, b) for a, b, _ in edges.tolist()}
        assert len(kept) == len({(a, b) for a, b, _ in kept.tolist()})


@pytest.mark.parametrize("shape", ["path", "star", "clique", "binary tree"])
def test_shapes_that_take_long(tmp_path, engine, shape):
    """Long chains and high degrees, by rounds."""
    n = 200
    names = np.random.default_rng(1).permutation(n).astype(np.uint64)
    left, right = {
        "path": (np.arange(n - 1), np.arange(1, n)),
        "star": (np.zeros(n - 1, int), np.arange(1, n)),
        "clique": np.triu_indices(40, 1),
        "binary tree": ((np.arange(1, n) - 1) // 2, np.arange(1, n)),
    }[shape]
    edges = edges_of(names[left], names[right], 0.5)
    members, _ = found(tmp_path, edges, engine, 50)
    assert dict(zip(members["node"].tolist(), members["root"].tolist(), strict=True)) == by_scipy(
        edges["left"], edges["right"]
    )


def test_no_edges(tmp_path, engine):
    empty = write_edges(f"{tmp_path}/none", np.empty(0, EDGE))
    assert components([empty], f"{tmp_path}/out", engine=engine) == []


def test_similarities_not_measured(tmp_path, engine):
    """NaN gives way to any number, and stays where there is none."""
    edges = edges_of(
        np.array([1, 1, 5], "u8"), np.array([2, 3, 6], "u8"), np.array([np.nan, 0.5, np.nan], "f4")
    )
    for limit in (IN_MEMORY, 1):
        members, _ = found(tmp_path / str(limit), edges, engine, limit, files=1)
        told = dict(zip(members["node"].tolist(), members["similarity"].tolist(), strict=True))
        assert (told[1], told[3]) == (0.5, 0.5)
        assert all(np.isnan(told[node]) for node in (2, 5, 6))


@pytest.mark.cluster
def test_on_a_cluster(tmp_path, cluster: Engine):
    random = np.random.default_rng(3)
    left, right = random.integers(0, 500, (2, 300)).astype(np.uint64)
    edges = edges_of(left[left != right], right[left != right], 0.9)
    truth = by_scipy(edges["left"], edges["right"])
    for limit in (IN_MEMORY, 100):
        members, _ = found(tmp_path / str(limit), edges, cluster, limit)
        assert dict(zip(members["node"].tolist(), members["root"].tolist(), strict=True)) == truth

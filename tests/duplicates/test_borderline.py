"""The pairs that are shown near the threshold, against all similarities."""

import numpy as np
import pytest
from near_corpus import corpus, cut, pairs_of

import dsm_dask
from dsm_dask.duplicates.borderline import PAIRS
from dsm_dask.duplicates.near import Bounds, dedup_near
from dsm_dask.duplicates.presets import settings
from dsm_dask.sources.parquet import open_parquet


@pytest.mark.parametrize("home", [20, 1 << 15])
def test_the_weakest_and_the_strongest_refused(tmp_path, engine, home):
    """Of texts of which all that are near are candidates."""
    texts = corpus(300, seed=31)
    raw = open_parquet(cut(tmp_path / "raw", texts, 3))
    near = settings(threshold=0.8, bands=42, rows=3)
    found = dedup_near(raw, "text", near, engine=engine, cut=10_000, bounds=Bounds(home=home))
    joined = [one for one in found.borderline if one.joined]
    refused = [one for one in found.borderline if not one.joined]
    assert len(joined) == len(refused) == PAIRS
    known = pairs_of(texts, 0)
    for one in found.borderline:
        assert one.similarity == pytest.approx(known[tuple(row.row for row in one.rows)], abs=1e-6)
        assert [row.values["text"] for row in one.rows] == [texts[row.row] for row in one.rows]
        assert (one.similarity >= 0.8) == one.joined
    assert [one.similarity for one in joined] == sorted(one.similarity for one in joined)
    groups = clusters(len(texts), pairs_of(texts, 0.8))
    apart = sorted(
        (alike for (a, b), alike in known.items() if groups[a] != groups[b]), reverse=True
    )
    assert [one.similarity for one in refused] == pytest.approx(apart[:PAIRS], abs=1e-6)


def clusters(rows: int, pairs) -> np.ndarray:
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    ends = np.array(sorted(pairs)).T
    graph = coo_matrix((np.ones(ends.shape[1]), ends), (rows, rows))
    return connected_components(graph, directed=False)[1]


def test_vectors_have_weak_pairs_and_rows_of_other_tables_are_named(tmp_path, engine):
    texts = corpus(60, seed=32)
    other = open_parquet(cut(tmp_path / "other", texts[:20], 1))
    found = dsm_dask.dedup(
        cut(tmp_path / "raw", texts, 1), "text", method="semantic", embed=True, threshold=0.9,
        against=other, show=3, engine=engine,
    )  # fmt: skip
    alike = [one.similarity for one in found.borderline]
    assert alike == sorted(alike)
    assert 0 < len(alike) <= PAIRS
    assert all(one.joined and 0.9 <= one.similarity < 1 for one in found.borderline)
    assert all(one.rows[0].table is None for one in found.borderline)
    assert {row.table for one in found.borderline for row in one.rows} <= {None, other.uri}
    assert found.to_dict()["borderline"][0]["rows"][0]["values"]["text"] in texts


def test_who_does_not_look_pays_nothing(tmp_path, engine):
    raw = cut(tmp_path / "raw", corpus(60, seed=33), 1)
    found = dsm_dask.dedup(raw, "text", method="minhash", engine=engine)
    assert found.borderline == ()
    assert "borderline" not in found.to_dict()

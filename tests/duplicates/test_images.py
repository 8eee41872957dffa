"""Clusters of images that look alike are those of all pairs, however the table is cut."""

import numpy as np
import pyarrow as pa
import pytest
from dsm_trials import dsm
from pictures import gallery, labels, near, picture, same, stored, write

import dsm_dask
from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import create
from dsm_dask.duplicates import image_hashes, images
from dsm_dask.duplicates.alike import dedup_alike
from dsm_dask.duplicates.exact import dedup_exact
from dsm_dask.duplicates.images import Images, image_pairs
from dsm_dask.duplicates.perceptual_hash import perceptual_hash
from dsm_dask.errors import (
    MissingExtra,
    SchemaError,
    UnknownColumn,
    UsageError,
)
from dsm_dask.sources.parquet import open_parquet


@pytest.fixture
def many_tasks(monkeypatch):
    """A partition for each row group, and bands cut into many tasks."""
    monkeypatch.setattr("dsm_dask.sources.parquet.PARTITION_BYTES", (1, 1))
    monkeypatch.setattr(images, "TASK_ROWS", 20)


@pytest.mark.parametrize("method", ["phash", "dhash"])
def test_however_cut_clusters_are_those_of_all_pairs(tmp_path, engine, many_tasks, method):
    values = gallery()
    hashes = np.array([perceptual_hash(one, method) for one in values], np.uint64)
    want = labels(near(hashes, 6), len(values))
    assert len(values) // 3 < want.max() < len(values) - 25
    for count in (1, 2, 7):
        table = open_parquet(write(tmp_path / f"raw{count}", values, count))
        assert len(table.partitions()) == count
        found = image_pairs(
            [table], Images("image", method), str(tmp_path / f"run{count}"), engine=engine
        )
        edges = np.concatenate([one.read() for one in found.edges])
        got = labels(zip(edges["left"], edges["right"], strict=True), len(values))
        assert same(got, want)
        left, right = edges["left"].astype(int), edges["right"].astype(int)
        shares = 1 - np.bitwise_count(hashes[left] ^ hashes[right]) / 64
        np.testing.assert_allclose(edges["similarity"], shares, rtol=1e-6)


def test_the_verb_and_uris(tmp_path, engine):
    """From URIs as from bytes, with the same survivors."""
    values = gallery(60)
    (tmp_path / "files").mkdir()
    uris = [str(tmp_path / "files" / f"{row}.img") for row in range(60)]
    for uri, value in zip(uris, values, strict=True):
        with open(uri, "wb") as file:
            file.write(value)
    hashes = np.array([perceptual_hash(one, "phash") for one in values], np.uint64)
    want = np.unique(labels(near(hashes, 6), 60), return_index=True)[1]
    for kind, column in (("bytes", values), ("uris", uris)):
        ds = str(tmp_path / kind)
        create(ds, write(tmp_path / f"raw-{kind}", column, 2), engine=engine)
        found = dedup_alike(open_dataset(ds), Images("image"), engine=engine, drop=True)
        assert (found.method, found.rows, found.kept) == ("phash", 60, len(want))
        kept = open_dataset(ds).to_table(["_rowid"])["_rowid"].to_pylist()
        assert kept == sorted(want.tolist())
    assert found.largest[0].values["image"] in uris


def test_pairs_across_the_borders_of_tasks(tmp_path, engine, many_tasks, monkeypatch):
    """Bits that differ at the beginning of each band: only neighbouring tasks can see the pair."""
    random = np.random.default_rng(1)
    some = random.integers(0, 2**64, 60, dtype=np.uint64)
    apart = sum(flips << (16 * band + 14) for band, flips in enumerate((1, 3, 3, 2)))
    hashes = np.concatenate([some, some ^ np.uint64(apart)])
    monkeypatch.setattr(
        image_hashes, "perceptual_hash", lambda data, method: int(hashes[int(data)])
    )
    table = open_parquet(write(tmp_path / "raw", [str(i).encode() for i in range(120)], 2))
    assert images.prefix_bits(120) >= 2
    found = dedup_alike(table, Images("image"), engine=engine)
    assert (found.clusters, found.duplicates) == (60, 60)


def test_a_million_copies_are_one(tmp_path, engine, monkeypatch):
    """Equal hashes are compared once, however many rows have them."""
    hashed = {b"one": 0, b"two": 7, b"far": 2**64 - 1}
    monkeypatch.setattr(image_hashes, "perceptual_hash", lambda data, method: hashed[data])
    monkeypatch.setattr(
        image_hashes, "side_by_side", lambda function, items: [function(i) for i in items]
    )
    values = pa.array([b"one"] * 30_000 + [b"two"] + [b"far"] * 10_000)
    table = open_parquet(write(tmp_path / "raw", values, 3))
    found = dedup_alike(table, Images("image"), engine=engine)
    assert (found.rows, found.clusters, found.duplicates) == (40_001, 2, 39_999)
    assert [one.size for one in found.largest] == [30_001, 10_000]


def test_what_cannot_be(tmp_path, engine, monkeypatch):
    table = open_parquet(write(tmp_path / "raw", [1, 2], 1))
    with pytest.raises(SchemaError, match="int64, which holds no images"):
        dedup_alike(table, Images("image"), engine=engine)
    with pytest.raises(UnknownColumn):
        dedup_alike(table, Images("picture"), engine=engine)
    for distance in (-1, 16):
        with pytest.raises(UsageError, match="distance"):
            dedup_alike(table, Images("image", distance=distance), engine=engine)
    table = open_parquet(write(tmp_path / "bytes", [b"a"], 1))
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    with pytest.raises(MissingExtra, match="images"):
        dedup_alike(table, Images("image"), engine=engine)


def test_binary_columns_are_compared_exactly_too(tmp_path, engine):
    values = [stored(picture(row % 5)) for row in range(20)] + [None, None, b"", b""]
    for kind in (pa.binary(), pa.large_binary()):
        table = open_parquet(write(tmp_path / str(kind), pa.array(values, kind), 3))
        assert dedup_exact(table, "image", engine=engine).kept == 7


def test_from_the_command_line_and_python(tmp_path, engine):
    values = [stored(picture(1)), stored(picture(1), "jpeg"), stored(picture(2)), b"broken"]
    raw = write(tmp_path / "raw", values, 1)
    for method in ("phash", "dhash"):
        arguments = ["dedup", raw, "--on", "image", "--method", method, "--distance", "8"]
        told = dsm(*arguments, "--json")
        found = told.json
        assert (found["method"], found["kept"]) == (method, 3)
        assert found["left_out"]["undecodable"] == 1
        assert dsm_dask.dedup(raw, "image", method=method, engine=engine).kept == 3
    wrong = dsm(*arguments, "--threshold", 0.9)
    assert wrong.code == 2
    assert "minhash or semantic" in " ".join(wrong.err.split())

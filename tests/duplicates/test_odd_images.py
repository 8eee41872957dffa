"""Images that cannot be read, are not where they should be, or are very large."""

import time

import numpy as np
import pyarrow as pa
import pytest
from dsm_trials import parquet, scratch
from pictures import gallery, labels, near, picture, stored, write

from dsm_dask import storage
from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import create
from dsm_dask.duplicates import images
from dsm_dask.duplicates import perceptual_hash as perceptual_hash_module
from dsm_dask.duplicates.alike import dedup_alike
from dsm_dask.duplicates.images import Images
from dsm_dask.duplicates.perceptual_hash import perceptual_hash
from dsm_dask.errors import (
    AccessDenied,
    StoreUnreachable,
)
from dsm_dask.sources.parquet import open_parquet


def test_what_cannot_be_read_is_counted_and_named(tmp_path, engine):
    values = [b"", b"", None, None, stored(picture(1)), stored(picture(1))[:300], b"nonsense"]
    table = open_parquet(write(tmp_path / "raw", pa.array(values, pa.binary()), 1))
    found = dedup_alike(table, Images("image"), engine=engine)
    assert (found.rows, found.duplicates) == (7, 0)
    assert (found.left_out["null"], found.left_out["undecodable"]) == (2, 4)
    assert [text.split(" of ")[0] for text in found.left_out["examples"]] == [
        "row 0", "row 1", "row 5", "row 6",
    ]  # fmt: skip
    assert "4 images cannot be read" in found.notes[0]
    missing = [str(tmp_path / "no.png"), str(tmp_path / "no.png")]
    table = open_parquet(write(tmp_path / "gone", missing, 1))
    found = dedup_alike(table, Images("image"), engine=engine)
    assert (found.duplicates, found.left_out["undecodable"]) == (0, 2)
    assert "no.png" in found.left_out["examples"][0]


def test_uris_that_are_none(tmp_path, engine):
    """Are counted with their cause; the others are compared."""
    (tmp_path / "a.png").write_bytes(stored(picture(1)))
    (tmp_path / "text.png").write_bytes(b"no image")
    good, text = str(tmp_path / "a.png"), str(tmp_path / "text.png")
    bad = [f"/{'x' * 5000}.png", "a\0b", "no-such-protocol://a/b", "", text]
    table = open_parquet(write(tmp_path / "raw", [good, *bad, good], 1))
    found = dedup_alike(table, Images("image"), engine=engine)
    assert (found.rows, found.duplicates, found.left_out["undecodable"]) == (7, 1, 5)
    told = [text.split(": ", 1)[1] for text in found.left_out["examples"]]
    assert told[0].startswith("OSError: [Errno 36] File name too long")
    assert "null byte" in told[1]
    assert "no-such-protocol://" in told[2]
    assert "no such file" in told[3]
    assert told[4] == "of no format that Pillow knows"
    assert max(map(len, told)) <= 300
    assert found.notes[0].endswith("Pillow knows.")
    assert "0x" not in "".join(told)


@pytest.mark.parametrize("refusal", [StoreUnreachable, AccessDenied])
def test_stores_that_do_not_answer(tmp_path, engine, monkeypatch, refusal):
    """Some images: they are counted. All of them, or the first 64 of a partition: an error."""

    stores, whole = (
        {"s3://here/1": stored(picture(1)), "s3://here/2": stored(picture(1))},
        storage.read,
    )

    def read(uri):
        if uri.startswith("s3://gone"):
            raise refusal("Gone.", where=uri)
        return stores[uri] if uri in stores else whole(uri)

    monkeypatch.setattr(images.storage, "read", read)
    gone = [f"s3://gone/{row}.png" for row in range(100)]
    table = open_parquet(write(tmp_path / "some", [*gone[:63], "s3://here/1", "s3://here/2"], 1))
    found = dedup_alike(table, Images("image"), engine=engine)
    assert (found.duplicates, found.left_out["unreached"]) == (1, 63)
    assert "the store of s3://gone/0.png did not answer, or refused: Gone" in found.notes[0]
    for values in ([*gone[:2], None], [*gone, "s3://here/1"]):
        table = open_parquet(write(tmp_path / str(len(values)), values, 1))
        with pytest.raises(StoreUnreachable, match=r"row 0 of .*s3://gone/0\.png"):
            dedup_alike(table, Images("image"), engine=engine)


def test_one_large_image_at_a_time(tmp_path, engine, monkeypatch):
    active, most, scaled = [], [], perceptual_hash_module._scaled

    def counted(image, size):
        active.append(image)
        most.append(len(active))
        time.sleep(0.01)
        try:
            return scaled(image, size)
        finally:
            active.pop()

    monkeypatch.setattr(perceptual_hash_module, "_scaled", counted)
    values = [stored(picture(row)) for row in range(12)]
    table = open_parquet(write(tmp_path / "raw", values, 1))
    dedup_alike(table, Images("image"), engine=engine)
    assert max(most) > 1
    most.clear()
    monkeypatch.setattr(perceptual_hash_module, "LARGE", 100)
    dedup_alike(table, Images("image"), engine=engine)
    assert (len(most), max(most)) == (12, 1)


@pytest.mark.s3
def test_uris_in_a_bucket(bucket, engine):
    values = gallery(20)
    uris = [f"s3://{bucket}/images/{row}.png" for row in range(20)]
    for uri, value in zip(uris, values, strict=True):
        storage.write(uri, value)
    data = pa.table({"image": [*uris, f"s3://{bucket}/images/none.png"]})
    parquet(f"s3://{bucket}/raw/0.parquet", data)
    ds = f"s3://{bucket}/ds"
    create(ds, f"s3://{bucket}/raw", engine=engine)
    found = dedup_alike(open_dataset(ds), Images("image", "dhash"), engine=engine, drop=True)
    hashes = np.array([perceptual_hash(one, "dhash") for one in values], np.uint64)
    want = np.unique(labels(near(hashes, 6), 20), return_index=True)[1]
    kept = open_dataset(ds).to_table(["_rowid"])["_rowid"].to_pylist()
    assert kept == [*sorted(want.tolist()), 20]
    assert found.left_out["undecodable"] == 1
    assert not scratch(f"s3://{bucket}")

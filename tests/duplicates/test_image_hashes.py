"""Hashes that are kept: an image is decoded once."""

import pytest
from dsm_trials import flip, objects
from pictures import gallery, write

from dsm_dask import storage
from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import append, create
from dsm_dask.duplicates import image_hashes
from dsm_dask.duplicates.alike import dedup_alike
from dsm_dask.duplicates.images import Images
from dsm_dask.duplicates.indexes import indexes, verify_indexes
from dsm_dask.sources.parquet import open_parquet


@pytest.fixture
def decoded(monkeypatch):
    """The images that were decoded."""
    seen, whole = [], image_hashes.perceptual_hash

    def hashed(data, method):
        seen.append(data)
        return whole(data, method)

    monkeypatch.setattr(image_hashes, "perceptual_hash", hashed)
    return seen


def test_after_an_append_only_new_images_are_decoded(tmp_path, engine, decoded):
    values = [*gallery(60), b"broken", None]
    ds, raw = str(tmp_path / "ds"), tmp_path / "raw"
    write(raw, values[:40], 1)
    create(ds, str(raw), engine=engine)
    first = dedup_alike(open_dataset(ds), Images("image"), engine=engine)
    assert (len(decoded), first.index.files, first.index.hashed) == (40, 1, 1)
    decoded.clear()
    assert dedup_alike(open_dataset(ds), Images("image"), engine=engine).index.hashed == 0
    assert not decoded
    more = write(tmp_path / "more", values[40:], 1)
    append(ds, more, engine=engine)
    found = dedup_alike(open_dataset(ds), Images("image"), engine=engine, drop=True)
    assert (len(decoded), found.index.files, found.index.hashed) == (21, 2, 1)
    whole = open_parquet(write(tmp_path / "whole", values, 1))
    want = dedup_alike(whole, Images("image"), engine=engine)
    assert (found.clusters, found.duplicates) == (want.clusters, want.duplicates)
    assert found.left_out == {**want.left_out, "examples": found.left_out["examples"]}
    assert "no format" in found.left_out["examples"][0]
    # after the drop: nothing is decoded, and what is left has no duplicates
    decoded.clear()
    again = dedup_alike(open_dataset(ds), Images("image"), engine=engine)
    assert (again.rows, again.duplicates, again.index.hashed) == (found.kept, 0, 0)
    assert again.left_out == found.left_out
    # a version that has rows which the files do not: from the images
    assert not decoded
    other = dedup_alike(open_dataset(ds), Images("image", "dhash"), engine=engine)
    assert (other.index.hashed, len(decoded)) == (2, found.kept - 1)
    decoded.clear()
    before = dedup_alike(open_dataset(f"{ds}@2"), Images("image", "dhash"), engine=engine)
    assert (before.index.hashed, before.rows) == (2, 62)
    assert len(decoded) == 61


def test_damaged_hashes_are_made_again(tmp_path, engine, decoded):
    ds = str(tmp_path / "ds")
    create(ds, write(tmp_path / "raw", gallery(40), 2), engine=engine)
    want = dedup_alike(open_dataset(ds), Images("image"), engine=engine)
    (name,) = [index.name for index in indexes(open_dataset(ds))]
    files = [uri for uri in objects(ds) if uri.endswith(".hashes")]
    whole = {uri: storage.read(uri) for uri in files}
    for uri in files:
        flip(uri, len(whole[uri]) // 2)
        (checked,) = verify_indexes(open_dataset(ds), [name], engine=engine)
        assert (checked.files, checked.damaged) == (len(files), (uri,))
        found = dedup_alike(open_dataset(ds), Images("image"), engine=engine)
        assert (found.index.hashed, found.sizes) == (1, want.sizes)
        assert storage.read(uri) == whole[uri]
    assert not verify_indexes(open_dataset(ds), [name], engine=engine)[0].damaged
    storage.write(files[0], b"")
    assert dedup_alike(open_dataset(ds), Images("image"), engine=engine).index.hashed == 1


def test_what_is_not_kept(tmp_path, engine, decoded):
    """Nothing in a dry run; nothing of URIs, as what is there may change."""
    ds = str(tmp_path / "ds")
    values = gallery(10)
    uris = [str(tmp_path / f"{row}.img") for row in range(10)]
    for uri, value in zip(uris, values, strict=True):
        storage.write(uri, value)
    raw = write(tmp_path / "raw", values, 1, uri=uris)
    create(ds, raw, engine=engine)
    before = objects(ds)
    found = dedup_alike(open_dataset(ds), Images("image"), engine=engine, dry_run=True)
    assert (found.index, objects(ds)) == (None, before)
    for _ in range(2):
        decoded.clear()
        assert dedup_alike(open_dataset(ds), Images("uri"), engine=engine).index is None
        assert len(decoded) == 10
    dedup_alike(open_dataset(ds), Images("image"), engine=engine)
    decoded.clear()
    assert dedup_alike(open_dataset(ds), Images("image"), engine=engine, dry_run=True).index
    assert not decoded


def test_the_index_of_the_other_table(tmp_path, engine, decoded):
    values = gallery(40)
    ds, other = str(tmp_path / "ds"), str(tmp_path / "other")
    create(ds, write(tmp_path / "raw", values[:20], 1), engine=engine)
    create(other, write(tmp_path / "more", values[20:], 1), engine=engine)
    dedup_alike(open_dataset(other), Images("image"), engine=engine)
    decoded.clear()
    found = dedup_alike(
        open_dataset(ds), Images("image"), engine=engine, against=[open_dataset(other)]
    )
    assert (len(decoded), found.index.files, found.index.hashed) == (20, 2, 1)

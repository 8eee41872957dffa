"""Perceptual hashes against their formula in SciPy; pairs against all distances, in NumPy."""

import io
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dsm_trials import dsm, flip, objects, parquet, scratch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.fft import dctn
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

import dsm_dask
from dsm_dask import storage
from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import append, create
from dsm_dask.duplicates import hamming, image_hashes, images
from dsm_dask.duplicates import perceptual_hash as perceptual_hash_module
from dsm_dask.duplicates.alike import dedup_alike
from dsm_dask.duplicates.bands import BANDS
from dsm_dask.duplicates.exact import dedup_exact
from dsm_dask.duplicates.images import Images, image_pairs
from dsm_dask.duplicates.indexes import indexes, verify_indexes
from dsm_dask.duplicates.perceptual_hash import Undecodable, perceptual_hash
from dsm_dask.errors import (
    AccessDenied,
    MissingExtra,
    SchemaError,
    StoreUnreachable,
    UnknownColumn,
    UsageError,
)
from dsm_dask.sources.parquet import open_parquet


def picture(seed: int, size=(48, 40)) -> Image.Image:
    """Soft shapes, no two seeds alike."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def stored(image: Image.Image, kind: str = "png", **options) -> bytes:
    sink = io.BytesIO()
    image.save(sink, kind, **options)
    return sink.getvalue()


def bits(value: int) -> np.ndarray:
    return np.array([c == "1" for c in f"{value:064b}"]).reshape(8, 8)


def labels(pairs, rows):
    left, right = np.array(list(pairs), int).reshape(-1, 2).T
    graph = coo_matrix((np.ones(len(left)), (left, right)), (rows, rows))
    return connected_components(graph, directed=False)[1]


def same(one, other) -> bool:
    pairs = set(zip(one.tolist(), other.tolist(), strict=True))
    return len(pairs) == len(set(one.tolist())) == len(set(other.tolist()))


def near(hashes, distance):
    differing = np.bitwise_count(hashes[:, None] ^ hashes[None, :])
    return np.argwhere(np.triu(differing <= distance, 1))


# ---------------------------------------------------------------------------------------------
# Hashes


@pytest.mark.parametrize("seed", range(20))
def test_hashes_are_those_of_the_formula(seed):
    image = picture(seed, size=(20 + 7 * seed, 90 - 3 * seed))
    grey = image.convert("L")
    small = np.asarray(grey.resize((9, 8), Image.Resampling.LANCZOS)).astype(int)
    assert (bits(perceptual_hash(stored(image), "dhash")) == (np.diff(small, axis=1) > 0)).all()
    low = dctn(np.asarray(grey.resize((32, 32), Image.Resampling.LANCZOS)).astype(float))[:8, :8]
    assert (bits(perceptual_hash(stored(image), "phash")) == (low > np.median(low))).all()


@pytest.mark.parametrize("method", ["phash", "dhash"])
def test_hashes_stay_near_when_an_image_is_stored_anew(method):
    """And are far for another image."""
    for seed in range(10):
        image = picture(seed, (256, 256))
        mine = perceptual_hash(stored(image), method)
        jpeg = perceptual_hash(stored(image, "jpeg", quality=60), method)
        half = perceptual_hash(stored(image.resize((128, 128))), method)
        other = perceptual_hash(stored(picture(seed + 100)), method)
        assert max((mine ^ jpeg).bit_count(), (mine ^ half).bit_count()) <= images.DISTANCE
        assert (mine ^ other).bit_count() > 12


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_every_mode_has_a_hash(mode):
    image = picture(1).convert("L" if mode == "I;16" else mode)
    image = image.convert("I;16") if mode == "I;16" else image
    kind = "tiff" if mode in ("CMYK", "I;16") else "png"
    assert 0 <= perceptual_hash(stored(image, kind), "phash") < 2**64


@pytest.mark.parametrize("method", ["phash", "dhash"])
def test_images_of_one_colour_are_alike(method):
    found = {
        perceptual_hash(stored(Image.new("RGB", (30, 20), c)), method) for c in ("red", "blue")
    }
    assert len(found) == 1


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n", stored(picture(1))[:200]])
def test_what_is_no_image(data):
    with pytest.raises(Undecodable):
        perceptual_hash(data, "phash")


def test_too_many_pixels(monkeypatch):
    monkeypatch.setattr("dsm_dask.duplicates.perceptual_hash.LARGEST", 100)
    with pytest.raises(Undecodable, match="48 x 40"):
        perceptual_hash(stored(picture(1)), "phash")


# ---------------------------------------------------------------------------------------------
# Pairs


def planted(count: int, seed: int) -> np.ndarray:
    """Distinct hashes, half of them a few bits from another."""
    random = np.random.default_rng(seed)
    found = random.integers(0, 2**64, count, dtype=np.uint64)
    for row in range(count // 2, count):
        flips = random.choice(64, random.integers(1, 12), replace=False)
        found[row] = found[random.integers(0, row)] ^ np.uint64(sum(1 << int(f) for f in flips))
    return np.unique(found)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32), distance=st.integers(0, 15),
    looks=st.sampled_from([1, 50, 10_000]),
)  # fmt: skip
def test_every_pair_within_a_distance(seed, distance, looks):
    """The bands together link what NumPy finds near, and nothing else."""
    check_pairs(planted(120, seed), seed, distance, looks)


@settings(max_examples=8)
@given(seed=st.integers(0, 2**32), distance=st.integers(0, 12), most=st.sampled_from([2, 4, 10]))
def test_every_pair_where_bands_are_crowded(seed, distance, most):
    """Where many hashes share a band, they are looked at by another one; with the same result."""
    random = np.random.default_rng(seed)
    few = random.integers(0, 1 << 16, (4, 3), dtype=np.uint64)
    bands = [few[band, random.integers(0, 3, 60)] << np.uint64(16 * band) for band in range(4)]
    flips = np.uint64(1) << random.integers(0, 64, 60, dtype=np.uint64)
    hashes = np.unique(sum(bands[1:], bands[0]) ^ np.where(random.random(60) < 0.5, flips, 0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hamming, "CROWDED", most)
        check_pairs(hashes, seed, distance, 1000)


def check_pairs(hashes, seed, distance, looks):
    own = np.random.default_rng(seed).random(len(hashes)) < 0.7
    pairs = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hamming, "LOOKS", looks)
        for band in range(BANDS):
            left, right, differing = hamming.pairs_within(hashes, own, band, distance)
            told = zip(left.tolist(), right.tolist(), strict=True)
            pairs |= dict(zip(told, differing.tolist(), strict=True))
    want = near(hashes, distance)
    want = want[own[want].any(axis=1)]
    assert set(pairs) <= {tuple(pair) for pair in want.tolist()}
    truth = np.bitwise_count(hashes[:, None] ^ hashes[None, :])
    assert all(truth[pair] == differing for pair, differing in pairs.items())
    assert same(labels(pairs, len(hashes)), labels(want, len(hashes)))


@pytest.fixture
def many_tasks(monkeypatch):
    """A partition for each row group, and bands cut into many tasks."""
    monkeypatch.setattr("dsm_dask.sources.parquet.PARTITION_BYTES", (1, 1))
    monkeypatch.setattr(images, "TASK_ROWS", 20)


def gallery(rows: int = 120) -> list[bytes]:
    """Pictures, each stored once, and again in other ways or as it was."""
    random = np.random.default_rng(1)
    found = []
    for row in range(rows):
        source = int(random.integers(0, rows // 2)) if row % 2 else row
        image = picture(source, (64, 64))
        shapes = (
            lambda image: stored(image),
            lambda image: stored(image, "jpeg", quality=70),
            lambda image: stored(image.resize((90, 50))),
        )
        found.append(shapes[int(random.integers(0, 3)) if row % 2 else 0](image))
    return found


def write(folder, values, count: int, **more) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.table({"image": values, **more})
    edges = np.linspace(0, table.num_rows, count + 1).astype(int)
    for number in range(count):
        piece = table.slice(edges[number], edges[number + 1] - edges[number])
        pq.write_table(piece, folder / f"{number:03}.parquet")
    return str(folder)


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


def test_a_crowded_band_is_not_quadratic(monkeypatch):
    """Hashes of which one band is the same: a small share of all pairs is looked at."""
    looked = []
    counted = hamming._looks
    monkeypatch.setattr(hamming, "CROWDED", 256)
    monkeypatch.setattr(
        hamming, "_looks", lambda *given: looked.append(counted(*given)) or looked[-1]
    )
    hashes = np.unique(np.random.default_rng(1).integers(0, 2**48, 20_000, dtype=np.uint64))
    hamming.pairs_within(hashes, np.ones(len(hashes), bool), 0, 3)
    assert 0 < sum(int(one.sum()) for one in looked) < len(hashes) ** 2 / 1000


# ---------------------------------------------------------------------------------------------
# What is kept beside a dataset


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


@pytest.mark.parametrize("method", ["phash", "dhash"])
def test_large_jpegs_are_decoded_small(monkeypatch, method):
    for seed in range(5):
        data = stored(picture(seed, (2100, 1500)), "jpeg", quality=90)
        whole = perceptual_hash(data, method)
        with monkeypatch.context() as patch:
            patch.setattr(perceptual_hash_module, "LARGE", 100)
            assert (perceptual_hash(data, method) ^ whole).bit_count() <= 2


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

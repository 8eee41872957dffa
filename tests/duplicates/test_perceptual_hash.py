"""Perceptual hashes against their formula in SciPy."""

import numpy as np
import pytest
from pictures import picture, stored
from PIL import Image
from scipy.fft import dctn

from dsm_dask.duplicates import images
from dsm_dask.duplicates import perceptual_hash as perceptual_hash_module
from dsm_dask.duplicates.perceptual_hash import Undecodable, perceptual_hash


def bits(value: int) -> np.ndarray:
    return np.array([c == "1" for c in f"{value:064b}"]).reshape(8, 8)


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


@pytest.mark.parametrize("method", ["phash", "dhash"])
def test_large_jpegs_are_decoded_small(monkeypatch, method):
    for seed in range(5):
        data = stored(picture(seed, (2100, 1500)), "jpeg", quality=90)
        whole = perceptual_hash(data, method)
        with monkeypatch.context() as patch:
            patch.setattr(perceptual_hash_module, "LARGE", 100)
            assert (perceptual_hash(data, method) ^ whole).bit_count() <= 2

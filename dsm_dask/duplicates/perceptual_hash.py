"""Perceptual hashes of images: 64 bits that stay alike when an image is scaled, compressed or
brightened a little.

*dHash* (Krawetz, "Kind of like that", hackerfactor.com, 2013): the image in grey, scaled to 9 by 8;
bit ``(y, x)`` says whether pixel ``(y, x + 1)`` is brighter than ``(y, x)``.

*pHash* (Krawetz, "Looks like it", hackerfactor.com, 2011; compared with others in Zauner,
"Implementation and benchmarking of perceptual image hash functions", 2010): the image in grey,
scaled to 32 by 32; of its two-dimensional discrete cosine transform (type II) the 8 by 8 lowest
frequencies; each bit says whether one is above their median.

Both number the bits from the highest, row by row, and agree with the package ``imagehash``. Images
of one colour throughout are all alike.
Needs Pillow: ``pip install 'dsm-dask[images]'``.
"""

from __future__ import annotations

import io
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from dsm_dask.errors import MissingExtra

Method = Literal["phash", "dhash"]
SIDE = 8
_PHASH_SIDE = 4 * SIDE
LARGEST = 1 << 28
"""Pixels of an image that is decoded, at most."""


class Undecodable(Exception):
    """Bytes that are no image, a damaged one, or one too large."""


def perceptual_hash(data: bytes, method: Method) -> int:
    """The 64-bit hash of an image in any format that Pillow reads: its first frame, without regard
    to transparency or to the orientation noted in it.

    Raises Undecodable, and MissingExtra without Pillow.

    >>> from PIL import Image
    >>> ramp, sink = Image.linear_gradient("L").rotate(90), io.BytesIO()
    >>> ramp.save(sink, "png")
    >>> f"{perceptual_hash(sink.getvalue(), 'dhash'):016x}"
    'ffffffffffffffff'
    """
    image = _decode(data, load_pillow())
    return _packed(_dhash(image) if method == "dhash" else _phash(image))


def load_pillow() -> Any:
    """The module ``PIL.Image``; raises MissingExtra when it is not installed."""
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtra(
            "Perceptual hashes need Pillow.", valid="pip install 'dsm-dask[images]'"
        ) from error
    return Image


def _decode(data: bytes, pillow: Any) -> Any:
    try:
        image = pillow.open(io.BytesIO(data))
        if image.width * image.height > LARGEST:
            raise Undecodable(f"{image.width} x {image.height} pixels are too many")
        return image.convert("L")
    except Undecodable:
        raise
    except Exception as error:  # decoders raise whatever damaged bytes lead to
        raise Undecodable(f"{type(error).__name__}: {error}") from error


def _dhash(image: Any) -> npt.NDArray[np.bool_]:
    pixels = np.asarray(image.resize((SIDE + 1, SIDE), _LANCZOS))
    found: npt.NDArray[np.bool_] = pixels[:, 1:] > pixels[:, :-1]
    return found


def _phash(image: Any) -> npt.NDArray[np.bool_]:
    pixels = np.asarray(image.resize((_PHASH_SIDE, _PHASH_SIDE), _LANCZOS)).astype(np.float64)
    # rounded, or what should be equal would differ by the errors of floating point
    low = np.round(_COSINES @ pixels @ _COSINES.T, 6)
    found: npt.NDArray[np.bool_] = low > np.median(low)
    return found


def _cosines() -> npt.NDArray[np.float64]:
    """``2 cos(pi k (2 n + 1) / 2 N)``: the rows of the transform for the lowest frequencies."""
    frequency, place = np.arange(SIDE)[:, None], np.arange(_PHASH_SIDE)[None, :]
    return 2 * np.cos(np.pi * frequency * (2 * place + 1) / (2 * _PHASH_SIDE))


_COSINES = _cosines()
_LANCZOS = 1  # PIL.Image.Resampling.LANCZOS


def _packed(bits: npt.NDArray[np.bool_]) -> int:
    return int.from_bytes(np.packbits(bits.ravel()).tobytes(), "big")

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

A process decodes one image of more than 2^22 pixels (:data:`LARGE`) at a time, and the small ones
side by side: in memory are 8 small ones (160 MB) and a large one, of up to 5 bytes a pixel and
2^27 pixels (:data:`LARGEST`; 640 MB). JPEG is decoded at the scale that leaves the shorter side 512
pixels or more when it is large; its hash may then differ by a bit or so from that of the full size.
Needs Pillow: ``pip install 'dsm-dask[images]'``.
"""

from __future__ import annotations

import contextlib
import io
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from dsm_dask.errors import MissingExtra

Method = Literal["phash", "dhash"]
SIDE = 8
_PHASH_SIDE = 4 * SIDE
LARGE = 1 << 22
"""Pixels from which images are decoded one at a time."""
LARGEST = 1 << 27
"""Pixels of an image that is decoded, at most."""
_DRAFT = 512
"""Pixels that each side of a large JPEG keeps, at least."""
_TOLD = 300
"""Characters of an error that are told."""
_large = ThreadPoolExecutor(1, "large images")
"""One thread, not a lock: memory that it freed is there for its next image, and for no other
thread's."""


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
    if method == "dhash":
        return _packed(_dhash(_grey(data, (SIDE + 1, SIDE))))
    return _packed(_phash(_grey(data, (_PHASH_SIDE, _PHASH_SIDE))))


def cause(error: Exception) -> str:
    """An error in a line, the same in every run.

    >>> cause(ValueError("no <_io.BytesIO object at 0x7f>."))
    'ValueError: no BytesIO'
    """
    text = re.sub(r"<(?:\w+\.)*(\w+) object at 0x\w+>", r"\1", f"{type(error).__name__}: {error}")
    return shortened(text)


def shortened(text: str) -> str:
    """A text as one line that is not long, without a full stop."""
    text = " ".join(text.split()).rstrip(". :")
    return text if len(text) <= _TOLD else text[: _TOLD - 1] + "…"


def load_pillow() -> Any:
    """The module ``PIL.Image``; raises MissingExtra when it is not installed."""
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtra(
            "Perceptual hashes need Pillow.", valid="pip install 'dsm-dask[images]'"
        ) from error
    return Image


def _grey(data: bytes, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """The image in grey, scaled to (width, height)."""
    pillow = load_pillow()
    try:
        image = pillow.open(io.BytesIO(data))
        pixels = image.width * image.height
        if pixels > LARGEST:
            raise Undecodable(f"{image.width} x {image.height} pixels are too many")
        if pixels > LARGE:
            image.draft("L", (_DRAFT, _DRAFT))  # of JPEG; of others it does nothing
            return _large.submit(_scaled, image, size).result()
        return _scaled(image, size)
    except Undecodable:
        raise
    except pillow.UnidentifiedImageError:
        raise Undecodable("of no format that Pillow knows") from None
    except Exception as error:  # decoders raise whatever damaged bytes lead to
        raise Undecodable(cause(error)) from error


def _scaled(image: Any, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    with contextlib.closing(image):
        return np.asarray(image.convert("L").resize(size, _LANCZOS))


def _dhash(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = pixels[:, 1:] > pixels[:, :-1]
    return found


def _phash(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    # rounded, or what should be equal would differ by the errors of floating point
    low = np.round(_COSINES @ pixels.astype(np.float64) @ _COSINES.T, 6)
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

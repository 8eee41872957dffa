"""Images small enough to be shown by the hundred."""

from __future__ import annotations

import base64
import dataclasses
import io

SIZE = 48 << 10
"""Bytes of an image that is shown as it is."""
PIXELS = 256
"""Width and height of thumbnails, at most."""

_KINDS = {
    b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Image:
    """``uri`` is a data URI, empty for an image that is too large to be shown; ``size``: bytes of
    the original."""

    uri: str
    size: int


def as_image(data: bytes) -> Image | None:
    """A PNG, JPEG, GIF or WebP that can be shown, made smaller when it is large and Pillow is there
    (``pip install 'dsm-dask[images]'``); None for other bytes.

    >>> as_image(b"no image") is None, as_image(b"GIF89a").uri
    (True, 'data:image/gif;base64,R0lGODlh')
    """
    kind = next((name for head, name in _KINDS.items() if data.startswith(head)), None)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        kind = "image/webp"
    if kind is None:
        return None
    if len(data) <= SIZE:
        return Image(_data_uri(kind, data), len(data))
    smaller = _thumbnail(data)
    return Image("" if smaller is None else _data_uri("image/jpeg", smaller), len(data))


def _data_uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _thumbnail(data: bytes) -> bytes | None:
    """A JPEG; None without Pillow, or for an image that it cannot read."""
    try:
        from PIL import Image as Pillow
    except ImportError:
        return None
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("error", Pillow.DecompressionBombWarning)
        try:
            with Pillow.open(io.BytesIO(data)) as image:
                image.draft("RGB", (PIXELS, PIXELS))
                image.thumbnail((PIXELS, PIXELS))
                sink = io.BytesIO()
                image.convert("RGB").save(sink, "JPEG", quality=82)
        except Exception:  # noqa: BLE001 - Pillow raises many kinds for damaged images
            return None
    return sink.getvalue()

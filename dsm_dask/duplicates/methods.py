"""The methods that compare a column pair by pair, by name, from options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dsm_dask.duplicates.embeddings import BATCH, row_map
from dsm_dask.duplicates.images import DISTANCE, Images
from dsm_dask.duplicates.perceptual_hash import Method
from dsm_dask.duplicates.semantic import THRESHOLD, Semantic
from dsm_dask.errors import UsageError

IMAGE_METHODS = ("phash", "dhash")
PAIRWISE = ("semantic", *IMAGE_METHODS)


def method_of(
    name: str,
    on: str,
    *,
    threshold: float | None = None,
    embed: bool | Callable[[list[Any]], Any] = False,
    dimension: int | None = None,
    batch_size: int = BATCH,
    distance: int | None = None,
) -> Semantic | Images:
    """``semantic`` takes ``threshold`` (0.95 unless given) and, when the column holds no vectors,
    ``embed``: True for the built-in ones of a text, or a function, with ``dimension`` and
    ``batch_size`` (see :mod:`dsm_dask.duplicates.embeddings`). ``phash`` and ``dhash`` take
    ``distance`` (6 unless given).

    Raises UsageError for a name that is not one of these, or options that do not go with it.

    >>> method_of("dhash", "picture", distance=3)
    Images(on='picture', name='dhash', distance=3)
    """
    if name == "semantic":
        _only(name, distance=distance)
        made_by = None
        if embed:
            if embed is not True and not callable(embed):
                raise UsageError(f"{embed!r} makes no vectors.", valid="embed=True, or a function.")
            function = None if embed is True else embed
            made_by = row_map(on, function, dimension, batch_size)
        elif dimension is not None:
            raise UsageError("The vectors have a dimension already.", valid="It goes with embed.")
        return Semantic(on, THRESHOLD if threshold is None else threshold, made_by)
    if name in IMAGE_METHODS:
        _only(name, threshold=threshold, embed=embed or None, dimension=dimension)
        method: Method = "phash" if name == "phash" else "dhash"
        return Images(on, method, DISTANCE if distance is None else distance)
    raise UsageError(f"There is no method {name!r}.", valid=", ".join(PAIRWISE))


def _only(name: str, **others: Any) -> None:
    for option, value in others.items():
        if value is not None:
            raise UsageError(f"Method {name} takes no {option}.")

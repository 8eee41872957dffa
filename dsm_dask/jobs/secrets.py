"""Secrets do not belong in jobs: these are stored beside the dataset, in commits and in reports."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_WORDS = r"signature|credential|security-?token|token|secret|password|passwd|api-?_?key|accesskeyid"
_SECRET = re.compile(
    r"://[^/?#@\s]*:[^/?#@\s]*@"  # a password
    r"|https?://[^/?#@\s]+@"  # a token in the place of a name
    rf"|[?&#][\w.-]*({_WORDS})[\w.-]*=|[?&#](sig|key|access_?key|auth)=",
    re.IGNORECASE,
)
"""A password in a URI, or a signed URI."""

_UNSTORABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
"""What is in no path, and cannot be written as text."""

Place = tuple[int | str, ...]


def _texts(value: Any, place: Place) -> Iterator[tuple[Place, str]]:
    """Every text in a job, keys included, with its place."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield place, str(key)
            yield from _texts(inner, (*place, str(key)))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _texts(inner, (*place, index))


def refuse_secrets(job: Any) -> None:
    """Raise ValueError, which names the key but not the secret, nor what cannot be stored."""
    for place, text in _texts(job, ()):
        if _SECRET.search(text):
            raise ValueError(
                f"{path_of(place)} holds a secret; jobs are stored and shown, so credentials "
                "belong in the environment of each process"
            )
        if _UNSTORABLE.search(text):
            raise ValueError(f"{path_of(place)} holds a control character: {text[:80]!a}")


def path_of(loc: Place) -> str:
    """
    >>> path_of(("steps", 1, "dedup", "onn"))
    'steps[1].dedup.onn'
    """
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
    return text.lstrip(".") or "the job"

"""Secrets do not belong in jobs: these are stored beside the dataset, in commits and in reports."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_SECRET = re.compile(
    r"://[^/?#@\s]*:[^/?#@\s]*@|[?&](x-amz-(signature|credential|security-token)|signature|sig|"
    r"token|key|secret|password|access_key)=",
    re.IGNORECASE,
)
"""A password in a URI, or a signed URI."""


def _texts(value: Any, place: tuple[int | str, ...]) -> Iterator[tuple[tuple[int | str, ...], str]]:
    """Every text in a job, with its place; an error for a job that holds itself, as YAML can."""
    if len(place) > 20:
        raise ValueError("the job is nested too deeply")
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _texts(inner, (*place, str(key)))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _texts(inner, (*place, index))


def refuse_secrets(job: Any) -> None:
    """Raise ValueError, which names the key but not the secret."""
    for place, text in _texts(job, ()):
        if _SECRET.search(text):
            raise ValueError(
                f"{path_of(place)} holds a secret; jobs are stored and shown, so credentials "
                "belong in the environment of each process"
            )


def path_of(loc: tuple[int | str, ...]) -> str:
    """
    >>> path_of(("steps", 1, "dedup", "onn"))
    'steps[1].dedup.onn'
    """
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
    return text.lstrip(".") or "the job"

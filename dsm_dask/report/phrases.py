"""Pieces of sentences, and the big figures at the top of a page."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Phrase:
    """A piece of a sentence. ``kind`` is "strong" for figures, "code" for names."""

    text: str
    kind: str = ""


@dataclasses.dataclass(frozen=True)
class Number:
    """One of the big figures at the top."""

    label: str
    value: str
    note: str = ""

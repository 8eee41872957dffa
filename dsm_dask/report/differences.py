"""What differs between two texts, word by word."""

from __future__ import annotations

import difflib
import itertools
import re
from collections import Counter
from collections.abc import Sequence

CONTEXT = 6
"""Words told on either side of a difference."""

CHARACTERS = 10_000
"""Characters of a text that are worth fetching: few have more than :data:`WORDS` words."""

WORDS = 2000
"""Words of a text that are compared."""

_PAIRS = 400_000
"""Pairs of equal words up to which all of them are looked at."""

_CUT = " …"
"""How a text ends that was cut short."""

_WORD = re.compile(
    r"([\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\s\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+)(\s*)"
)
"""A word and the white space after it; Chinese and Japanese have a word for each character."""

Words = list[tuple[str, ...]]


def differences(kept: str, other: str) -> list[tuple[str, str]]:
    """Parts of ``other`` beside ``kept``: ("same" | "removed" | "added", words), where what is the
    same is cut down to a few words around a difference. White space is not compared. The first
    2,000 words are; where a text was cut there, or ends in " …", so do the parts.

    Matching blocks after Ratcliff and Obershelp, as :mod:`difflib` has it.

    >>> differences("the quick brown fox", "the quick red fox")
    [('same', 'the quick '), ('removed', 'brown'), ('added', 'red'), ('same', ' fox')]
    """
    left, right = _words(kept), _words(other)
    cut = max(len(left), len(right)) > WORDS or kept.endswith(_CUT) or other.endswith(_CUT)
    left, right = left[:WORDS], right[:WORDS]
    steps = _steps([word for word, _ in left], [word for word, _ in right])
    if cut and steps and steps[-1][0] != "equal":  # how it goes on there is not seen
        steps.pop()
    found: list[tuple[str, str]] = []
    space = ""  # white space after the last word that differs
    for index, (step, a, b, c, d) in enumerate(steps):
        if step == "equal":
            inner = _context(right[c:d], index == 0, index == len(steps) - 1)
            inner = inner.rstrip() + (right[d - 1][1] or left[b - 1][1])
            found.append(("same", space + inner))
            space = ""
            continue
        if a < b:
            found.append(("removed", _joined(left[a:b]).rstrip()))
        if c < d:
            found.append(("added", _joined(right[c:d]).rstrip()))
        space = (right[c:d] or left[a:b])[-1][1]
    return [*found, ("same", _CUT)] if cut else found


def sameness(kept: str, other: str, parts: Sequence[tuple[str, str]]) -> str:
    """In what way two texts are the same; empty when they differ. ``parts`` are their differences.

    >>> [sameness("a b", other, differences("a b", other)) for other in ("a b", "a  b", "a")]
    ['the same', 'the same but for white space', '']
    """
    if any(kind != "same" for kind, _ in parts):
        return ""
    if parts and parts[-1][1] == _CUT:
        return "the same as far as they were compared"
    return "the same" if kept == other else "the same but for white space"


def _words(text: str) -> Words:
    text = text.removesuffix(_CUT).lstrip()
    return [match.group(1, 2) for match in itertools.islice(_WORD.finditer(text), WORDS + 1)]


def _steps(left: Sequence[str], right: Sequence[str]) -> list[tuple[str, int, int, int, int]]:
    often = Counter(left)
    pairs = sum(often[word] * count for word, count in Counter(right).items())
    # each recursion looks at all pairs of equal words: without the popular ones, if there are many
    matcher = difflib.SequenceMatcher(None, left, right, autojunk=pairs > _PAIRS)
    return list(matcher.get_opcodes())


def _context(words: Words, first: bool, last: bool) -> str:
    room = 2 * CONTEXT
    head = [] if first else words[:room]
    tail = [] if last else words[-room:]
    if len(words) <= len(head) + len(tail) or (len(words) <= room and (first or last)):
        return _joined(words)
    cut = (_joined(head).rstrip() + _CUT) if head else _CUT.strip()
    return cut + " " * bool(tail) + _joined(tail)


def _joined(words: Words) -> str:
    return "".join(word + space for word, space in words)

"""Normalisation of texts before they are compared: explicit, and off unless asked for.

The steps, always in this order, whichever are chosen:

=============  ==================================================================================
``unicode``    NFKC: compatibility forms become plain ones (``ﬁ`` to ``fi``, ``①`` to ``1``)
``diacritics`` letters lose their marks (``é`` to ``e``), by NFD and without category Mn
``case``       lower case, as Unicode has it
``numbers``    every run of decimal digits (with ``.`` or ``,`` inside) becomes ``0``
``punctuation`` characters of categories P and S become spaces
``whitespace`` runs of white space become one space, and none is left at the ends
=============  ==================================================================================

Word shingles never see how much white space there is, so ``whitespace`` matters to characters only.
Bytes that are not UTF-8 become U+FFFD when a step has to read them as text.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from dsm_dask.arrays import plain
from dsm_dask.errors import UsageError, nearest

STEPS = ("unicode", "diacritics", "case", "numbers", "punctuation", "whitespace")

_NUMBER = r"\p{Nd}+(?:[.,]\p{Nd}+)*"
_PUNCTUATION = r"[\p{P}\p{S}]"
_WHITE = r"[\s\p{Z}\x{85}\x{1c}-\x{1f}]+"


@dataclasses.dataclass(frozen=True)
class Normalise:
    """Some of the steps, in their order.

    >>> Normalise.parse(["case,punctuation"]).apply(pa.array(["Don't PANIC!", None])).to_pylist()
    ['don t panic ', None]
    """

    steps: tuple[str, ...] = ()

    @staticmethod
    def parse(names: str | Sequence[str]) -> Normalise:
        """Read names of steps, several in one string by commas; raises UsageError."""
        texts = [names] if isinstance(names, str) else names
        given = [name.strip() for text in texts for name in text.split(",") if name.strip()]
        for name in given:
            if name not in STEPS:
                raise UsageError(f"There is no normalisation {name!r}.", valid=nearest(name, STEPS))
        return Normalise(tuple(step for step in STEPS if step in given))

    def apply(self, texts: pa.Array) -> pa.Array:
        """The texts after all steps; unchanged, whatever their type, when there is no step."""
        if not self.steps:
            return texts
        found = _as_text(texts)
        for step in self.steps:
            found = _STEP[step](found)
        return found


def _as_text(texts: pa.Array) -> pa.Array:
    texts = plain(texts)
    if pa.types.is_fixed_size_binary(texts.type):
        texts = texts.cast(pa.large_binary())
    try:
        found = texts.cast(pa.large_string())
        found.validate(full=True)
    except pa.ArrowInvalid:  # not UTF-8 somewhere
        raw = texts.cast(pa.large_binary()).to_pylist()
        decoded = [None if text is None else text.decode("utf-8", "replace") for text in raw]
        found = pa.array(decoded, pa.large_string())
    return found


def _diacritics(texts: pa.Array) -> pa.Array:
    bare = pc.replace_substring_regex(pc.utf8_normalize(texts, "NFD"), r"\p{Mn}", "")
    return pc.utf8_normalize(bare, "NFC")


_STEP = {
    "unicode": lambda texts: pc.utf8_normalize(texts, "NFKC"),
    "diacritics": _diacritics,
    "case": pc.utf8_lower,
    "numbers": lambda texts: pc.replace_substring_regex(texts, _NUMBER, "0"),
    "punctuation": lambda texts: pc.replace_substring_regex(texts, _PUNCTUATION, " "),
    "whitespace": lambda texts: pc.utf8_trim(pc.replace_substring_regex(texts, _WHITE, " "), " "),
}

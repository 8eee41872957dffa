"""Parameters of other tools, so that results can be compared with theirs.

================ ========== ============= ============ ========= ==================================
preset           shingles   bands x rows  permutations threshold normalisation
================ ========== ============= ============ ========= ==================================
``datatrove``    word:5     14 x 8        112          0.72      case, punctuation, diacritics,
                                                                 numbers, whitespace
``curator``      char:24    20 x 13       260          0.79      none
``datajuicer``   word:5     25 x 10       250 of 256   0.7       case
``text-dedup``   word:5     25 x 10       250          0.7       case, punctuation
================ ========== ============= ============ ========= ==================================

From datatrove's ``MinhashConfig`` and ``TextNormConfig``, NeMo Curator's
``FuzzyDeduplicationWorkflow``, Data-Juicer's ``DocumentMinhashDeduplicator`` and text-dedup's
``MinHashArgs``, at their defaults. None of them verifies candidates, so no preset does unless told
to. The first two have no threshold: given is the similarity (1/bands)^(1/rows) at which the chance
of becoming candidates is about two thirds, used when candidates are verified. The other two choose
bands and rows from the threshold by the least sum of errors, as
:func:`dsm_dask.duplicates.minhash.bands_for` does without verification.

What stays different: hash functions and seeds; words are what white space separates (datatrove
takes NLTK's words, text-dedup splits at everything that is not a letter, digit or underscore);
punctuation becomes a space (datatrove removes it); and a text shorter than a shingle has one
shingle (datatrove and text-dedup leave it out).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from dsm_dask.duplicates.minhash import MOST_PERMUTATIONS, MinHash, bands_for
from dsm_dask.duplicates.near import Near
from dsm_dask.duplicates.normalise import Normalise
from dsm_dask.duplicates.rule import Keep, Rule
from dsm_dask.duplicates.shingles import Shingles
from dsm_dask.errors import UsageError, nearest


@dataclasses.dataclass(frozen=True)
class Preset:
    """Parameters of a tool."""

    shingles: Shingles
    bands: int
    rows: int
    threshold: float
    normalise: Normalise
    verify: bool = False


PRESETS = {
    "datatrove": Preset(
        Shingles("word", 5), 14, 8, 0.72,
        Normalise.parse(["case,punctuation,diacritics,numbers,whitespace"]),
    ),
    "curator": Preset(Shingles("char", 24), 20, 13, 0.79, Normalise()),
    "datajuicer": Preset(Shingles("word", 5), 25, 10, 0.7, Normalise.parse(["case"])),
    "text-dedup": Preset(
        Shingles("word", 5), 25, 10, 0.7, Normalise.parse(["case,punctuation"])
    ),
}  # fmt: skip


def settings(
    preset: str | None = None,
    *,
    shingle: str | None = None,
    threshold: float | None = None,
    permutations: int | None = None,
    bands: int | None = None,
    rows: int | None = None,
    normalise: str | Sequence[str] | None = None,
    verify: bool | None = None,
    seed: int = 1,
    match_empty: bool = False,
    keep: Keep = "first",
    prefer: str | None = None,
) -> Near:
    """What near duplicates are, from options as a person gives them; each one that is given goes
    over the preset's.

    Without bands and rows they are chosen for the threshold, of ``permutations`` (128) minima; when
    one of them is given, the other is what the permutations leave room for.

    >>> settings(threshold=0.8).minhash.bands, settings("datatrove", rows=4).minhash.bands
    (21, 14)
    """
    if preset is not None and preset not in PRESETS:
        raise UsageError(f"There is no preset {preset!r}.", valid=nearest(preset, list(PRESETS)))
    base = PRESETS[preset] if preset else Preset(Shingles(), 0, 0, 0.8, Normalise(), True)
    level = base.threshold if threshold is None else threshold
    checked = base.verify if verify is None else verify
    if bands is None and rows is None:
        bands, rows = base.bands, base.rows
        if not bands or permutations is not None or (threshold is not None and preset is not None):
            bands, rows = bands_for(level, permutations or bands * rows or 128, verify=checked)
    else:
        room = permutations or base.bands * base.rows or 128
        if bands is None:
            bands = base.bands if base.bands and permutations is None else room // max(1, rows or 1)
        if rows is None:
            rows = base.rows if base.rows and permutations is None else room // max(1, bands)
        if not bands or not rows:
            given = f"{rows} rows" if not bands else f"{bands} bands"
            raise UsageError(
                f"{room} permutations have no room for {given}.",
                valid=f"Give more --permutations (up to {MOST_PERMUTATIONS}), or both --bands and "
                "--rows.",
            )
    minhash = MinHash(
        base.shingles if shingle is None else Shingles.parse(shingle),
        bands,
        rows,
        base.normalise if normalise is None else Normalise.parse(normalise),
        seed,
        match_empty,
    )
    return Near(minhash, level, checked, Rule(keep, prefer=prefer))

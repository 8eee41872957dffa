"""What the page of a deduplication shows: what repeats, how it was found, whether it may go."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from dsm_dask.report import text
from dsm_dask.report.check import shown
from dsm_dask.report.columns import Top
from dsm_dask.report.phrases import Number, Phrase

Json = Mapping[str, Any]

_MEASURES = {
    "minhash": "Jaccard similarity of the sets of shingles",
    "semantic": "cosine of the vectors",
    "phash": "share of the 64 bits of the hashes that agree",
    "dhash": "share of the 64 bits of the hashes that agree",
}
_PARAMETERS = {
    "threshold": "Least similarity", "distance": "Bits that may differ", "shingle": "Shingles",
    "permutations": "Permutations", "bands": "Bands", "rows": "Rows of a band", "seed": "Seed",
    "normalise": "Normalised", "match_empty": "Empty texts match", "verify": "Compared exactly",
    "embed": "Vectors made by", "prefer": "Kept: the greatest", "keep": "Kept",
}  # fmt: skip
_REASONS = {
    "null": "Null", "zero": "All zeros", "not_finite": "Not finite",
    "undecodable": "Not readable as an image", "unread": "Not readable",
}  # fmt: skip


def headline(found: Json) -> list[Phrase]:
    """How much repeats, in a sentence or two.

    >>> told = headline({"rows": 60_000, "duplicates": 6_143, "clusters": 4_017})
    >>> "".join(phrase.text for phrase in told)
    '6,143 of 60,000 rows repeat another one: 10.2 %, in 4,017 clusters. Nothing was dropped.'
    """
    rows, gone = found.get("rows") or 0, found.get("duplicates") or 0
    if not gone:
        return [Phrase("None", "strong"), Phrase(f" of {text.many(rows, 'row')} repeats another.")]
    verb = "repeats" if gone == 1 else "repeat"
    clusters = text.many(found.get("clusters") or 0, "cluster")
    return [
        Phrase(text.count(gone), "strong"),
        Phrase(f" of {text.many(rows, 'row')} {verb} another one: "),
        Phrase(text.share(gone, rows), "strong"),
        Phrase(f", in {clusters}. "),
        *_outcome(found),
    ]


def _outcome(found: Json) -> list[Phrase]:
    version = f"Version\u00a0{text.visible(found.get('version'))}"
    if not found.get("committed"):
        return [Phrase("Nothing was dropped.")]
    if not found.get("columns"):
        return [Phrase(f"{version} is without them.")]
    names: list[Phrase] = []
    for name in found["columns"]:
        names += [Phrase(", " if names else ""), Phrase(text.visible(name), "code")]
    return [Phrase(f"Nothing was dropped; {version} tells of them in "), *names, Phrase(".")]


def numbers(found: Json) -> list[Number]:
    """The big figures; those that a method does not have are left out."""
    rows = found.get("rows") or 0
    clusters = text.count(found.get("clusters") or 0)
    made = [Number("Rows", text.count(rows)), Number("Clusters", clusters, "of rows alike")]
    gone, kept = found.get("duplicates") or 0, found.get("kept")
    made.append(Number("Duplicates", text.count(gone), f"{text.share(gone, rows)} of the rows"))
    if kept is not None:
        made.append(Number("Kept", text.count(kept), f"{text.share(kept, rows)} of the rows"))
    checked, accepted = found.get("checked"), found.get("accepted")
    if checked is not None:
        made.append(Number("Pairs compared", text.count(checked), "candidates that are no copies"))
    if checked and accepted is not None:
        refused = text.count(checked - accepted)
        made.append(Number("Precision", text.share(accepted, checked),
                           f"of the candidates; {refused} were refused"))  # fmt: skip
    return made


# ---------------------------------------------------------------------------------------------
# Whether they may go


def evidence(found: Json) -> list[str]:
    """What to know before the rows are dropped, as sentences."""
    if not found.get("duplicates"):
        return []
    told = [_compared(found), *_weakest(found)]
    if any(one.get("rows") for one in found.get("against") or ()):
        told.append("A cluster with a row of another table keeps that one: all of its rows here "
                    "are duplicates.")  # fmt: skip
    told.append(_stays(found))
    return told


def _compared(found: Json) -> str:
    method, chosen = found.get("method") or "exact", found.get("parameters") or {}
    if method == "exact" and chosen.get("normalise"):
        return ("The rows of a cluster are equal in all of these columns once their texts are "
                "normalised: look at some of them.")  # fmt: skip
    if method == "exact":
        return "The rows of a cluster are equal in all of these columns."
    if chosen.get("verify") is False:
        return ("Candidates were not compared: rows may be joined by chance. Without "
                "--no-verify they are compared exactly.")  # fmt: skip
    if "distance" in chosen:
        return (f"Images are joined when their hashes differ in {shown(chosen['distance'])} of 64 "
                "bits or less: look at some of them.")  # fmt: skip
    least = shown(chosen["threshold"]) if "threshold" in chosen else "the threshold"
    return (f"Every pair that joins two rows was compared and is {least} or more alike. In a large "
            "cluster two rows may be alike through others only.")  # fmt: skip


def _weakest(found: Json) -> list[str]:
    bins: Sequence[Any] = found.get("similarities") or ()
    whole = sum(count for _, _, count in bins)
    if not whole:
        return []
    best = sum(count for low, _, count in bins if low >= 0.9499)
    low, high, count = bins[0]
    told = f"{text.share(best, whole)} of the pairs are 0.95 or more alike"
    if best == whole:
        return [told + "."]
    weak = f"{text.count(count)} of {text.count(whole)} are the weakest, {low:g} to {high:g}"
    below = " (some are shown below)" if found.get("borderline") else ""
    whole_list = "--out lists each row with its similarity"
    return [f"{told}; {weak}: look at those first{below}. {whole_list}."]


def groups_of(found: Json) -> str:
    """What the rows of a cluster have in common, by method.

    >>> groups_of({"method": "exact"})
    'equal rows'
    >>> groups_of({"method": "semantic", "parameters": {"threshold": 0.95}})
    'rows with a cosine of 0.95 or more, directly or through others'
    """
    method, chosen = found.get("method") or "exact", found.get("parameters") or {}
    if method == "exact":
        return "rows that are equal once normalised" if chosen.get("normalise") else "equal rows"
    if chosen.get("verify") is False:
        return "rows that share a band of their signatures, directly or through others"
    if "distance" in chosen:
        bits = shown(chosen["distance"])
        return f"images of which {bits} of 64 bits or less differ, directly or through others"
    measure = {"minhash": "a Jaccard similarity", "semantic": "a cosine"}.get(method)
    least = f"{shown(chosen['threshold'])} or more" if "threshold" in chosen else "the threshold"
    return f"rows with {measure or 'a similarity'} of {least}, directly or through others"


def row_that_stays(found: Json) -> str:
    """Which row of a cluster it is, by rule."""
    chosen = found.get("parameters") or {}
    if chosen.get("prefer"):
        return f"the row with the greatest {text.visible(chosen['prefer'])}"
    return "the longest row" if chosen.get("keep") == "longest" else "the row that comes first"


def _stays(found: Json) -> str:
    row = row_that_stays(found)
    kept = found.get("kept")
    left = "" if kept is None else f" With all duplicates dropped, {text.many(kept, 'row')} stay."
    return f"Of each cluster {row} stays, the same one on every run.{left}"


# ---------------------------------------------------------------------------------------------
# How they were looked for


def settings(found: Json) -> list[tuple[str, str]]:
    """Method, columns and parameters, and what of the index was of use."""
    on = found.get("on") or []
    names = [on] if isinstance(on, str) else on
    method = text.visible(found.get("method") or "exact")
    told = [("Method", method), ("On", ", ".join(map(text.visible, names)))]
    if method in _MEASURES:
        told.append(("Similarity", _MEASURES[method]))
    chosen = found.get("parameters") or {}
    for name in [*_PARAMETERS, *(name for name in chosen if name not in _PARAMETERS)]:
        if chosen.get(name) is not None and not (name == "keep" and chosen.get("prefer")):
            value = chosen[name]
            said = ("yes" if value else "no") if isinstance(value, bool) else shown(value)
            told.append((_PARAMETERS.get(name) or text.visible(name), said))
    index = found.get("index") or {}
    if index.get("files"):
        known = index["files"] - (index.get("hashed") or 0)
        told.append(("Index", f"{text.many(index['files'], 'file')}, {text.count(known)} of them "
                     f"known before; {text.size(index.get('bytes') or 0)}"))  # fmt: skip
    return told


def against(found: Json) -> list[tuple[str, str, str, str, str]]:
    """Of each other table: its name, the rows here that are there too and their share, its own rows
    that are here too, and clusters."""
    rows = found.get("rows") or 0
    return [
        (text.visible(one.get("against") or ""), text.count(one.get("rows") or 0),
         text.share(one.get("rows") or 0, rows), text.count(one.get("other_rows") or 0),
         text.count(one.get("clusters") or 0))
        for one in found.get("against") or ()
    ]  # fmt: skip


def notes(found: Json) -> list[str]:
    """Remarks on the data."""
    return [text.visible(note) for note in found.get("notes") or ()]


def left_out(found: Json) -> list[tuple[str, str]]:
    """Rows that could not be compared, by reason."""
    told = []
    for name, value in (found.get("left_out") or {}).items():
        if value and not isinstance(value, (list, tuple)):
            told.append((_REASONS.get(name) or text.visible(name), shown(value)))
    return told


# ---------------------------------------------------------------------------------------------
# Charts


def sizes(found: Json) -> tuple[list[Top], dict[str, Any]]:
    """Cluster sizes as labelled bars, and what the script draws of them."""
    bins: Sequence[Any] = found.get("sizes") or ()
    whole = sum(count for _, _, count in bins)
    items = [
        Top(_span(least, most), "", text.count(count), text.share(count, whole))
        for least, most, count in bins
    ]
    return items, {"bars": [count for _, _, count in bins]} if bins else {}


def _span(least: int, most: int) -> str:
    if least == most:
        return text.many(least, "row")
    if most >= 1 << 40:
        return f"{text.many(least, 'row')} or more"
    return f"{text.count(least)} to {text.many(most, 'row')}"


def similarities(found: Json) -> dict[str, Any]:
    """The histogram of pairs by similarity, up to 1, as the script draws it.

    >>> similarities({"similarities": [[0.8, 0.85, 3], [0.95, 1.0, 9]]})["counts"]
    [3, 0, 0, 9]
    """
    bins: Sequence[Any] = found.get("similarities") or ()
    if not bins:
        return {}
    low, width = bins[0][0], bins[0][1] - bins[0][0]
    least = (found.get("parameters") or {}).get("threshold")
    if isinstance(least, (int, float)) and 0 < least < low:
        low = math.floor(least / width + 1e-9) * width
    counts = [0] * max(1, round((1 - low) / width))
    for start, _, count in bins:
        counts[min(round((start - low) / width), len(counts) - 1)] += count
    return {"low": round(low, 9), "high": 1.0, "counts": counts, "unit": "number", "thing": "pair"}

"""What the pages with heat maps show: drift over time, drift by slice."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dsm_dask.report import distance, text
from dsm_dask.report.phrases import Number, Phrase

Json = Mapping[str, Any]

UPRIGHT = 40
"""Up to so many slices, each has its name above its cells."""
LISTED = 60
"""Slices and change points that are listed."""


@dataclasses.dataclass(frozen=True)
class Track:
    """One row of a heat map."""

    name: str
    type: str
    drift: bool
    chart: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Grid:
    """A heat map: rows, those with the farthest cell first, and what stands above them."""

    head: dict[str, Any]
    tracks: tuple[Track, ...]

    @property
    def charts(self) -> list[dict[str, Any]]:
        """What the script draws: the head, then each row."""
        return [self.head, *(track.chart for track in self.tracks)]


@dataclasses.dataclass(frozen=True)
class Slice:
    """A value of the column that slices go by."""

    value: str
    rows: str
    state: str
    score: str
    columns: tuple[tuple[str, str], ...]
    more: int


def series_grid(found: Json) -> Grid:
    """Columns by windows."""
    windows = found.get("windows") or []
    few = [bool(window.get("too_few")) for window in windows]
    head = {
        "labels": [window_name(window) for window in windows],
        "counts": [window.get("rows") or 0 for window in windows],
        **_head(few),
    }
    tracks = []
    for name, one in (found.get("columns") or {}).items():
        lists = {key: one.get(key) or [None] * len(windows) for key in _LISTS}
        cells = [_cell(one, dict(zip(_LISTS, each, strict=True)))
                 for each in zip(*lists.values(), strict=True)]  # fmt: skip
        made = _track(name, one.get("method"), cells, few, len(windows))
        made.chart["changes"] = [point["index"] for point in one.get("change_points") or []]
        tracks.append(made)
    return Grid(head, _ranked(tracks))


def slices_grid(found: Json) -> Grid:
    """Columns by slices."""
    slices = found.get("slices") or []
    few = [bool(one.get("too_few")) for one in slices]
    sizes = [one.get("rows") or {} for one in slices]
    head = {
        "labels": [slice_name(one.get("value")) for one in slices],
        "before": [size.get("reference") or 0 for size in sizes],
        "counts": [size.get("current") or 0 for size in sizes],
        **_head(few),
        "ticks": "upright" if len(slices) <= UPRIGHT else "",
    }
    names = dict.fromkeys(name for one in slices for name in one.get("columns") or {})
    tracks = []
    for name in names:
        own = [(one.get("columns") or {}).get(name) for one in slices]
        method = next((cell.get("method") for cell in own if cell), None)
        cells = [_cell(cell or {}, cell or {}) for cell in own]
        tracks.append(_track(name, method, cells, few, len(slices)))
    return Grid(head, _ranked(tracks))


def series_verdict(found: Json, grid: Grid) -> list[Phrase]:
    """What drifted when, and what moved farthest."""
    windows, cols = found.get("windows") or [], found.get("columns") or {}
    drifted = sum(bool(one.get("drifted")) for one in cols.values())
    hit = {i for one in cols.values() for i, cell in enumerate(one.get("drift") or []) if cell}
    told = [
        Phrase("Drift." if found.get("drifted") else "No drift.", "strong"),
        Phrase(f" {text.count(drifted)} of {text.many(len(cols), 'column')} moved past their "
               f"limits in {text.count(len(hit))} of {text.many(len(windows), 'window')} of "),
        Phrase(text.visible(found.get("window") or "time")), Phrase(" of "),
        Phrase(text.visible(found.get("over") or "time"), "code"), Phrase(", compared with "),
        *_reference(found.get("reference")), Phrase(". "),
    ]  # fmt: skip
    return told + _farthest(grid)


def slices_verdict(found: Json, grid: Grid) -> list[Phrase]:
    """Which slices drifted, and what moved farthest."""
    slices = found.get("slices") or []
    drifted = sum(bool(one.get("drifted")) for one in slices)
    told = [
        Phrase("Drift." if found.get("drifted") else "No drift.", "strong"),
        Phrase(f" Columns moved past their limits in {text.count(drifted)} of "
               f"{text.many(len(slices), 'value')} of "),
        Phrase(text.visible(found.get("by") or "the column"), "code"), Phrase(". "),
    ]  # fmt: skip
    if lone := found.get("share_unmatched"):
        told.append(Phrase(f"{text.share(lone, 1)} of the rows of one side have values that the "
                           "other lacks. "))  # fmt: skip
    return told + _farthest(grid)


def series_numbers(found: Json) -> list[Number]:
    """The big figures of a series."""
    windows, cols = found.get("windows") or [], found.get("columns") or {}
    changes = sum(len(one.get("change_points") or []) for one in cols.values())
    few = sum(bool(window.get("too_few")) for window in windows)
    drifted = sum(bool(one.get("drifted")) for one in cols.values())
    return [
        Number("Columns that drifted", text.count(drifted), f"of {text.count(len(cols))}"),
        Number("Windows", text.count(len(windows)), f"{few:,} with too few rows" if few else ""),
        Number("Change points", text.count(changes)),
        Number("Rows", text.count(found.get("rows") or 0)),
    ]


def slices_numbers(found: Json) -> list[Number]:
    """The big figures of slices."""
    slices = found.get("slices") or []
    return [
        Number("Slices that drifted", text.count(sum(bool(s.get("drifted")) for s in slices)),
               f"of {text.count(len(slices))}"),
        Number("Too few rows", text.count(sum(bool(s.get("too_few")) for s in slices))),
        Number("New values", text.count(len(found.get("new") or []))),
        Number("Vanished values", text.count(len(found.get("vanished") or []))),
    ]  # fmt: skip


def remarks(found: Json) -> list[str]:
    """Columns that another method judges than the one asked for, and rows that no cell counts."""
    left = found.get("left_out") or {}
    rows = left.get("rows") or 0
    most = (
        max((rows.get(side) or 0 for side in rows), default=0) if isinstance(rows, dict) else rows
    )
    told = [f"{note}." for note in distance.method_notes(_columns(found))]
    if most:
        about = "" if left.get("exact", True) else "about "
        kind = "window" if "windows" in left else "value"
        number = left.get("windows", left.get("groups", 0))
        told.append(f"Left out: {about}{text.many(number, kind)} with {text.many(most, 'row')}.")
    if left.get("null_rows"):
        told.append(f"{text.many(left['null_rows'], 'row')} without a time.")
    return told


def change_points(found: Json) -> tuple[list[tuple[str, str, str, str]], int]:
    """(column, since when, mean distance before, after), and how many more there are."""
    made = [
        (text.visible(name), window_name(point), text.number(point.get("before")),
         text.number(point.get("after")))
        for name, one in (found.get("columns") or {}).items()
        for point in one.get("change_points") or []
    ]  # fmt: skip
    return made[:LISTED], max(0, len(made) - LISTED)


def slice_rows(found: Json) -> tuple[list[Slice], int]:
    """The slices that moved farthest, and how many more there are."""
    slices = found.get("slices") or []
    return [_slice(one) for one in slices[:LISTED]], max(0, len(slices) - LISTED)


def window_name(window: Json) -> str:
    """
    >>> window_name({"start": "2024-02-01T00:00:00+00:00"}), window_name({"start": None})
    ('2024-02-01', '(no time)')
    """
    return text.moment(window["start"]) if window.get("start") is not None else "(no time)"


def slice_name(value: Any) -> str:
    """
    >>> slice_name(None), slice_name(""), slice_name("en")
    ('(null)', '(empty)', 'en')
    """
    return "(null)" if value is None else text.visible(value) or "(empty)"


def _columns(found: Json) -> Iterator[tuple[str, Json]]:
    """Of a series, or of each slice."""
    for one in found.get("slices") or [found]:
        yield from (one.get("columns") or {}).items()


_LISTS = ("distance", "error", "p_value", "adjusted_p_value", "drift", "certain")


def _cell(one: Json, cell: Json) -> dict[str, Any] | None:
    value = cell.get("distance")
    if value is None:
        return None
    drift, p = bool(cell.get("drift")), cell.get("adjusted_p_value")
    far = distance.ratio(one.get("method"), one.get("threshold"), value, p)
    return {
        "value": text.number(value), "drift": drift, "far": far,
        "error": f"{cell['error']:.2g}" if cell.get("error") else "",
        "p": None if p is None else distance.p_value(p),
        "certain": cell.get("certain") is not False,
        "rank": max(far or 0.0, float(cell.get("score") or 0.0), 1.0 if drift else 0.0),
    }  # fmt: skip


def _track(
    name: str, method: Any, cells: Sequence[Json | None], few: Sequence[bool], size: int
) -> Track:
    known = [cell for cell in cells if cell is not None]
    drifted = sum(cell["drift"] for cell in known)
    levels = "".join(
        "x" if few[i] else "-" if cell is None else distance.level(cell["far"], cell["drift"])
        for i, cell in enumerate(cells)
    )
    ranks = [-1.0 if cell is None else cell["rank"] for cell in cells]
    farthest = max(ranks, default=0.0)
    chart = {
        "name": text.visible(name) or "(no name)",
        "method": distance.method_name(method),
        "levels": levels,
        "values": [cell and cell["value"] for cell in cells],
        "errors": [cell["error"] if cell else "" for cell in cells],
        "p": [cell and cell["p"] for cell in cells],
        "ratios": [None if cell is None or cell["far"] is None else round(cell["far"], 2)
                   for cell in cells],
        "drift": "".join("1" if cell and cell["drift"] else "0" for cell in cells),
        "unsure": "".join("0" if cell is None or cell["certain"] else "1" for cell in cells),
        "told": f"drifted in {text.count(drifted)} of {text.count(size)}",
        "farthest": farthest, "peak": ranks.index(farthest) if known else None,
    }  # fmt: skip
    shown = f"{distance.method_name(method)}, {text.count(drifted)} drifted"
    return Track(str(chart["name"]), shown, drifted > 0, chart)


def _ranked(tracks: Sequence[Track]) -> tuple[Track, ...]:
    return tuple(sorted(tracks, key=lambda track: -track.chart["farthest"]))


def _head(few: Sequence[bool]) -> dict[str, Any]:
    return {"few": "".join("1" if one else "0" for one in few), "scale": "d", "tells": "drift",
            "ticks": "", "readout": "cell"}  # fmt: skip


def _reference(reference: Any) -> list[Phrase]:
    named = {"first": "the first one", "previous": "the one before each"}
    if reference in named:
        return [Phrase(named[reference])]
    return [Phrase(text.visible(reference or "a reference"), "code")]


def _farthest(grid: Grid) -> list[Phrase]:
    first = grid.tracks[0].chart if grid.tracks else {}
    peak = first.get("peak")
    if peak is None or not first["farthest"]:
        return []
    shown = first["values"][peak] + (f" ± {first['errors'][peak]}" if first["errors"][peak] else "")
    far = first["ratios"][peak]
    told = [Phrase(text.excerpt(first["name"]), "code"), Phrase(" moved farthest: "),
            Phrase(f"{first['method']} {shown} in "),
            Phrase(text.excerpt(grid.head["labels"][peak]), "code")]  # fmt: skip
    if far is not None:
        told += [Phrase(", "), Phrase(f"{text.number(far)} × its threshold", "strong")]
    sure = "" if first["unsure"][peak] == "0" else "; uncertain, within the error of the sketches"
    return [*told, Phrase(f"{sure}.")]


def _slice(one: Json) -> Slice:
    rows = one.get("rows") or {}
    old, new = rows.get("reference") or 0, rows.get("current") or 0
    moved = [
        (text.visible(name), text.number(round(float(cell.get("score") or 0.0), 2)))
        for name, cell in (one.get("columns") or {}).items()
        if cell.get("drift")
    ]
    state = "drifted" if one.get("drifted") else "too few rows" if one.get("too_few") else ""
    if one.get("too_few") and not (old and new):
        state = "new" if not old else "vanished"
    few = bool(one.get("too_few"))
    score = "" if few else text.number(round(float(one.get("score") or 0.0), 2)) + " ×"
    rows_shown = f"{text.count(old)} → {text.count(new)}"
    name, more = slice_name(one.get("value")), max(0, len(moved) - 5)
    return Slice(name, rows_shown, state, score, tuple(moved[:5]), more)

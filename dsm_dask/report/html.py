"""From results to a page: one file that asks for nothing else.

The page may run its one script, known by its hash, and nothing that comes with the data: values
are escaped by jinja2, and the data that the script draws from holds no markup.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

from dsm_dask.report import (
    borderline,
    check,
    clusters,
    columns,
    dedup,
    drift,
    dropped,
    grid,
    issues,
    moved,
    steps,
    story,
    table,
    text,
    timeline,
)
from dsm_dask.report.phrases import Number

if TYPE_CHECKING:
    import jinja2

_SCRIPTS = ("svg.js", "histogram.js", "overlay.js", "heat.js", "page.js")
_STYLES = ("style.css", "drift.css", "dedup.css", "issues.css")


def profile_page(profile: Mapping[str, Any], *, title: str) -> str:
    """The page of a profile, from ``Profile.to_dict()``.

    >>> column = {"type": "string", "count": 2, "nulls": 0, "top": [{"value": "<b>", "count": 2}]}
    >>> page = profile_page({"rows": 2, "columns": {"x": column}}, title="A & B")
    >>> "<title>A &amp; B" in page, "<b>" in page, "&lt;b&gt;" in page
    (True, False, True)
    """
    cards = columns.cards(profile)
    whole = profile.get("table") or {}
    matrix = table.correlation(whole)
    charts = [card.chart for card in cards]
    return _render(
        "profile.html.j2",
        title=text.visible(title),
        cards=cards,
        remarks=columns.remarks(cards, profile),
        numbers=_profile_numbers(profile),
        left_out=_left_out(profile),
        rows=text.many(profile.get("rows") or 0, "row"),
        before=None,
        matrix=matrix,
        matrix_at=len(charts),
        strongest=table.strongest(whole),
        missing=table.missing(whole),
        balance=table.balance(whole),
        outliers=table.outliers(whole),
        data=data_block([*charts, *_grid_charts(matrix, len(charts))]),
    )


def drift_page(found: Mapping[str, Any], *, title: str) -> str:
    """The page of a comparison, from ``Comparison.to_dict()``.

    >>> column = {"type": "int64", "drift": True, "score": 3.0, "method": "js", "threshold": 0.1,
    ...           "distances": {"js": 0.3}, "errors": {"js": 0.01}}
    >>> page = drift_page({"drifted": True, "columns": {"<x>": column}}, title="May to June")
    >>> "Jensen-Shannon 0.3 ± 0.01" in page, "&lt;x&gt;" in page, "<x>" in page
    (True, True, False)
    """
    cards = drift.moved(found)
    sides = {side: text.visible(found.get(side) or side) for side in ("reference", "current")}
    return _render(
        "drift.html.j2",
        title=text.visible(title),
        sides=sides,
        verdict=drift.verdict(found),
        numbers=drift.numbers(found),
        left_out=_left_out(found),
        schema=drift.schema(found),
        importance=drift.importance(found),
        overview=drift.overview(cards),
        cards=cards,
        data=data_block([card.chart for card in cards]),
    )


def series_page(found: Mapping[str, Any], *, title: str) -> str:
    """The page of drift over time, from ``Series.to_dict()``.

    >>> windows = [{"start": "2024-01-01T00:00:00", "rows": 9, "too_few": True}]
    >>> "1 with too few rows" in series_page({"windows": windows, "columns": {}}, title="Year")
    True
    """
    made = grid.series_grid(found)
    listed, more = grid.change_points(found)
    return _render(
        "grid.html.j2",
        **_grid_values(found, made, title),
        eyebrow="dsm drift over time",
        across="windows",
        verdict=grid.series_verdict(found, made),
        numbers=grid.series_numbers(found),
        changes=listed,
        slices=[],
        more=more,
    )


def slices_page(found: Mapping[str, Any], *, title: str) -> str:
    """The page of drift by slice, from ``Slices.to_dict()``.

    >>> slices = [{"value": "en", "rows": {"reference": 5, "current": 0}, "too_few": True}]
    >>> "vanished" in slices_page({"by": "lang", "slices": slices}, title="Languages")
    True
    """
    made = grid.slices_grid(found)
    listed, more = grid.slice_rows(found)
    return _render(
        "grid.html.j2",
        **_grid_values(found, made, title),
        eyebrow="dsm drift by slice",
        across="slices",
        verdict=grid.slices_verdict(found, made),
        numbers=grid.slices_numbers(found),
        changes=[],
        slices=listed,
        more=more,
    )


def check_page(found: Mapping[str, Any], *, title: str) -> str:
    """The page of a check, from ``Checked.to_dict()``.

    >>> page = check_page({"passed": True, "findings": [], "rows": 7}, title="Nightly")
    >>> "<strong>Passed.</strong>" in page
    True
    """
    return _render(
        "check.html.j2",
        title=text.visible(title),
        sides={key: text.visible(found.get(key) or "") for key in ("data", "against")},
        verdict=check.verdict(found),
        numbers=check.numbers(found),
        left_out=_left_out(found),
        groups=check.groups(found),
        passed=bool(found.get("passed", not found.get("findings"))),
        data=data_block([]),
    )


def dedup_page(found: Mapping[str, Any], *, title: str) -> str:
    """The page of a deduplication, from ``Deduplicated.to_dict()``.

    >>> found = {"rows": 9, "duplicates": 2, "clusters": 1, "kept": 7, "on": ["<x>"]}
    >>> page = dedup_page(found, title="Reviews")
    >>> "<strong>2</strong> of 9 rows repeat another one" in page, "&lt;x&gt;" in page
    (True, True)
    """
    sizes, bars = dedup.sizes(found)
    similarities = dedup.similarities(found)
    listed = clusters.clusters(found)
    return _render(
        "dedup.html.j2",
        title=text.visible(title),
        method=text.visible(found.get("method") or "exact"),
        headline=dedup.headline(found),
        numbers=dedup.numbers(found),
        left_out=_left_out(found),
        evidence=dedup.evidence(found),
        committed=bool(found.get("committed")),
        settings=dedup.settings(found),
        against=dedup.against(found),
        notes=dedup.notes(found),
        not_compared=dedup.left_out(found),
        sizes=sizes,
        similarities=bool(similarities),
        clusters=listed,
        joined=borderline.pairs(found, joined=True),
        refused=borderline.pairs(found, joined=False),
        fetched=any(row.changed for one in listed for row in one.repeats),
        count=found.get("clusters") or 0,
        data=data_block([bars, similarities]),
    )


def issues_page(found: Mapping[str, Any], *, title: str) -> str:
    """The page of a review queue, from ``Queue.to_dict()``, texts and images as
    :class:`~dsm_dask.scores.review.row_values.Text` and so on have them.

    >>> row = {"row": 7, "label": "cat", "suggested": "<dog>", "reasons": ["model says `<dog>`"]}
    >>> page = issues_page({"rows": 9, "label": "y", "queued": [row]}, title="Pets")
    >>> "&lt;dog&gt;" in page, "<dog>" in page
    (True, False)
    """
    listed = issues.items(found)
    return _render(
        "issues.html.j2",
        title=text.visible(title),
        version=text.visible(found.get("version") or ""),
        headline=issues.headline(found),
        numbers=issues.numbers(found),
        left_out=_left_out(found),
        pairs=issues.pairs(found),
        items=listed,
        gallery=issues.is_gallery(listed),
        data=data_block([]),
    )


def run_page(run: Mapping[str, Any], *, title: str) -> str:
    """The page of a job's run, from the JSON object of ``dsm run JOB.yaml --json``.

    >>> create = {"verb": "create", "result": {"rows": 5, "version": 1}}
    >>> page = run_page({"job": "j", "dataset": "d", "steps": [create]}, title="Demo")
    >>> "<h1>Demo</h1>" in page, "None" in page
    (True, False)
    """
    profiles = [steps.result(step) for step in steps.steps(run, "profile")]
    after = profiles[-1] if profiles else {}
    before = profiles[0] if len(profiles) > 1 else None
    cards = columns.cards(after, before)
    return _render(
        "run.html.j2",
        title=text.visible(title),
        cards=cards,
        remarks=columns.remarks(cards, after),
        headline=story.headline(run),
        numbers=story.numbers(run),
        versions=timeline.versions(run),
        differences=timeline.differences(run),
        reasons=dropped.reasons(run),
        moved=moved.moved(run),
        left_out=steps.left_out(run),
        facts=_facts(run),
        rows=text.many(after.get("rows") or 0, "row"),
        before=None if before is None else text.many(before.get("rows") or 0, "row"),
        data=data_block([card.chart for card in cards]),
    )


def data_block(charts: Sequence[Any]) -> str:
    """A JSON array that is safe inside of a script element, a line for each chart: the script reads
    those that it draws.

    >>> data_block(["</script>", "a & b"])
    '[\\n"\\\\u003c/script\\\\u003e",\\n"a \\\\u0026 b"\\n]'
    """
    lines = (json.dumps(chart, separators=(",", ":"), allow_nan=False) for chart in charts)
    shown = "[\n" + ",\n".join(lines) + "\n]"
    for mark in "<>&\u2028\u2029":
        shown = shown.replace(mark, f"\\u{ord(mark):04x}")
    return shown


def _grid_values(found: Mapping[str, Any], made: grid.Grid, title: str) -> dict[str, Any]:
    return {
        "title": text.visible(title),
        "grid": made,
        "left_out": _left_out(found),
        "remarks": grid.remarks(found),
        "data": data_block(_grid_charts(made, 0)),
    }


def _grid_charts(made: grid.Grid | None, at: int) -> list[dict[str, Any]]:
    """Charts of a heat map whose head is at a place among all charts of a page."""
    if made is None:
        return []
    head, *rows = made.charts
    return [head, *({**row, "head": at} for row in rows)]


def _left_out(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Partitions that were skipped on the way to a result."""
    return steps.left_out({"steps": [{"result": found}]})


def _profile_numbers(profile: Mapping[str, Any]) -> list[Number]:
    every = profile.get("columns") or {}
    found = {name: column for name, column in every.items() if not column.get("path")}
    inside = len(every) - len(found)
    rows = profile.get("rows") or 0
    nulls = sum(column.get("nulls") or 0 for column in found.values())
    shown = [
        Number("Rows", text.count(rows)),
        Number("Columns", text.count(len(found)),
                     f"and {text.many(inside, 'path')} inside them" if inside else ""),
    ]  # fmt: skip
    if rows and found:
        share = text.share(nulls, rows * len(found))
        shown.append(Number("Missing", share, "of all values are null"))
    whole = profile.get("table") or {}
    if whole.get("bytes"):
        parts = text.many(whole.get("partitions") or 0, "partition")
        shown.append(Number("Stored", text.size(whole["bytes"]), f"in {parts}"))
    io = profile.get("io") or {}
    for label, key, note in (
        ("Read", "bytes_read", "by the workers, in one scan"),
        ("Reached the client", "client_bytes", "results only"),
    ):
        if io.get(key) is not None:
            shown.append(Number(label, text.size(io[key]), note))
    return shown


def _facts(run: Mapping[str, Any]) -> list[str]:
    named = run.get("job")
    spent = run.get("seconds")
    facts = [f"Job {text.visible(named)}"] if named else []
    facts += [text.many(len(steps.steps(run)), "step")] if steps.steps(run) else []
    return facts + ([text.seconds(spent)] if spent is not None else [])


def _render(template: str, **values: Any) -> str:
    script, style = _script(), "".join(map(_asset, _STYLES))
    policy = (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    return _environment().get_template(template).render(
        policy=policy, script=_markup(script), style=_markup(style),
        **{**values, "data": _markup(values["data"])},
    )  # fmt: skip


@functools.cache
def _environment() -> jinja2.Environment:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FunctionLoader(_asset),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@functools.cache
def _script() -> str:
    parts = "".join(map(_asset, _SCRIPTS))
    return f'"use strict";\n(() => {{\n{parts}}})();\n'


@functools.cache
def _asset(name: str) -> str:
    folder = resources.files("dsm_dask.report") / "templates"
    return (folder / name).read_text(encoding="utf-8")


def _digest(content: str) -> str:
    digest = hashlib.sha256(content.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _markup(content: str | Sequence[str]) -> Any:
    """Text of our own that is markup already: the style, the script, the escaped data."""
    import markupsafe

    return markupsafe.Markup(content)  # noqa: S704 - none of it is from data, or it is escaped

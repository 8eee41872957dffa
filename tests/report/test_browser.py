"""The page in a real browser: quiet, safe with hostile data, fit for its width, quick."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from dsm_dask.report import profile_page, run_page

pytestmark = pytest.mark.browser

Show = Callable[..., Any]

HOSTILE = [
    "</script><script>window.hacked = 1</script>",
    '"><img src=x onerror="window.hacked = 1">',
    "<svg onload='window.hacked = 1'>",
    "'); window.hacked = 1; ('",
    "{{ 7 * 7 }} {% raw %} ${7*7} &lt;b&gt; &amp;",
    "</style></title><title>hacked</title><base href=//evil.example>",
    "<!-- <script> ]]>",
    "שלום עולם",
    "line\nbreak\ttab \u2028 separator",
]


def settle(browser: Any) -> None:
    browser.execute_async_script(
        "const done = arguments[0];"
        "requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 50)));"
    )


def texts(browser: Any, selector: str) -> list[str]:
    script = "return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent)"
    return list(browser.execute_script(script, selector))


def drawn(browser: Any) -> int:
    """Cards of which the chart was drawn."""
    script = "return [...document.querySelectorAll('.card')].filter((c) => c.querySelector('svg'))"
    return int(browser.execute_script(script + ".length"))


def check_quiet(browser: Any) -> None:
    """No errors, nothing refused by the page's own policy, nothing asked for."""
    assert browser.get_log("browser") == []
    asked = browser.execute_script(
        "return performance.getEntriesByType('resource').map((e) => e.name)"
    )
    assert asked == []


def check_fits(browser: Any, width: int) -> None:
    """Nothing sticks out of the page; what scrolls for itself may."""
    script = (
        "const e = document.scrollingElement; return [e.scrollWidth, e.clientWidth, innerWidth]"
    )
    content, room, window = browser.execute_script(script)
    assert window == width
    assert content == room > width - 20  # the rest is the scroll bar


def hostile_profile() -> dict[str, Any]:
    top = [{"value": value, "count": 9 - i, "error": 0} for i, value in enumerate(HOSTILE[:6])]
    column = {
        "type": "struct<" + HOSTILE[0] + ": int64>", "count": 50, "nulls": 5, "nan": 0,
        "min": HOSTILE[1], "max": HOSTILE[2], "distinct": 6, "distinct_exact": True,
        "quantiles": {"0.5": HOSTILE[3]}, "top": top, "top_exact": True,
        "histogram": {"edges": [], "counts": [], "below": 0, "above": 0},
        "lengths": {"unit": HOSTILE[0], "min": 1, "max": 9, "mean": 3.0, "total": 150},
    }  # fmt: skip
    return {"rows": 50, "columns": dict.fromkeys(HOSTILE, column)}


def hostile_run() -> dict[str, Any]:
    profile = hostile_profile()
    skipped = [{"partition": HOSTILE[0], "cause": HOSTILE[1]}]
    version = {
        "version": 2, "parent": "1", "job": HOSTILE[0], "message": HOSTILE[1], "rows": 40,
        "tags": HOSTILE, "at": HOSTILE[2], "bytes_written": 10, "software": HOSTILE[2],
        "spec": {"where": HOSTILE[0]},
    }  # fmt: skip
    cluster = {
        "size": 3, "survivor": 1, "values": {HOSTILE[0]: HOSTILE[1]}, "text": HOSTILE[2],
        "examples": [{"row_id": 1, HOSTILE[1]: HOSTILE[0]}],
    }  # fmt: skip
    dedup = {"rows": 50, "duplicates": 10, "kept": 40, "clusters": 4, "version": 2,
             "on": HOSTILE, "method": HOSTILE[0], "largest": [cluster] * 6}  # fmt: skip
    diff = {"before": HOSTILE[0], "after": HOSTILE[1], "added": 0, "removed": 10, "updated": 0,
            "columns_added": HOSTILE, "columns_removed": HOSTILE}  # fmt: skip
    results = {
        "create": {"dataset": HOSTILE[0], "version": 1, "rows": 50},
        "profile": {**profile, "skipped": skipped}, "dedup": dedup,
        "drop": {"version": 2, "rows": 40, "dropped": 1}, "tag": {"name": HOSTILE[0]},
        "log": {"versions": [version]}, "diff": diff, HOSTILE[0]: {},
    }  # fmt: skip
    io = {"bytes_read": 10, "bytes_written": 20, "requests": 1, "client_bytes": 5}
    steps = [{"verb": v, "seconds": 1.0, "io": io, "result": r} for v, r in results.items()]
    steps.insert(2, steps[1])
    return {"job": HOSTILE[0], "dataset": HOSTILE[1], "steps": steps, "io": io, "seconds": 2.0}


def wide_profile(columns: int) -> dict[str, Any]:
    counts = [(7 * i) % 31 for i in range(128)]
    number = {
        "type": "double", "count": 1000, "nulls": 3, "nan": 0, "min": 0.0, "max": 128.0,
        "mean": 64.0, "std": 3.5, "distinct": 990, "distinct_exact": True,
        "quantiles": {"0.01": 1.0, "0.05": 6.0, "0.25": 30.0, "0.5": 64.0, "0.75": 90.0,
                      "0.95": 120.0, "0.99": 127.0},
        "top": [], "histogram": {"edges": [float(i) for i in range(129)], "counts": counts},
    }  # fmt: skip
    top = [{"value": f"value {i}", "count": 100 - i, "error": 0} for i in range(10)]
    string = {
        "type": "string", "count": 1000, "nulls": 0, "min": "a", "max": "z", "distinct": 50,
        "distinct_exact": True, "quantiles": {}, "top": top, "top_exact": True,
        "lengths": {"unit": "characters", "min": 1, "max": 9, "mean": 3.0, "total": 150},
    }  # fmt: skip
    named = {f"column_{i:04}": string if i % 2 else number for i in range(columns)}
    return {"rows": 1000, "columns": named}


@pytest.mark.parametrize("width", [390, 1280])
def test_a_real_run_is_shown_quietly_and_fits(run: dict[str, Any], show: Show, width: int) -> None:
    browser = show(run_page(run, title="The demo"), width)
    check_quiet(browser)
    check_fits(browser, width)
    assert browser.title == "The demo · dsm"
    assert texts(browser, "h1") == ["The demo"]
    headings = texts(browser, "h2")
    assert headings == ["Versions", "What was dropped, and why", "Bytes moved", "Columns"]
    assert len(texts(browser, ".numbers > div")) == 6
    assert "Link <the> functions" in texts(browser, ".timeline bdi")
    browser.execute_script("document.querySelector('details').open = true")
    check_fits(browser, width)


def test_charts_are_drawn_when_they_come_into_view(run: dict[str, Any], show: Show) -> None:
    browser = show(run_page(run, title="The demo"))
    assert drawn(browser) == 0
    browser.execute_script("document.getElementById('columns').scrollIntoView()")
    settle(browser)
    assert drawn(browser) > 0
    for card in browser.find_elements("class name", "card"):
        browser.execute_script("arguments[0].scrollIntoView()", card)
        settle(browser)
    assert drawn(browser) == 9
    shown = browser.execute_script(
        "return [...document.querySelectorAll('.plot')].map((e) => e.getAttribute('aria-label'))"
    )
    assert len(shown) == 3
    assert all(label.startswith("Histogram of ") for label in shown)
    for selector in (".plot .now", ".plot .then", ".top .now", ".top .then"):
        assert texts(browser, selector), selector
    check_quiet(browser)


def test_a_pointer_reads_a_histogram(show: Show) -> None:
    from selenium.webdriver import ActionChains

    browser = show(profile_page(wide_profile(1), title="One column"))
    plot = browser.find_element("class name", "plot")
    ActionChains(browser).move_to_element_with_offset(plot, 2, 0).perform()
    assert texts(browser, ".readout") == ["64 to 65: 14 rows"]


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("make", [hostile_run, hostile_profile])
def test_hostile_data_is_text(show: Show, make: Callable[[], Any], width: int) -> None:
    render = run_page if make is hostile_run else profile_page
    browser = show(render(make(), title=HOSTILE[0]), width)
    browser.execute_script("document.querySelectorAll('details').forEach((d) => d.open = true)")
    for card in browser.find_elements("class name", "card"):
        browser.execute_script("arguments[0].scrollIntoView()", card)
        settle(browser)
    check_quiet(browser)
    check_fits(browser, width)
    assert browser.execute_script("return typeof window.hacked") == "undefined"
    assert browser.title == HOSTILE[0] + " · dsm"
    for selector, number in (("script", 2), ("style", 1), ("img", 0), ("base", 0), ("title", 1)):
        assert len(browser.find_elements("css selector", selector)) == number, selector
    handlers = "return [...document.querySelectorAll('*')].filter((e) => e.onload || e.onerror)"
    assert browser.execute_script(handlers) == []
    assert texts(browser, ".card h3") == HOSTILE
    assert texts(browser, ".card .value")[:6] == HOSTILE[:6]
    if make is hostile_run:
        assert texts(browser, ".tag bdi") == HOSTILE
        assert HOSTILE[1] in texts(browser, ".cluster pre")
        assert HOSTILE[0] in texts(browser, ".warning code")


def test_a_dark_desktop_gets_a_dark_page(run: dict[str, Any], show: Show) -> None:
    browser = show(run_page(run, title="The demo"))
    colours = {}
    for scheme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        colours[scheme] = browser.execute_script(BRIGHTNESS)
    assert min(colours["light"]["page"]) > 230 > 40 > max(colours["dark"]["page"])
    for scheme, found in colours.items():
        for name in ("ink", "soft", "link", "change"):
            assert contrast(found["page"], found[name]) >= 4.5, (scheme, name)


BRIGHTNESS = """
const colour = (selector, key) => getComputedStyle(document.querySelector(selector))[key]
  .match(/\\d+/g).slice(0, 3).map(Number);
return {page: colour('body', 'backgroundColor'), ink: colour('body', 'color'),
        soft: colour('.eyebrow', 'color'), link: colour('nav a', 'color'),
        change: colour('.change', 'color')};
"""


def contrast(one: list[int], other: list[int]) -> float:
    """As WCAG 2 has it."""

    def light(colour: list[int]) -> float:
        parts = [c / 255 for c in colour]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_filter_hides_columns(show: Show) -> None:
    browser = show(profile_page(wide_profile(20), title="Twenty"))
    box = browser.find_element("id", "filter")
    visible = "return [...document.querySelectorAll('.card')].filter((c) => !c.hidden).length"
    for word, number, status in (
        ("COLUMN_000", 10, "10 of 20 columns"),
        ("double", 10, "10 of 20 columns"),
        ("nowhere", 0, "0 of 20 columns"),
    ):
        box.clear()
        box.send_keys(word)
        assert browser.execute_script(visible) == number
        assert texts(browser, "#shown") == [status]
    assert browser.find_element("id", "none").is_displayed()
    box.send_keys("\ue00c")  # Escape
    assert browser.execute_script(visible) == 20
    assert texts(browser, "#shown") == ["20 columns"]


def test_a_thousand_columns_are_quick(show: Show) -> None:
    browser = show(profile_page(wide_profile(1000), title="Wide"))
    timing = "return performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"
    assert browser.execute_script(timing) < 3000
    assert 0 < drawn(browser) <= 24
    browser.execute_script("scrollTo(0, document.scrollingElement.scrollHeight)")
    settle(browser)
    last = browser.find_elements("class name", "card")[-1]
    browser.execute_script("arguments[0].scrollIntoView()", last)
    settle(browser)
    assert last.find_elements("css selector", "svg")
    assert drawn(browser) < 200
    check_quiet(browser)


def test_all_charts_are_drawn_for_paper(show: Show) -> None:
    browser = show(profile_page(wide_profile(60), title="On paper"))
    assert drawn(browser) < 60
    browser.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert drawn(browser) == 60


def test_the_page_can_be_walked_through(run: dict[str, Any], show: Show) -> None:
    """Landmarks, one first heading, labels for what has no text, unique ids."""
    browser = show(run_page(run, title="The demo"))
    for selector in ("header", "nav[aria-label]", "main", "footer", "h1", "html[lang=en]"):
        assert len(browser.find_elements("css selector", selector)) == 1, selector
    bare = (
        "return [...document.querySelectorAll('svg')].filter((e) => !e.closest('[aria-hidden]')"
        " && !e.getAttribute('aria-label')).length"
    )
    assert browser.execute_script(bare) == 0
    ids = browser.execute_script("return [...document.querySelectorAll('[id]')].map((e) => e.id)")
    assert len(ids) == len(set(ids))
    targets = browser.execute_script(
        "return [...document.querySelectorAll('a')].map((e) => e.getAttribute('href').slice(1))"
    )
    assert set(targets) <= set(ids)
    # every table and excerpt that scrolls can be reached by keyboard
    scrolling = "return [...document.querySelectorAll('.scroll, pre')].every((e) => !e.tabIndex)"
    assert browser.execute_script(scrolling)


def test_the_drawing_data_is_plain_json(run: dict[str, Any], show: Show) -> None:
    browser = show(run_page(run, title="The demo"))
    charts = json.loads(texts(browser, "#data")[0])
    assert len(charts) == 9
    assert sum("counts" in chart for chart in charts) == 3

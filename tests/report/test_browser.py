"""The page in a real browser: quiet, safe with hostile data, fit for its width, quick."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hostile import HOSTILE, job_run, plain_profile
from page_checks import (
    check_fits,
    check_hostile,
    check_named,
    check_quiet,
    contrast,
    drawn,
    settle,
    texts,
    wear,
)

from dsm_dask.report import profile_page, run_page

pytestmark = pytest.mark.browser

Show = Callable[..., Any]


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
@pytest.mark.parametrize(("render", "make"), [(run_page, job_run), (profile_page, plain_profile)])
def test_hostile_data_is_text(show: Show, render: Any, make: Callable[[], Any], width: int) -> None:
    browser = show(render(make(), title=HOSTILE[0]), width)
    check_hostile(browser, width)
    assert texts(browser, ".card h3") == HOSTILE
    assert texts(browser, ".card .value")[:6] == HOSTILE[:6]
    if make is job_run:
        assert texts(browser, ".tag bdi") == HOSTILE
        assert HOSTILE[1] in texts(browser, ".cluster pre")
        assert HOSTILE[0] in texts(browser, ".warning code")


def test_a_dark_desktop_gets_a_dark_page(run: dict[str, Any], show: Show) -> None:
    browser = show(run_page(run, title="The demo"))
    colours = {}
    for scheme in ("light", "dark"):
        wear(browser, scheme)
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
    check_named(browser)
    ids = browser.execute_script("return [...document.querySelectorAll('[id]')].map((e) => e.id)")
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

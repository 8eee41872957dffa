"""The pages of drift and checks, and the table part of profiles, in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from hostile import (
    HOSTILE,
    checked,
    comparison,
    profile,
    series,
    slices,
    wide_comparison,
)
from page_checks import check_hostile, check_readable, drawn, settle, texts

from dsm_dask.fold import run as fold
from dsm_dask.monitoring.comparison import compare
from dsm_dask.report import check_page, drift_page, profile_page, series_page, slices_page
from dsm_dask.report.table import correlation, level
from dsm_dask.stats.count import Count

Show = Callable[..., Any]
browser_only = pytest.mark.browser
DRAWN = "[data-draw] svg"

PAGES = [
    (drift_page, comparison, ".card h3", HOSTILE),
    (series_page, series, ".track h3", HOSTILE),
    (slices_page, slices, ".track h3", HOSTILE),
    (check_page, checked, ".what-text", HOSTILE),
    (profile_page, profile, "#correlation .track h3", HOSTILE),
]


@browser_only
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize(("render", "make", "selector", "names"), PAGES)
def test_hostile_data_is_text(
    show: Show, width: int, render: Any, make: Any, selector: str, names: list[str]
) -> None:
    browser = show(render(make(), title=HOSTILE[0]), width)
    check_hostile(browser, width)
    assert sorted(texts(browser, selector)) == sorted(names)


@browser_only
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("render", "make"), [page[:2] for page in PAGES])
def test_text_can_be_read_in_light_and_dark(
    show: Show, scheme: str, render: Any, make: Any
) -> None:
    check_readable(show(render(make(), title="Contrast")), scheme)


@browser_only
def test_a_thousand_compared_columns_draw_only_what_is_near(show: Show) -> None:
    browser = show(drift_page(wide_comparison(1000), title="Wide"))
    timing = "return performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"
    assert browser.execute_script(timing) < 4000
    last = browser.find_elements("class name", "card")[-1]
    assert drawn(browser, ".card", DRAWN) <= 24
    browser.execute_script("arguments[0].scrollIntoView()", last)
    settle(browser)
    assert last.find_elements("css selector", "[data-draw] svg")
    assert drawn(browser, ".card", DRAWN) < 100
    browser.find_element("id", "filter").send_keys("COLUMN_0999")
    assert texts(browser, "#shown") == ["1 of 1,000 columns"]


@browser_only
def test_a_heat_map_of_a_thousand_columns_draws_only_what_is_near(show: Show) -> None:
    found = series(100)
    column = found["columns"][HOSTILE[0]]
    found["columns"] = {f"column_{i:04}": column for i in range(1000)}
    browser = show(series_page(found, title="Wide"))
    assert 0 < drawn(browser, ".item.track", DRAWN) <= 60
    last = browser.find_elements("css selector", ".item.track")[-1]
    browser.execute_script("arguments[0].scrollIntoView()", last)
    settle(browser)
    assert last.find_elements("css selector", "svg.row")
    assert drawn(browser, ".item.track", DRAWN) <= 120
    browser.find_element("id", "filter").send_keys("COLUMN_0500")
    settle(browser)
    assert texts(browser, "#shown") == ["1 of 1,000 columns"]
    assert browser.get_log("browser") == []


@browser_only
def test_a_heat_map_is_read_by_pointer_and_by_keys(show: Show) -> None:
    from selenium.webdriver import ActionChains, Keys

    browser = show(series_page(series(), title="Days"), height=1800)
    rows = browser.find_elements("css selector", "svg.row")
    assert len(rows) == len(HOSTILE)
    name = texts(browser, ".track h3")[0]
    ActionChains(browser).move_to_element_with_offset(rows[0], 2, 0).perform()
    assert texts(browser, "#cell")[0].startswith(f"{name}, 2024-01-")
    rows[0].send_keys(Keys.HOME)
    assert texts(browser, "#cell") == [f"{name}, 2024-01-01: not compared"]
    rows[0].send_keys(Keys.ARROW_RIGHT)
    told = texts(browser, "#cell")[0]
    assert told == (
        f"{name}, 2024-01-02: Jensen-Shannon 0.02 ± 0.002, p = 0.02, 0.2 × the threshold"
    )
    rows[0].send_keys(Keys.END)
    assert texts(browser, "#cell")[0].endswith("5 × the threshold; drifted; uncertain")
    assert len(rows[0].find_elements("css selector", ".few")) == 1
    assert len(rows[0].find_elements("css selector", ".changed")) == 1
    rows[0].send_keys(Keys.ARROW_DOWN)
    assert browser.execute_script("return document.activeElement") == rows[1]


@browser_only
def test_both_sides_of_a_column_are_read_by_keys(show: Show) -> None:
    from selenium.webdriver import Keys

    browser = show(drift_page(comparison(), title="Two"))
    browser.execute_script("document.querySelector('#columns').scrollIntoView()")
    settle(browser)
    plot = browser.find_element("css selector", ".plot")
    assert "height: density (share ÷ width of the bar)" in texts(browser, ".readout")
    for key, told in ((Keys.HOME, "up to 1"), (Keys.ARROW_RIGHT, "1 to 3")):
        plot.send_keys(key)
        assert any(text.startswith(f"{told}: ") for text in texts(browser, ".readout")), told


def test_the_verdict_comes_first_and_says_how_sure_it_is() -> None:
    found = comparison()
    page = drift_page(found, title="t")
    assert page.index("<strong>Drift.</strong>") < page.index('id="columns"')
    assert "3 × its threshold" in page
    assert "No error of the sketches could change this verdict." in page
    unsure = drift_page({**found, "certain": False}, title="t")
    assert "<strong>Uncertain</strong>: the errors of the sketches could" in unsure


def test_a_column_that_lost_values_is_told_so() -> None:
    one = {**next(iter(comparison()["columns"].values())), "score": 4.0, "adjusted_p_value": 0.9}
    one["distances"] = {"js": 0.01, "missing": 0.2}
    page = drift_page({"drifted": True, "columns": {"x": one}}, title="t")
    assert "moved farthest: missing values 0.2" in page


def test_pages_of_nothing() -> None:
    for render in (drift_page, series_page, slices_page, check_page):
        page = render({}, title="t")
        assert "None" not in page, render
        assert "nan" not in page.split("<body>")[1].split("<script")[0], render


def test_a_check_that_passed_says_so() -> None:
    found = {"passed": True, "rows": 5, "findings": [], "checked": {"columns": 2, "rules": 7}}
    page = check_page(found, title="t")
    assert "<strong>Passed.</strong> 7 rules on 2 columns of 5 rows hold." in page


def test_nulls_inside_lists_are_shares_of_the_items() -> None:
    column = {"type": "string", "count": 40, "nulls": 30, "path": ["[]"]}
    page = profile_page({"rows": 10, "columns": {"tags[]": column}}, title="t")
    assert "30 (75.0 %)" in page
    assert "<dt>Columns</dt><dd>0</dd>" in page


def test_the_correlation_matrix_keeps_its_values() -> None:
    matrix = [[1.0, -0.5, None], [-0.5, 1.0, 0.05], [None, 0.05, 1.0]]
    made = correlation({"correlation": {"columns": list("abc"), "matrix": matrix}})
    assert made is not None
    for row, track in zip(matrix, made.tracks, strict=True):
        assert track.chart["levels"] == "".join("x" if r is None else level(r) for r in row)


def test_a_real_comparison_is_saved_as_a_page(tmp_path: Any) -> None:
    from dsm_dask.stats.sketches import Sketches

    sides = []
    for nulls in (0, 40):
        batch = pa.record_batch({"x": pa.array([None] * nulls + [[1]] * (60 - nulls))})
        states = {"x": {"counts": fold(Count("x"), [batch])}}
        sides.append(Sketches(f"side{nulls}", batch.schema.serialize().to_pybytes(), 60, states))
    found = compare(*sides)
    file = tmp_path / "page.html"
    assert found.save_html(str(file), "Nulls") == file.stat().st_size
    assert "missing values" in file.read_text()


def test_other_results_are_saved_as_pages(tmp_path: Any) -> None:
    from dsm_dask.monitoring.series import Series
    from dsm_dask.monitoring.slices import Slices
    from dsm_dask.validation.findings import Checked, Finding

    finding = Finding("nulls", "<x>", "more nulls", 0, 3)
    made = {
        "Failed.": Checked("new", "old", 9, (finding,), 2, 7),
        "without a time": Series(9, "at", "1d", "first", (), {}, null_rows=4),
        "Slices that drifted": Slices("a", "b", "lang", (), {}),
    }
    for told, result in made.items():
        file = tmp_path / "page.html"
        assert result.save_html(str(file), "<t>") == file.stat().st_size
        page = file.read_text(encoding="utf-8")
        assert told in page
        assert "<h1><bdi>&lt;t&gt;</bdi></h1>" in page

"""The page of a review queue: what it says, what it looks like, and that data stays data."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import Any

import pytest
from hostile import HOSTILE
from hypothesis import given
from hypothesis import strategies as st
from test_browser import check_fits, check_quiet, settle, texts
from test_pages import words

from dsm_dask.report import issues, issues_page

Show = Callable[..., Any]


def image(size: int = 40) -> str:
    from PIL import Image

    sink = io.BytesIO()
    Image.new("RGB", (size, size // 2), (200, 60, 30)).save(sink, "PNG")
    return "data:image/png;base64," + base64.b64encode(sink.getvalue()).decode()


def queue(rows: int = 3, **more: Any) -> dict[str, Any]:
    """A queue of rows with texts, images and more."""
    labels = ["cat", "dog", None]
    queued = [
        {
            "row": 1000 + i, "key": f"k{i}", "label": labels[i % 3], "ranked": 3.0,
            "suggested": "dog" if labels[i % 3] == "cat" else None,
            "reasons": [f"label `{labels[i % 3]}`, model says `dog` 0.97",
                        "outlier: farther than 99.2 % of rows"],
            "scores": {"label_quality": 0.03, "label_issue": True, "neighbour_label": None},
            "shown": {"text": {"text": f"Text {i}.\n" + "word " * 60, "length": 5000},
                      "picture": {"uri": image(), "size": 1234}, "stars": 4, "note": None},
        }
        for i in range(rows)
    ]  # fmt: skip
    return {
        "dataset": "s3://lake/pets", "version": "7", "rows": 5000, "ranked": 4800, "by": "labels",
        "measures": ["label_quality", "neighbours"], "label": "y", "key": "id",
        "balance": None, "where": None, "queued": queued, **more,
    }  # fmt: skip


def hostile() -> dict[str, Any]:
    found = queue(len(HOSTILE))
    for one, text in zip(found["queued"], HOSTILE, strict=True):
        one |= {"label": text, "suggested": text[::-1], "key": text, "reasons": [text, f"`{text}`"]}
        one["scores"] = {text: text}
        one["shown"] = {text: {"text": text * 9, "length": 10**6}, "i": {"uri": text, "size": 3},
                        "j": {"uri": f"data:image/png;base64,{text}", "size": 3}}  # fmt: skip
    return {**found, "label": HOSTILE[0], "key": HOSTILE[1], "balance": HOSTILE[2],
            "where": HOSTILE[3], "measures": [HOSTILE[4]], "dataset": HOSTILE[5]}  # fmt: skip


def sentence(found: dict[str, Any]) -> str:
    return "".join(phrase.text for phrase in issues.headline(found))


def test_the_sentence_says_what_was_ranked_by_what() -> None:
    assert sentence(queue()) == (
        "3 of 5,000 rows to look at first, by label quality and neighbours' labels."
    )
    assert sentence(queue(balance="y", where="x > 1")).endswith(
        "neighbours' labels, by turns from each value of y, where x > 1."
    )
    assert sentence(queue(0)) == "None of 5,000 rows is to be looked at."


def test_the_figures() -> None:
    told = {one.label: (one.value, one.note) for one in issues.numbers(queue(6))}
    assert told["Ranked"] == ("4,800", "96.0 % have a score")
    assert told["Other label likely"] == ("2", "33.3 % of those shown")
    assert "Other label likely" not in {one.label for one in issues.numbers(queue(label=None))}


def test_pairs_that_come_again_are_counted() -> None:
    assert issues.pairs(queue(7)) == [("cat", "dog", "3")]
    assert issues.pairs(queue(3)) == []


def test_long_texts_are_cut_and_say_so() -> None:
    found = queue(1)
    found["queued"][0]["shown"] = {"t": {"text": "x" * 9000, "length": 10_500}, "s": {"text": "a"}}
    (item,) = issues.items(found)
    assert (item.shown[0].kind, len(item.shown[0].text)) == ("text", issues.CHARACTERS)
    assert item.shown[0].more == "9,000 characters"
    assert (item.shown[1].kind, item.shown[1].text) == ("short", "a")
    kinds = {"": "empty", " \n": "blank"}
    for text, kind in kinds.items():
        found["queued"][0]["shown"] = {"t": {"text": text, "length": len(text)}}
        assert issues.items(found)[0].shown[0].kind == kind


def test_images_beyond_the_room_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(issues, "IMAGES", int(2.5 * len(image())))
    kinds = [item.shown[1].kind for item in issues.items(queue(4))]
    assert kinds == ["image", "image", "large", "large"]


@given(st.text(alphabet="a` b", max_size=30))
def test_sentences_are_whole(text: str) -> None:
    assert "".join(one.text for one in issues.phrases(text)) == text.replace("`", "")


def test_a_page_of_nothing() -> None:
    for found in ({}, queue(0), {"queued": [{}]}):
        page = words(issues_page(found, title="t"))
        assert "None" not in page.replace("None of", "")
    assert "Rows to look at" not in words(issues_page(queue(0), title="t"))


# ---------------------------------------------------------------------------------------------
# In a browser


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_a_queue_is_shown_quietly_and_fits(show: Show, width: int) -> None:
    browser = show(issues_page(queue(12), title="Pets"), width)
    check_quiet(browser)
    check_fits(browser, width)
    assert texts(browser, "h2") == ["Labels that are likely others", "Rows to look at"]
    heads = [" ".join(one.split()) for one in texts(browser, ".issue h3")]
    assert heads[:3] == ["cat → is likely dog", "dog", "null"]
    natural = "return [...document.images].every((e) => e.complete && e.naturalWidth === 40)"
    assert browser.execute_script(natural)
    browser.execute_script("document.querySelectorAll('details').forEach((d) => d.open = true)")
    settle(browser)
    check_fits(browser, width)


@pytest.mark.browser
def test_images_alone_make_a_gallery(show: Show) -> None:
    found = queue(6)
    for one in found["queued"]:
        del one["shown"]["text"]
    browser = show(issues_page(found, title="Pets"))
    lefts = browser.execute_script(
        "return [...document.querySelectorAll('.issue')].map((e) => e.getBoundingClientRect().left)"
    )
    assert len(set(lefts)) == 2
    check_fits(browser, 1280)
    check_quiet(browser)


@pytest.mark.browser
def test_the_queue_can_be_filtered_and_walked_by_keyboard(show: Show) -> None:
    from selenium.webdriver import ActionChains, Keys

    browser = show(issues_page(queue(12), title="Pets"))
    browser.find_element("id", "filter").send_keys("text 11.")
    assert texts(browser, "#shown") == ["1 of 12 rows"]
    visible = "return [...document.querySelectorAll('.issue')].filter((c) => !c.hidden).length"
    assert browser.execute_script(visible) == 1
    browser.find_element("id", "filter").send_keys("\ue00c")  # Escape
    assert browser.execute_script(visible) == 12
    ActionChains(browser).send_keys(Keys.TAB).perform()  # from the box to the first row's scores
    ActionChains(browser).send_keys(Keys.ENTER).perform()
    assert browser.execute_script("return document.querySelector('.issue details').open")
    ActionChains(browser).send_keys(Keys.TAB).perform()
    assert browser.execute_script("return document.activeElement.tagName") == "PRE"
    ids = browser.execute_script("return [...document.querySelectorAll('[id]')].map((e) => e.id)")
    assert len(ids) == len(set(ids))
    assert browser.execute_script("return [...document.images].every((e) => e.alt)")


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_hostile_data_is_text(show: Show, width: int) -> None:
    browser = show(issues_page(hostile(), title=HOSTILE[0]), width)
    browser.execute_script("document.querySelectorAll('details').forEach((d) => d.open = true)")
    settle(browser)
    check_fits(browser, width)
    assert browser.execute_script("return typeof window.hacked") == "undefined"
    for selector, number in (("script", 2), ("style", 1), ("base", 0), ("title", 1)):
        assert len(browser.find_elements("css selector", selector)) == number, selector
    sources = browser.execute_script("return [...document.images].map((e) => e.src)")
    assert all(one.startswith("data:image/png;base64,") for one in sources)
    handlers = "return [...document.querySelectorAll('*')].filter((e) => e.onload || e.onerror)"
    assert browser.execute_script(handlers) == []


@pytest.mark.browser
def test_five_hundred_rows_are_small_and_quick(show: Show) -> None:
    found = queue(500)
    page = issues_page(found, title="Many")
    assert len(page) < 1_200_000
    browser = show(page)
    timing = "return performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"
    assert browser.execute_script(timing) < 3000
    check_quiet(browser)

"""What the tests of pages share: reading one, looking at it in a browser, checks of any."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

from hostile import HOSTILE


class Words(HTMLParser):
    """The words of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inside = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = tag

    def handle_data(self, data: str) -> None:
        if self.inside not in ("script", "style"):
            self.found.append(data)


def words(page: str) -> str:
    """What can be read on a page."""
    return " ".join(" ".join(Words(page).found).split())


def settle(browser: Any) -> None:
    """Wait until the page had the time to draw what is in view."""
    browser.execute_async_script(
        "const done = arguments[0];"
        "requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 50)));"
    )


def texts(browser: Any, selector: str) -> list[str]:
    script = "return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent)"
    return list(browser.execute_script(script, selector))


def drawn(browser: Any, selector: str = ".card", chart: str = "svg") -> int:
    """Elements of which the chart was drawn."""
    script = (
        "return [...document.querySelectorAll(arguments[0])]"
        ".filter((e) => e.querySelector(arguments[1])).length"
    )
    return int(browser.execute_script(script, selector, chart))


def draw_all(browser: Any) -> None:
    """Open what is folded, and have every card come into view."""
    browser.execute_script("document.querySelectorAll('details').forEach((d) => d.open = true)")
    for card in browser.find_elements("class name", "card"):
        browser.execute_script("arguments[0].scrollIntoView()", card)
        settle(browser)
    browser.execute_script("dispatchEvent(new Event('beforeprint'))")
    settle(browser)


def wear(browser: Any, scheme: str) -> None:
    """Have the desktop be light or dark."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


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


def check_hostile(browser: Any, width: int) -> None:
    """A page with hostile names and values, and the first of them as its title, shows them as text,
    all of it drawn."""
    draw_all(browser)
    check_quiet(browser)
    check_fits(browser, width)
    assert browser.execute_script("return typeof window.hacked") == "undefined"
    assert browser.title == HOSTILE[0] + " · dsm"
    for selector, number in (("script", 2), ("style", 1), ("img", 0), ("base", 0), ("title", 1)):
        assert len(browser.find_elements("css selector", selector)) == number, selector
    handlers = "return [...document.querySelectorAll('*')].filter((e) => e.onload || e.onerror)"
    assert browser.execute_script(handlers) == []
    check_named(browser)


def check_named(browser: Any) -> None:
    """What has no text has a label, and no id is there twice."""
    bare = (
        "return [...document.querySelectorAll('svg')].filter((e) => !e.closest('[aria-hidden]')"
        " && !e.closest('svg[aria-label]') && !e.getAttribute('aria-label')).length"
    )
    assert browser.execute_script(bare) == 0
    ids = browser.execute_script("return [...document.querySelectorAll('[id]')].map((e) => e.id)")
    assert len(ids) == len(set(ids))


def contrast(one: list[float], other: list[float]) -> float:
    """As WCAG 2 has it."""

    def light(colour: list[float]) -> float:
        parts = [c / 255 for c in colour]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)


def check_readable(browser: Any, scheme: str) -> None:
    """Every colour of text against what is behind it, by WCAG 2's level AA."""
    wear(browser, scheme)
    draw_all(browser)
    found = browser.execute_script(COLOURS)
    assert len(found) >= 3
    grounds = [sum(ground) for _, ground, _ in found]
    assert all(g > 600 if scheme == "light" else g < 200 for g in grounds)
    pale = {where: (ink, ground) for ink, ground, where in found if contrast(ink, ground) < 4.5}
    assert pale == {}


COLOURS = """
const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
const found = new Map();
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const { textContent, parentElement: element } = walker.currentNode;
  if (!textContent.trim() || element.closest("script, style, .sr, .skip")) continue;
  const style = getComputedStyle(element);
  const ink = numbers(element.closest("svg") ? style.fill : style.color);
  let behind = element;
  let ground = [0, 0, 0, 0];
  while (behind && ground[3] === 0) {
    ground = numbers(getComputedStyle(behind).backgroundColor);
    behind = behind.parentElement;
  }
  const where = `${element.tagName}.${element.getAttribute("class") || ""} in `
    + `${element.parentElement.tagName}.${element.parentElement.getAttribute("class") || ""}`;
  found.set(`${ink} ${ground}`, [ink.slice(0, 3), ground.slice(0, 3), where]);
}
return [...found.values()];
"""

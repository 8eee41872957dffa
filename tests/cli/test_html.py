"""``--html`` writes one page that a browser can take, whatever columns and values are called."""

from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pytest
from dsm_trials import dsm, parquet

HOSTILE = "</script><img src=x onerror=\"alert('1')\">&lt;"
DAYS, ROWS = 8, 120
VOID = {"meta", "img", "br", "link", "input", "base", "hr"}


class Page(HTMLParser):
    """Tags and texts; raises for what is not closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture(scope="module")
def sides(tmp_path_factory):
    place = tmp_path_factory.mktemp("raw")
    made = []
    for seed, shift in ((0, 0), (1, 3)):
        rng = np.random.default_rng(seed)
        day = np.arange(DAYS * ROWS) // ROWS
        columns = {
            "at": pa.array(1_704_067_200 + day * 86_400, pa.timestamp("s")),
            HOSTILE: rng.normal(size=len(day)) + shift * (day > 4),
            "lang": rng.choice(["en", HOSTILE] if seed else ["en", "de"], len(day)),
        }
        made.append(str(parquet(place / f"{seed}.parquet", pa.table(columns))))
    return made


@pytest.mark.parametrize(
    ("verb", "title"),
    [
        (("drift", 0, 1, "--method", "ks"), "{0} → {1}"),
        (("drift", 1, "--over", "at", "--window", "1d", "--method", "ks"), "{1}"),
        (("drift", 0, 1, "--by", "lang", "--columns", HOSTILE), "{0} → {1}"),
        (("check", 1, "--against", 0), "{1}"),
        (("profile", 1, "--label", "lang"), "{1}"),
        (("dedup", 1, "--on", "lang"), "{1}"),
        (
            (
                "dedup",
                1,
                "--on",
                "lang",
                "--method",
                "minhash",
                "--shingle",
                "char:3",
                "--against",
                0,
            ),
            "{1}",
        ),
    ],
    ids=["drift", "over", "by", "check", "profile", "dedup", "near"],
)
def test_a_page_is_written(verb, title, sides, tmp_path):
    file = tmp_path / "page.html"
    arguments = [sides[one] if isinstance(one, int) else one for one in verb]
    said = dsm(*arguments, "--html", file, "--workers", "0")
    assert said.code == (0 if verb[0] in ("profile", "dedup") else 1), said.err
    text = file.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    page = Page(text)
    tags = [tag for tag, _ in page.tags]
    assert (tags.count("title"), tags.count("h1"), tags.count("script"), tags.count("img")) == (
        1, 1, 2, 0,
    )  # fmt: skip
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    asked = {a.get("src") or a.get("href") or "#" for _, a in page.tags}
    assert all(uri.startswith(("#", "data:")) for uri in asked)
    assert title.format(*sides) in page.texts
    assert HOSTILE in page.texts
    if "minhash" in verb:
        assert "the same" in page.texts  # the texts of the other rows were fetched
    if "ks" in verb:
        assert any("no ks distance" in text.lower() for text in page.texts)

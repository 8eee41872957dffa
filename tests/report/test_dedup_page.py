"""The page of a deduplication: what it says, what it looks like, and that data stays data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hostile import HOSTILE, deduplicated
from hypothesis import given
from hypothesis import strategies as st
from page_checks import check_hostile, check_readable, settle, texts, words

from dsm_dask.report import clusters, dedup, dedup_page
from dsm_dask.report.differences import WORDS, differences, sameness

Show = Callable[..., Any]

EXACT = {
    "rows": 9, "clusters": 1, "duplicates": 2, "kept": 7, "on": ["a", "b"], "method": "exact",
    "dataset": None, "version": None, "committed": False, "out": None, "columns": [],
    "key_bytes": 72, "largest": [{"size": 3, "survivor": 4, "values": {"a": "x", "b": ""}}],
}  # fmt: skip


def sentence(found: dict[str, Any]) -> str:
    return "".join(phrase.text for phrase in dedup.headline(found)).replace("\u00a0", " ")


def near(**more: Any) -> dict[str, Any]:
    """Two rows beside a third, from ``more``."""
    cluster = {"size": 3, "survivor": 1, "values": {"t": "the quick brown fox"}, "members": [
        {"row": row, "similarity": alike, "table": None, "values": {"t": text}}
        for row, alike, text in ((5, 0.8, "the quick red fox"), (1234, 1.0, "the quick brown fox"))
    ]}  # fmt: skip
    return {**EXACT, "on": ["t"], "method": "minhash", "largest": [cluster],
            "parameters": {"threshold": 0.8, "verify": True}, **more}  # fmt: skip


# ---------------------------------------------------------------------------------------------
# Differences

TEXT = st.text(alphabet="ab \n.私学", max_size=40)


@given(TEXT, TEXT)
def test_differences_give_both_texts_back(one: str, other: str) -> None:
    """Where nothing is cut: same and removed are the one text, same and added the other."""
    parts = differences(one, other)
    if not any("…" in part for _, part in parts):
        for side, kind in ((one, "removed"), (other, "added")):
            told = "".join(part for what, part in parts if what in ("same", kind))
            assert "".join(told.split()) == "".join(side.split())
    # the white space of the other text is kept around what both have
    assert bool(sameness(one, other, parts)) == (_split(one) == _split(other))


def _split(text: str) -> list[str]:
    return text.replace("私", " 私 ").replace("学", " 学 ").split()


def test_words_are_one_difference_when_nothing_between_them_is_the_same() -> None:
    assert differences("a b c d", "a x y z d")[1:3] == [("removed", "b c"), ("added", "x y z")]
    assert differences("one\n  two", "one\n  three")[0] == ("same", "one\n  ")


def test_what_was_not_compared_is_not_told_as_a_difference() -> None:
    long = " ".join(map(str, range(WORDS)))
    cases = (("a b …", "a b c …"), (f"{long} x", f"{long} y"), ("a b …", "a b …"))
    for one, other in cases:
        parts = differences(one, other)
        assert sameness(one, other, parts) == "the same as far as they were compared"


def test_texts_of_a_few_words_over_and_over_are_compared() -> None:
    one, other = "a b " * 900, "b b a " * 600
    assert {kind for kind, _ in differences(one, other)} > {"removed"}


# ---------------------------------------------------------------------------------------------
# What is said


def test_the_sentence_says_what_was_done() -> None:
    assert sentence(EXACT) == (
        "2 of 9 rows repeat another one: 22.2 %, in 1 cluster. Nothing was dropped."
    )
    dropped = {**EXACT, "duplicates": 1, "committed": True, "version": 4}
    assert sentence(dropped).startswith("1 of 9 rows repeats another one: ")
    assert sentence(dropped).endswith(" Version 4 is without them.")
    columns = {**dropped, "columns": ["duplicate_of", "duplicate_role"]}
    assert sentence(columns).endswith("Version 4 tells of them in duplicate_of, duplicate_role.")
    assert sentence({"rows": 9, "duplicates": 0}) == "None of 9 rows repeats another."


def test_numbers_that_a_method_lacks_are_left_out() -> None:
    labels = [number.label for number in dedup.numbers(EXACT)]
    assert labels == ["Rows", "Clusters", "Duplicates", "Kept"]
    more = dedup.numbers({**EXACT, "checked": 900, "accepted": 700})[4:]
    assert [(n.label, n.value) for n in more] == [
        ("Pairs compared", "900"),
        ("Precision", "77.8 %"),
    ]
    assert dedup.numbers({**EXACT, "checked": 0, "accepted": 0})[-1].value == "0"


def test_an_exact_result_has_a_whole_page() -> None:
    page = words(dedup_page(EXACT, title="t"))
    assert "The rows of a cluster are equal in all of these columns." in page
    assert "2 rows repeat it" in page
    assert "empty text" in page
    for missing in ("None", "nan", "Similarity", "Held against", "Pairs compared", "How large"):
        assert missing not in page.split(), missing


def test_a_page_of_nothing() -> None:
    for found in ({}, {"largest": [{}]}, {**EXACT, "duplicates": 0, "largest": []}):
        page = words(dedup_page(found, title="t"))
        assert "None" not in page.replace("None of", "")
        assert "Before you drop them" not in page


def test_what_to_know_before_dropping() -> None:
    found = near(similarities=[[0.8, 0.85, 1], [0.95, 1.0, 3]])
    told = dedup.evidence(found)
    assert told[0].startswith("Every pair that joins two rows was compared and is 0.8 or more")
    assert told[1].startswith("75.0 % of the pairs are 0.95 or more alike; 1 of 4 are the weakest")
    assert told[-1].endswith("the same one on every run. With all duplicates dropped, 7 rows stay.")
    chance = dedup.evidence(near(parameters={"threshold": 0.8, "verify": False}))
    assert "joined by chance" in chance[0]
    shared = near(against=[{"against": "x", "rows": 1, "other_rows": 1, "clusters": 1}])
    assert any("another table keeps that one" in one for one in dedup.evidence(shared))


def test_equal_rows_are_told_of_together() -> None:
    found = near()
    members = found["largest"][0]["members"]
    members += [{**members[1], "row": 77}, {**members[1], "row": 78, "table": "s3://x/b"}]
    told = [(one.rows, one.table, one.similarity, one.same) for one in
            clusters.clusters(found)[0].repeats]  # fmt: skip
    assert told == [
        ("row 5", "", "0.800", ""),
        ("rows 1,234, 77", "", "1", "the same"),
        ("row 78", "b", "1", "the same"),
    ]


def test_tables_with_the_same_last_name_are_told_in_full() -> None:
    against = [{"against": f"s3://{name}/test", "rows": 0} for name in "xy"]
    found = near(against=[*against, {"against": "z/train"}])
    for one, table in zip(found["largest"][0]["members"], ("s3://x/test", "z/train"), strict=True):
        one["table"] = table
    made = clusters.clusters(found)[0]
    assert [one.table for one in made.repeats] == ["s3://x/test", "train"]


def test_pairs_near_the_threshold_are_beside_each_other() -> None:
    rows = [
        {"row": row, "table": table, "values": {"t": text}}
        for row, table, text in ((5, None, "a b c"), (1234, "s3://x/test", "a d c"))
    ]
    pairs = [
        {"similarity": alike, "joined": joined, "rows": rows}
        for alike, joined in ((0.8, True), (0.79999, False))
    ]
    both = words(dedup_page(near(borderline=pairs), title="t"))
    for told in ("Near the threshold", "0.800 row 5 and row 1,234 of s3://x/test a b d c",
                 "The strongest refused", "(some are shown below)"):  # fmt: skip
        assert (told in both) == (told != "(some are shown below)"), told
    found = near(borderline=pairs[:1], similarities=[[0.8, 0.85, 1], [0.95, 1.0, 3]])
    one = words(dedup_page(found, title="t"))
    assert "(some are shown below)" in one
    assert "The strongest refused" not in one
    assert "Near the threshold" not in words(dedup_page(near(), title="t"))


def test_rows_of_which_the_texts_are_not_known_are_listed() -> None:
    found = near()
    for member in found["largest"][0]["members"]:
        member["values"] = {}
    page = words(dedup_page(found, title="t"))
    assert "The texts of the other rows were not fetched." in page
    assert "row 5 strongest pair 0.800" in page
    assert "the same" not in page.replace("the same one on every run", "")


def test_a_text_with_many_differences_is_cut() -> None:
    found = near()
    cluster = found["largest"][0]
    cluster["values"]["t"] = " ".join(f"w{i} s{i}" for i in range(100))
    cluster["members"][0]["values"]["t"] = " ".join(f"v{i} s{i}" for i in range(100))
    changed = clusters.clusters(found)[0].repeats[0].changed[0]
    assert sum(kind != "same" for kind, _ in changed.parts) == clusters.SHOWN
    assert changed.more == 200 - clusters.SHOWN


def test_all_pairs_are_in_the_chart() -> None:
    bins = [[i / 20, (i + 1) / 20, i] for i in range(3, 20, 2)]
    chart = dedup.similarities({"similarities": bins, "parameters": {"threshold": 0.1}})
    assert sum(chart["counts"]) == sum(count for _, _, count in bins)
    assert (chart["low"], len(chart["counts"])) == (0.1, 18)
    assert dedup.similarities({"similarities": ()}) == {}


def test_a_result_is_saved_as_a_page(tmp_path: Any) -> None:
    from dsm_dask.duplicates.examples import Cluster
    from dsm_dask.duplicates.result import Deduplicated
    from dsm_dask.task import Skipped

    cluster = Cluster(3, 4, {"<a>": HOSTILE[1]})
    found = Deduplicated(9, 1, 2, ("<a>",), largest=(cluster,), skipped=(Skipped("p<7>", "why"),))
    file = tmp_path / "page.html"
    assert found.save_html(str(file), "<t>") == file.stat().st_size
    page = file.read_text(encoding="utf-8")
    assert "<h1><bdi>&lt;t&gt;</bdi></h1>" in page
    assert "1 partition left out" in page
    assert "p&lt;7&gt;" in page
    shown = found._repr_html_()
    assert "<caption>9 rows: 2 repeat another, in 1 clusters</caption>" in shown
    assert "<img" not in shown


def test_python_fetches_what_differs_when_it_is_to_be_shown(tmp_path: Any) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    import dsm_dask as dsm
    from dsm_dask.errors import UsageError

    start = " ".join(f"word{i}" for i in range(40))
    pq.write_table(
        pa.table({"t": [f"{start} red", f"{start} blue", "other"]}), tmp_path / "x.parquet"
    )
    with dsm.Engine(workers=0) as engine:
        for show, told in ((2, "blue"), (None, "were not fetched")):
            found = dsm.dedup(str(tmp_path), "t", method="minhash", show=show, engine=engine)
            page = dedup_page(found.to_dict(), title="t")
            assert told in page
            assert ("<ins>blue</ins>" in page) == bool(show)
        with pytest.raises(UsageError, match="show"):
            dsm.dedup(str(tmp_path), "t", show=-1, engine=engine)


# ---------------------------------------------------------------------------------------------
# In a browser


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_hostile_data_is_text(show: Show, width: int) -> None:
    browser = show(dedup_page(deduplicated(), title=HOSTILE[0]), width)
    check_hostile(browser, width)
    assert texts(browser, "#how tbody th") == HOSTILE
    assert texts(browser, ".copies pre")[:2] == [f"one two {name} three" for name in HOSTILE[:2]]
    assert "one two" in texts(browser, "del")
    assert any("onerror" in text for text in texts(browser, "ins"))
    assert "0.999" in " ".join(texts(browser, ".who"))


@pytest.mark.browser
def test_both_charts_and_the_filter_work(show: Show) -> None:
    from selenium.webdriver import Keys

    browser = show(dedup_page(deduplicated(), title="t"))
    browser.execute_script("document.getElementById('charts').scrollIntoView()")
    settle(browser)
    plot = browser.find_element("css selector", ".plot")
    plot.send_keys(Keys.END)
    assert texts(browser, ".readout") == ["0.95 to 1: 6,123 pairs"]
    assert len(browser.find_elements("css selector", ".top rect")) == 3
    box = browser.find_element("id", "filter")
    for word, status in (("ONE TWO", "1 of 2 clusters"), ("nowhere", "0 of 2 clusters")):
        box.clear()
        box.send_keys(word)
        assert texts(browser, "#shown") == [status]
    assert browser.find_element("id", "none").is_displayed()


@pytest.mark.browser
def test_differences_are_seen_in_light_and_dark_and_without_colour(show: Show) -> None:
    browser = show(dedup_page(near(), title="t"))
    assert texts(browser, ".repeats del") == ["brown"]
    assert texts(browser, ".repeats ins") == ["red"]
    for scheme in ("light", "dark"):
        check_readable(browser, scheme)
    lines = (
        "return ['del', 'ins'].map((name) => "
        "getComputedStyle(document.querySelector(name)).textDecorationLine)"
    )
    assert browser.execute_script(lines) == ["line-through", "underline"]

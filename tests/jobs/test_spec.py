"""Job files are data, strictly read: traps of YAML, unknown keys with their path, the schema."""

import json
from pathlib import Path

import pytest

from dsm_dask.errors import JobSpecError, NotFound
from dsm_dask.jobs.spec import STEPS, json_schema, load_job, parse_job

ROOT = Path(__file__).parents[2]


def job(steps: str, head: str = "name: j\ndataset: d") -> str:
    return f"{head}\nsteps:\n{steps}"


def test_words_that_yaml_1_1_takes_for_booleans():
    """`on` is a key of dedup; `no` is Norway."""
    found = parse_job(
        job("  - dedup:\n      on: no\n  - drop:\n      where: off\n", "name: yes\ndataset: n")
    )
    assert found.name == "yes"
    assert found.dataset == "n"
    assert found.steps[0].arguments.on == ["no"]
    assert found.steps[1].arguments.where == "off"
    listed = parse_job(job("  - dedup: {on: [on, y, No], drop: true}\n"))
    assert listed.steps[0].arguments.on == ["on", "y", "No"]
    assert listed.steps[0].arguments.drop is True


@pytest.mark.parametrize(
    ("steps", "place"),
    [
        ("  - tag: {name: 1.10}\n", "steps[0].tag.name"),  # 1.1 to YAML: must be quoted
        ("  - tag: {name: 2026-11-23}\n", "steps[0].tag.name"),
        ("  - tag: {name: 0x10}\n", "steps[0].tag.name"),
        ("  - tag: {name: null}\n", "steps[0].tag.name"),
        ("  - dedup: {on: [1]}\n", "steps[0].dedup.on[0]"),
        ("  - dedup: {on: []}\n", "steps[0].dedup.on"),
        ("  - dedup: {on: a, drop: yes}\n", "steps[0].dedup.drop"),
        ("  - dedup: {on: a, drop: 1}\n", "steps[0].dedup.drop"),
        ("  - log: {limit: 0}\n", "steps[0].log.limit"),
        ("  - log: {limit: '3'}\n", "steps[0].log.limit"),
        ("  - dedup: {drop: true}\n", "steps[0].dedup.on"),
        ("  - create: {sources: {a: b}}\n", "steps[0].create.sources"),
    ],
)
def test_values_of_the_wrong_type_are_not_guessed_at(steps, place):
    with pytest.raises(JobSpecError) as error:
        parse_job(job(steps), "job.yaml")
    assert place in str(error.value)
    assert "job.yaml" in str(error.value)


@pytest.mark.parametrize(
    ("text", "place", "hint"),
    [
        (job("  - dedup: {onn: a}\n"), "steps[0].dedup", "on"),
        (job("  - log:\n  - dedup: {on: a, dropp: true}\n"), "steps[1].dedup.dropp", "'drop'"),
        (job("  - dedupe: {on: a}\n"), "steps[0].dedupe", "'dedup'"),
        (job("  - log\n", "name: j\ndataset: d\nonerror: skip"), "onerror", "'on_error'"),
        (job("  - log\n", "name: j\ndataset: d\non_error: stop"), "on_error", "skip"),
        (job("  - log\n", "name: j"), "dataset", "missing"),
        (job("  - {log: , verify: }\n"), "steps[0]", "one verb"),
        (job("  - 7\n"), "steps[0]", ""),
        (job("  - create: {sources: a, copy_rows: true}\n"), "steps[0].create.copy_rows", "copy"),
        ("name: j\ndataset: d\nsteps: []", "steps", ""),
        (job("  - log\n", "name: ../j\ndataset: d"), "name", ""),
    ],
)
def test_mistakes_are_told_with_their_path(text, place, hint):
    with pytest.raises(JobSpecError) as error:
        parse_job(text, "job.yaml")
    assert place in str(error.value)
    assert hint in str(error.value)


@pytest.mark.parametrize(
    "text", ["", "just words", "- a\n- b", "a: [1", "name: j\n\tsteps: x", "\x00", "a: &x [*x]"]
)
def test_what_is_no_job(text):
    with pytest.raises(JobSpecError, match=r"job\.yaml"):
        parse_job(text, "job.yaml")


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system ['touch {marker}']",
        "name: !!python/name:os.system\ndataset: d\nsteps: [log]",
        "name: j\ndataset: d\nsteps: [!!python/object/new:os.system ['touch {marker}']]",
    ],
)
def test_nothing_is_ever_executed(tmp_path, text):
    with pytest.raises(JobSpecError):
        parse_job(text.replace("{marker}", str(tmp_path / "marker")), "job.yaml")
    assert not (tmp_path / "marker").exists()


BOMB = "a0: &a0 [x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10)
)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (BOMB + job("  - log\n"), "line 2: aliases"),
        (BOMB.replace("[", "{<<: [").replace("]", "]}") + job("  - log\n"), "line 2: aliases"),
        (job("  - log: {limit: &a 1}\n  - log: {limit: *a}\n"), "aliases"),
        ("[" * 3000, "nested too deeply"),
        ("{a: " * 3000, "nested too deeply"),
        (job("  - log\n", "name: j\nname: k\ndataset: d"), "line 2: the key 'name' is given twice"),
        (job("  - drop: {where: a = 1, where: b = 1}\n"), "'where' is given twice"),
        (job("  - log: {limit: %s}\n" % ("9" * 9999)), "line 4"),
        (job("  - log\n", "name: j\ndataset: 2026-99-99"), "line 2"),
        (job("  - log\n", "name: j\n? [a, b]\n: c"), "has to be a text"),
        (job("  - log\n", f"name: {'j' * 101}\ndataset: d"), "100 characters"),
        (job("  - log\n" * 1001), "1000 items"),
        (job("  - log\n") + " " * (8 << 20), "are read"),
        (job("  - log\n", 'name: j\ndataset: "d\\0"'), "dataset holds a control character"),
        (job("  - drop: {where: \"a = '\\uD800'\"}\n"), "control character"),
    ],
)  # fmt: skip
def test_what_would_do_harm_or_be_misread(text, told):
    """Texts that grow without end, or that two readers would read otherwise."""
    with pytest.raises(JobSpecError) as error:
        parse_job(text, "job.yaml")
    assert told in str(error.value)


def test_the_line_of_a_syntax_error():
    with pytest.raises(JobSpecError, match="line 3"):
        parse_job("name: j\ndataset: d\nsteps: [", "job.yaml")


def test_files_that_are_not_there_or_not_text(tmp_path):
    with pytest.raises(NotFound, match=r"none\.yaml"):
        load_job(tmp_path / "none.yaml")
    with pytest.raises(NotFound):
        load_job(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"name: \xe9\n")
    with pytest.raises(JobSpecError, match=r"latin\.yaml"):
        load_job(tmp_path / "latin.yaml")


def test_every_verb_has_short_forms():
    text = job("  - profile\n  - log:\n  - verify: {}\n  - diff\n  - create: {sources: a}\n")
    assert [step.verb for step in parse_job(text).steps] == [
        "profile",
        "log",
        "verify",
        "diff",
        "create",
    ]


def test_the_schema_is_the_published_one():
    schema = json.loads(json_schema())
    published = ROOT / "docs/job.schema.json"
    if published.exists():
        assert published.read_text() == json_schema()
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert set(schema["$defs"]["Step"]["properties"]) == set(STEPS)
    assert "copy" in schema["$defs"]["Create"]["properties"]
    assert schema["additionalProperties"] is False


def test_the_jobs_of_the_repository_are_valid():
    found = list((ROOT / "jobs").glob("*.yaml"))
    assert found
    for path in found:
        assert load_job(path).steps

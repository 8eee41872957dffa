"""Annotators from the command line, Python and jobs."""

import dataclasses
import itertools

import numpy as np
import pyarrow as pa
import pytest
from annotator_trials import THREE, answered, items_of, long, planted, wide, write
from dsm_trials import dsm

import dsm_dask
from dsm_dask.dataset.version import open_dataset
from dsm_dask.errors import JobSpecError, UsageError
from dsm_dask.jobs.plan import plan_job
from dsm_dask.jobs.run import run_job
from dsm_dask.jobs.spec import parse_job
from dsm_dask.jobs.submit import refuse_local, uris
from dsm_dask.sources.parquet import open_parquet


def test_a_long_table_from_the_command_line(tmp_path):
    names, _ = planted(40, 2)
    write(long(names), tmp_path / "t")
    options = ["--answers", "item, who, says", "--out", str(tmp_path / "out")]
    said = dsm("score", str(tmp_path / "t"), *options, "--json")
    assert said.code == 0, said.err
    assert set(said.json["annotators"]) == set(THREE)
    assert said.json["agreement"]["alpha"]["nominal"]["value"] > 0
    assert len(items_of(tmp_path / "out")) == said.json["items"]
    again = dsm("score", str(tmp_path / "t"), *options[:2], "--consensus", "mace", "--dry-run")
    assert again.code == 0
    for word in ("Krippendorff's alpha, nominal", "eve", "like consensus", "disputed"):
        assert word in again.out


def test_what_goes_with_answers(tmp_path):
    write(long(planted(5)[0]), tmp_path / "t")
    for wrong in (
        ["--answers", "item,who,says", "--probs", "p"],
        ["--answers", "item,who,says", "--tag", "t"],
        ["--answers", "item,who"],
        ["--probs", "p", "--repeated", "last"],
    ):
        assert dsm("score", str(tmp_path / "t"), *wrong).code == 2


def test_agreement_is_told_with_the_columns(tmp_path):
    write(wide(planted(40)[0]), tmp_path / "t")
    assert dsm("create", tmp_path / "ds", tmp_path / "t").code == 0
    said = dsm("score", tmp_path / "ds", "--annotators", "ann,bob,eve")
    assert said.code == 0, said.err
    for word in ("Fleiss' kappa", "ann and bob", "consensus_confidence", "committed"):
        assert word in said.out
    one = dsm("score", tmp_path / "ds", "--annotators", "ann", "--prefix", "ann_")
    assert one.out.count("one annotator") == 1


GRADES = ("low", "middle", "high")


def graded(place, items=60):
    """A dataset and a long table of two annotators who are a grade apart now and then; and how
    often one said this and the other that."""
    random = np.random.default_rng(1)
    truth = random.integers(0, 3, items)
    other = np.clip(truth + random.choice([-1, 0, 1], items, p=[0.2, 0.6, 0.2]), 0, 2)
    says = {
        name: [GRADES[one] for one in given] for name, given in (("ann", truth), ("bob", other))
    }
    write(pa.table({"id": range(items), **says}), place / "t")
    assert dsm("create", place / "ds", place / "t").code == 0
    both = {"item": [*range(items)] * 2, "who": ["ann"] * items + ["bob"] * items}
    write(pa.table({**both, "says": [*says["ann"], *says["bob"]]}), place / "answers")
    table = np.zeros((3, 3))
    np.add.at(table, (truth, other), 1)
    return str(place / "ds"), str(place / "answers"), table


def kappa_plainly(table, weight):
    table = table / table.sum()
    places = np.arange(len(table))
    apart = np.abs(places[:, None] - places) ** {"linear": 1, "quadratic": 2}[weight]
    chance = np.outer(table.sum(axis=1), table.sum(axis=0))
    return 1 - (apart * table).sum() / (apart * chance).sum()


def ordinal_alpha_plainly(table):
    """Of two annotators who both answered every item; Krippendorff, 2004."""
    pairs = table + table.T
    each = pairs.sum(axis=0)
    apart = np.zeros((3, 3))
    for c, k in itertools.combinations(range(3), 2):
        apart[c, k] = apart[k, c] = (each[c : k + 1].sum() - (each[c] + each[k]) / 2) ** 2
    chance = (np.outer(each, each) * apart).sum() / (each.sum() - 1)
    return 1 - (pairs * apart).sum() / chance


@pytest.mark.parametrize("weight", ["linear", "quadratic"])
def test_weights_and_order_of_classes(weight, tmp_path):
    ds, answers, table = graded(tmp_path)
    asked = ["--classes", ",".join(GRADES), "--kappa-weights", weight, "--ordered"]
    wide_one = dsm("score", ds, "--annotators", "ann,bob", *asked, "--json")
    long_one = dsm("score", answers, "--answers", "item,who,says", *asked, "--json")
    assert (wide_one.code, long_one.code) == (0, 0), wide_one.err + long_one.err
    for told in (wide_one.json["summaries"]["annotators"], long_one.json):
        kappa = told["agreement"]["cohen"]
        assert kappa["weights"] == weight
        assert kappa["mean"]["value"] == pytest.approx(kappa_plainly(table, weight))
        alpha = told["agreement"]["alpha"]["ordinal"]["value"]
        assert alpha == pytest.approx(ordinal_alpha_plainly(table))
    shown = dsm("score", answers, "--answers", "item,who,says", *asked)
    assert f"Cohen's kappa, {weight} weights" in shown.out
    assert "Krippendorff's alpha, ordinal" in shown.out


def test_iterations_from_the_command_line(tmp_path):
    ds, answers, _ = graded(tmp_path)
    more = ["--em-iterations", "2", "--em-tolerance", "0", "--consensus", "glad", "--json"]
    said = dsm("score", ds, "--annotators", "ann,bob", *more)
    assert said.code == 0, said.err
    column = said.json["columns"]["consensus_label"]["parameters"]
    assert (column["method"], column["iterations"], column["tolerance"]) == ("glad", 2, 0)
    assert said.json["summaries"]["consensus"]["iterations"] == 2
    told = dsm("score", answers, "--answers", "item,who,says", *more).json
    assert (told["method"], told["iterations"]) == ("glad", 2)


def test_calibration_from_the_command_line(tmp_path):
    names, _ = planted(40)
    random = np.random.default_rng(0)
    model = pa.array(random.dirichlet(np.ones(3), 40).tolist(), pa.list_(pa.float64(), 3))
    write(wide(names, p=model), tmp_path / "t")
    assert dsm("create", tmp_path / "ds", tmp_path / "t").code == 0
    asked = ["--annotators", "ann,bob,eve", "--probs", "p", "--calibrate", "--json"]
    said = dsm("score", tmp_path / "ds", *asked)
    assert said.code == 0, said.err
    assert said.json["columns"]["consensus_label"]["parameters"]["calibrate"] is True
    assert said.json["summaries"]["consensus"]["temperature"] > 1
    assert dsm("score", tmp_path / "ds", *asked).json["committed"] is False


TWO = ["--annotators", "ann,bob"]


def test_options_that_do_not_go_together(tmp_path):
    ds, answers, _ = graded(tmp_path, 5)
    for options, word in (
        ([*TWO, "--calibrate"], "no model to calibrate"),
        ([*TWO, "--kappa-weights", "linear"], "need an order"),
        ([*TWO, "--ordered"], "need an order"),
        ([*TWO, "--kappa-weights", "cubic"], "cubic"),
        ([*TWO, "--em-iterations", "0"], "em-iterations"),
        ([*TWO, "--em-tolerance", "-1"], "tolerance"),
        ([*TWO, "--em-tolerance", "nan"], "tolerance"),
        ([*TWO, "--consensus", "majority", "--em-iterations", "5"], "does not iterate"),
        ([*TWO, "--consensus", "glade"], "unknown"),
        (["--label", "ann", "--ordered"], "--ordered says nothing"),
        (["--label", "ann", "--em-iterations", "5"], "--em-iterations says nothing"),
    ):
        said = dsm("score", ds, *options)
        assert (said.code, word in " ".join(said.err.split())) == (2, True), options
    assert open_dataset(ds).version == 1
    said = dsm("score", answers, "--answers", "item,who,says", "--calibrate")
    assert (said.code, "--calibrate: not with --answers" in said.err) == (2, True)


# ---------------------------------------------------------------------------------------------
# Python and jobs


def test_answers_from_python(tmp_path, engine):
    write(long(planted(50)[0]), tmp_path / "t")
    columns, out = ("item", "who", "says"), str(tmp_path / "out")
    found = dsm_dask.score_answers(
        str(tmp_path / "t"), columns, method="glad", out=out, engine=engine
    )
    again = answered(open_parquet(str(tmp_path / "t")), engine, method="glad")
    assert dataclasses.replace(found, out=None) == again
    assert len(items_of(out)) == found.agreement.items
    with pytest.raises(UsageError, match="three columns"):
        dsm_dask.score_answers(str(tmp_path / "t"), columns[:2], engine=engine)


JOB = """
name: agree
dataset: {place}/long
steps:
  - create: {{sources: {place}/answers}}
  - score_answers:
      columns: [item, who, says]
      method: mace
      out: {place}/out
      classes: [low, middle, high]
      weights: linear
      ordered: true
"""


def test_a_step_of_a_job(tmp_path, engine):
    _, _, table = graded(tmp_path)
    job = parse_job(JOB.format(place=tmp_path))
    told = run_job(job, engine=engine).steps[1].result
    assert told["method"] == "mace"
    kappa = told["agreement"]["cohen"]["mean"]["value"]
    assert kappa == pytest.approx(kappa_plainly(table, "linear"))
    assert len(items_of(tmp_path / "out")) == 60
    assert open_dataset(str(tmp_path / "long")).version == 1
    assert plan_job(job, engine=engine)["steps"][1]["rows"] == 120


def test_a_step_about_other_data(tmp_path, engine):
    ds, answers, _ = graded(tmp_path)
    step = f"score_answers: {{data: {answers}, columns: [item, who, says], out: {tmp_path}/out}}"
    job = parse_job(f"{{name: x, dataset: {ds}, steps: [{{{step}}}]}}")
    assert plan_job(job, engine=engine)["steps"][0]["rows"] == 120
    told = run_job(job, engine=engine).steps[0].result
    assert (told["data"], told["items"]) == (answers, 60)
    assert run_job(job, engine=engine).steps[0].result == told  # as when its driver died
    assert len(items_of(tmp_path / "out")) == 60
    assert ("steps[0].score_answers.data", answers) in uris(job)
    with pytest.raises(UsageError, match="--allow-local"):
        refuse_local(job)
    with pytest.raises(JobSpecError, match="secret"):
        parse_job(
            "{name: x, dataset: d, steps: [{score_answers: {columns: [a, b, c], "
            "data: 'https://me:word@host/a.parquet'}}]}"
        )


@pytest.mark.parametrize(
    "wrong",
    [
        "{columns: [item, who]}", "{columns: [a, b, c], method: crowdlab}",
        "{columns: [a, b, c], iterations: 0}", "{columns: [a, b, c], weights: cubic}",
        "{columns: [a, b, c], tolerance: -1}", "{columns: [a, b, c], repeated: first}",
    ],
)  # fmt: skip
def test_steps_that_cannot_be(wrong):
    with pytest.raises(JobSpecError):
        parse_job(f"{{name: x, dataset: d, steps: [{{score_answers: {wrong}}}]}}")


def test_options_of_annotators_in_a_score_step(tmp_path, engine):
    ds, _, _ = graded(tmp_path)
    step = (
        "{annotators: [ann, bob], consensus: glad, em_iterations: 3, em_tolerance: 0.0, "
        "classes: [low, middle, high], kappa_weights: quadratic, ordered: true}"
    )
    job = parse_job(f"{{name: x, dataset: {ds}, steps: [{{score: {step}}}]}}")
    told = run_job(job, engine=engine).steps[0].result["summaries"]["annotators"]
    assert told["iterations"] <= 3
    assert told["agreement"]["cohen"]["weights"] == "quadratic"

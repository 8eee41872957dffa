"""Annotators from the command line, Python and jobs."""

from annotator_trials import THREE, items_of, long, planted, wide, write
from dsm_trials import dsm


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

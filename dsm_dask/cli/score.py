"""``dsm score``."""

from __future__ import annotations

from typing import Any

import click

from dsm_dask.cli import annotator_text, text
from dsm_dask.cli.answers import answer_verb
from dsm_dask.cli.outcome import DRY_RUN, MESSAGE, ON_ERROR, TAG, Outcome, verb
from dsm_dask.dataset.naming import check_tag, tag_result
from dsm_dask.errors import UsageError
from dsm_dask.scores.annotators.cohen import WEIGHTS
from dsm_dask.scores.score_by import score_by
from dsm_dask.scores.scores import KINDS, ScoreOptions

_LISTS = ("out_of_fold", "probs", "classes", "features", "trusted", "annotators")


@verb
@click.argument("dataset")
@click.option("--probs", metavar="COL[,COL...]", help="Columns of a model's probabilities.")
@click.option("--model", metavar="FILE", help="A skops or ONNX file that makes them.")
@click.option("--features", metavar="COL[,COL...]", help="What the model takes [as it says].")
@click.option("--trusted", metavar="TYPE[,TYPE...]", help="Types that a skops file may hold.")
@click.option("--kind", type=click.Choice(KINDS), help="What the model tells [multiclass].")
@click.option("--classes", metavar="A,B,C", help="In the order of the probabilities [learned].")
@click.option("--logits", is_flag=True, default=None, help="They are logits.")
@click.option("--temperature", type=float, help="That logits are divided by [1].")
@click.option("--renormalise", is_flag=True, default=None, help="Divide rows by their sums.")
@click.option("--tolerance", type=float, help="How far sums may be from one [0.001].")
@click.option("--members", type=click.IntRange(1), help="Vectors in a list of an ensemble.")
@click.option("--aggregate", metavar="HOW", help="Of tokens: mean, max or min [mean].")
@click.option("--spread", metavar="WHAT", help="Of regression: variance, interval or members.")
@click.option(
    "--out-of-fold",
    metavar="COL[,COL...]",
    help="Learn them here, by cross-validation, from these.",
)
@click.option("--group", metavar="COL", help="Rows that are alike here are in one part of that.")
@click.option("--label", metavar="COL", help="Labels, to be held against the probabilities.")
@click.option("--quality", metavar="METHOD", help="Of labels [self_confidence].")
@click.option("--filter", metavar="NAME", help="Which labels are issues [prune_by_noise_rate].")
@click.option("--min-examples", type=click.IntRange(0), help="Labels left of a class [1].")
@click.option("--noise-share", type=float, help="Share of the noise that is flagged [1].")
@click.option("--annotators", metavar="COL,COL,...", help="Columns of annotators' labels.")
@click.option(
    "--consensus", metavar="METHOD", help="majority, dawid-skene, mace, glad or crowdlab."
)
@click.option("--calibrate", is_flag=True, default=None, help="The model first, for crowdlab.")
@click.option("--em-iterations", type=click.IntRange(1), help="Of learning a consensus [100].")
@click.option("--em-tolerance", type=float, help="Gain an answer that ends them [0.00001].")
@click.option("--kappa-weights", type=click.Choice(WEIGHTS), help="Of Cohen's kappa [none].")
@click.option("--ordered", is_flag=True, default=None, help="--classes are named in their order.")
@click.option(
    "--answers", metavar="ITEM,ANNOTATOR,LABEL", help="Columns of a table with a row an answer."
)
@click.option("--repeated", type=click.Choice(["last", "error"]), help="Answers again [last].")
@click.option("--out", "out_uri", metavar="URI", help="With --answers: write the items here.")
@click.option("--scratch", metavar="URI", help="With --answers: where plain files are shuffled.")
@click.option("--embedding", metavar="COL", help="Vectors, of which neighbours are looked for.")
@click.option("--neighbours", type=click.IntRange(1), help="How many.")
@click.option("--prefix", default="", help="Before the names of the columns.")
@click.option("--replace", is_flag=True, help="Also scores made with other parameters.")
@DRY_RUN
@MESSAGE
@TAG
@ON_ERROR
def command(
    out: Outcome,
    dataset: str,
    prefix: str,
    replace: bool,
    dry_run: bool,
    message: str,
    tag_name: str | None,
    answers: str | None,
    repeated: str | None,
    out_uri: str | None,
    scratch: str | None,
    **given: Any,
) -> None:
    """Write scores of rows as new columns of a new version, beside what is there.

    \b
    --probs        uncertainty of a model, and what it predicts
    --out-of-fold  probabilities, where there are none
    --label        with these: quality of labels, and which are issues
    --annotators   consensus of several, and how far they disagree
    --answers      the same of a table of any kind with a row for each
                   answer; --out gets a table with a row for each item
    --embedding    outliers; with --label: rows unlike their neighbours

    Again after an append, only rows without right scores are computed.
    """
    if answers is not None:
        own = {"repeated": repeated, "out": out_uri, "scratch": scratch, "dry_run": dry_run}
        not_here = {"prefix": prefix, "replace": replace, "message": message, "tag": tag_name}
        answer_verb(out, dataset, answers, own, {**given, **not_here})
        return
    if repeated or out_uri or scratch:
        raise UsageError("--repeated, --out and --scratch go with --answers.")
    check_tag(dataset, tag_name)
    asked = {name: _listed(value) if name in _LISTS else value for name, value in given.items()}
    options = ScoreOptions.of(**asked)
    options.check()
    made = score_by(
        dataset, options, engine=out.engine, replace=replace, message=message, dry_run=dry_run,
        prefix=prefix,
    )  # fmt: skip
    if not dry_run:
        tag_result(dataset, made.version, tag_name)
    found = made.to_dict()
    out.say(found, lambda: _told(found))


def _told(found: dict[str, Any]) -> str:
    annotators = found["summaries"].get("annotators")
    lines = [text.score(found)]
    if annotators is not None:
        lines.insert(0, annotator_text.annotators({**annotators, "notes": []}))  # told below
    return "\n".join(lines)


def _listed(value: str | None) -> list[str] | None:
    return None if value is None else [name.strip() for name in value.split(",")]

"""The steps about scores: writing them, what people should look at, and their corrections."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from dsm_dask.dataset.annotation_tools.answers import Several
from dsm_dask.errors import UsageError
from dsm_dask.jobs.strict import Strict, Strings
from dsm_dask.scores.annotators.cohen import Weights
from dsm_dask.scores.review.review_queue import MOST, TOP
from dsm_dask.scores.scores import ScoreOptions

CLASS = re.compile(r"(sklearn|numpy|scipy|xgboost|lightgbm|catboost)(\.\w+)*\.[A-Z]\w*")
"""Types that a job may trust: classes of packages for models. A function that a model calls could
do anything, so a job that could trust one would be code."""


class Score(Strict):
    """Write scores of rows next to the data: of ``probs`` or a ``model``, ``label``,
    ``annotators``, ``embedding``, or several of these."""

    probs: Strings | None = Field(None, description="Columns of a model's probabilities.")
    kind: Literal["multiclass", "multilabel", "regression", "tokens", "ensemble"] | None = None
    classes: list[str | int] | None = Field(None, description="In the probabilities' order.")
    logits: bool | None = None
    temperature: float | None = Field(None, gt=0)
    renormalise: bool | None = Field(None, description="Divide rows by their sums.")
    tolerance: float | None = Field(None, ge=0, lt=1, description="How far sums are from one.")
    members: int | None = Field(None, ge=1, description="Vectors in a list of an ensemble.")
    aggregate: Literal["mean", "max", "min"] | None = Field(None, description="Of tokens.")
    spread: Literal["variance", "interval", "members"] | None = None
    model: str | None = Field(None, description="A skops or ONNX file.")
    features: Strings | None = Field(None, description="The columns that the model takes.")
    trusted: Strings | None = Field(
        None, description="Classes of model packages that a skops file may hold."
    )
    out_of_fold: Strings | None = Field(None, description="Columns to learn probabilities from.")
    group: str | None = None
    label: str | None = None
    quality: str | None = Field(None, description="The method of label quality.")
    filter: str | None = Field(None, description="Which labels are issues.")
    min_examples: int | None = Field(None, ge=0)
    noise_share: float | None = Field(None, gt=0, le=1)
    annotators: Strings | None = Field(None, description="Columns of annotators' labels.")
    consensus: str | None = None
    calibrate: bool | None = Field(None, description="Calibrate the model, for crowdlab.")
    em_iterations: int | None = Field(None, ge=1, description="Of learning a consensus.")
    em_tolerance: float | None = Field(None, ge=0, description="Gain an answer that ends them.")
    kappa_weights: Weights | None = Field(None, description="Of Cohen's kappa.")
    ordered: bool | None = Field(None, description="The classes are named in their order.")
    embedding: str | None = Field(None, description="Vectors to look for neighbours in.")
    neighbours: int | None = Field(None, ge=1)
    prefix: str = Field("", description="Before the names of the columns.")
    replace: bool = Field(False, description="Also scores made with other parameters.")
    message: str = ""

    @property
    def options(self) -> ScoreOptions:
        given = self.model_dump(exclude={"prefix", "replace", "message"}, exclude_none=True)
        return ScoreOptions.of(**given)

    @field_validator("trusted", mode="after")
    @classmethod
    def _are_classes(cls, names: list[str] | None) -> list[str] | None:
        for name in names or ():
            if not CLASS.fullmatch(name):
                raise ValueError(
                    f"a job cannot trust {name!r}, only classes of sklearn, numpy, scipy, xgboost, "
                    "lightgbm and catboost; `dsm score --trusted` takes others"
                )
        return names

    @model_validator(mode="after")
    def _fits(self) -> Score:
        try:
            self.options.check()
        except UsageError as error:
            raise ValueError(str(error)) from None
        return self


class ScoreAnswers(Strict):
    """Find the consensus of a table with a row for each answer, and write it elsewhere."""

    data: str | None = Field(
        None, description="Other data than the dataset: files, or a dataset at a version."
    )
    columns: Annotated[list[str], Field(min_length=3, max_length=3)] = Field(
        description="Of the item, the annotator and the label."
    )
    method: Literal["dawid-skene", "mace", "glad", "majority"] | None = None
    out: str | None = Field(None, description="Write tables of items and annotators here.")
    classes: list[str | int] | None = Field(None, description="In their order.")
    repeated: Literal["last", "error"] | None = Field(None, description="Answers given again.")
    iterations: int | None = Field(None, ge=1)
    tolerance: float | None = Field(None, ge=0, description="Gain an answer that ends them.")
    weights: Weights | None = Field(None, description="Of Cohen's kappa.")
    ordered: bool | None = Field(None, description="The classes are named in their order.")

    @property
    def options(self) -> dict[str, Any]:
        given = self.model_dump(exclude={"data", "columns"}, exclude_none=True)
        return given | ({"classes": tuple(self.classes)} if self.classes else {})


class Update(Strict):
    """Change cells as a file of corrections says."""

    corrections: str = Field(
        description="A CSV, JSON lines or Parquet file, or an export of an annotation tool."
    )
    on: str | None = Field(None, description="The key: a column of both, or _rowid.")
    tool: Literal["label-studio", "argilla", "doccano"] | None = Field(
        None, description="The annotation tool; recognised when not given."
    )
    several: Several = Field("error", description="If annotators differ: error, last or skip.")
    who: str | None = Field(None, description="Who made the corrections.")
    message: str = ""


class Issues(Strict):
    """Write the rows that people should look at first, with reasons: as a page, as a file."""

    top: int = Field(TOP, ge=1, le=MOST, description="Rows.")
    by: (
        Literal[
            "label_quality", "disagreement", "uncertainty", "neighbours", "outlier", "labels",
            "combined",
        ]
        | None
    ) = None  # fmt: skip
    balance: str | None = Field(None, description="By turns from each value of a column, or class.")
    where: str | None = Field(None, description="Only rows for which this SQL condition holds.")
    label: str | None = None
    key: str | None = Field(None, description="The column that tells rows apart.")
    show: Strings | None = Field(None, description="Columns to look at.")
    prefix: str = Field("", description="Of the columns of scores.")
    html: str | None = Field(None, description="Write a page here.")
    out: str | None = Field(None, description="Write a form, or tasks, here.")
    format: (
        Literal["csv", "jsonl", "parquet", "label-studio", "argilla", "doccano"] | None
    ) = None  # fmt: skip

    @property
    def options(self) -> dict[str, Any]:
        return self.model_dump(exclude={"html", "out", "format"}, exclude_none=True)

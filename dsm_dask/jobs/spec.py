"""Job specs: YAML that says what to do, validated before anything is done.

A spec is data. It is read by a safe YAML 1.2 loader (``on`` and ``no`` are words, not booleans),
unknown keys are errors with their path, and nothing in it is ever executed. Its JSON Schema is
``docs/job.schema.json``.
"""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError, model_validator

from dsm_dask.duplicates.dedup import METHODS
from dsm_dask.errors import JobSpecError, NotFound
from dsm_dask.jobs.plain_yaml import plain_yaml
from dsm_dask.jobs.score_steps import Issues, Score, ScoreAnswers, Update
from dsm_dask.jobs.secrets import path_of, refuse_secrets
from dsm_dask.jobs.strict import Strict, Strings
from dsm_dask.monitoring.comparison import SHARE


class Create(Strict):
    """Link Parquet files (or copy them) as version 1."""

    sources: Strings = Field(description="Paths, folders or globs of Parquet files.")
    copy_rows: bool = Field(False, alias="copy", description="Copy the rows instead of linking.")
    message: str = ""


class Append(Strict):
    """Add the files that are not in the dataset yet."""

    sources: Strings
    message: str = ""


class Profile(Strict):
    """Statistics of every column."""

    columns: Strings | None = None
    html: str | None = Field(None, description="Write the profile as an HTML page here.")


class Check(Strict):
    """Hold the rows to a schema; on findings, stop the job before its next step."""

    against: str = Field(description="A schema (.yaml), saved sketches, or data.")
    columns: Strings | None = None
    examples: int = Field(5, ge=0, description="Rows shown of a finding.")
    html: str | None = Field(None, description="Write the findings as an HTML page here.")
    fail: bool = Field(True, description="Stop on findings; if not, go on and tell at the end.")


class Drift(Strict):
    """Compare the rows with a reference; on drift, stop the job before its next step."""

    reference: str = Field(description="Data, a dataset at any version, or saved sketches.")
    columns: Strings | None = None
    method: str | None = Field(None, description="Judge columns by this distance.")
    threshold: float | None = Field(None, description="Of the method: from where on it is drift.")
    share: float = Field(SHARE, ge=0, le=1, description="Share of columns that has to drift.")
    score: str | None = Field(None, description="Attribute a change of this column's mean.")
    html: str | None = Field(None, description="Write the comparison as an HTML page here.")
    fail: bool = Field(True, description="Stop on drift; if not, go on and tell at the end.")


class Dedup(Strict):
    """Find duplicate rows, and drop all but one of each cluster. From ``threshold`` on, most
    options go with some methods only; docs/dedup.md tells which."""

    on: Strings = Field(description="Columns to compare; one column of texts for minhash.")
    method: Literal["exact", "minhash", "semantic", "phash", "dhash"] = "exact"
    drop: bool = Field(False, description="Commit a version without the duplicates.")
    columns: bool = Field(False, description="Write cluster and role next to the data.")
    out: str | None = Field(None, description="Write the decisions as Parquet in this folder.")
    message: str = ""
    against: Strings | None = Field(None, description="Other data to hold the rows against.")
    threshold: float | None = Field(None, gt=0, le=1, description="Least similarity.")
    shingle: str | None = Field(None, description="word:N or char:N.")
    permutations: int | None = Field(None, ge=1)
    bands: int | None = Field(None, ge=1)
    rows: int | None = Field(None, ge=1)
    preset: Literal["datatrove", "curator", "datajuicer", "text-dedup"] | None = None
    normalise: Strings | None = Field(None, description="Steps of normalisation.")
    verify: bool | None = Field(None, description="Compare candidates exactly.")
    seed: int | None = None
    match_empty: bool | None = Field(None, description="Empty and null texts are duplicates.")
    embed: bool | None = Field(None, description="Make vectors of a text, on the way.")
    dimension: int | None = Field(None, ge=1, description="Of the vectors that are made.")
    distance: int | None = Field(None, ge=0, description="Bits by which images may differ.")
    keep: Literal["first", "longest"] | None = Field(None, description="The row that stays.")
    prefer: str | None = Field(None, description="Keep the row with the greatest number here.")

    @property
    def options(self) -> dict[str, Any]:
        """What was given of the options of a method."""
        names = (
            "threshold", "shingle", "permutations", "bands", "rows", "preset", "normalise",
            "verify", "seed", "match_empty", "embed", "dimension", "distance", "keep", "prefer",
        )  # fmt: skip
        given = {name: getattr(self, name) for name in names}
        return {name: value for name, value in given.items() if value is not None}

    @model_validator(mode="after")
    def _fits_method(self) -> Dedup:
        near = [*self.options, *(["against"] if self.against else [])]
        near += ["columns"] if self.columns else []
        for name in near:
            takers = [one for one, takes in METHODS.items() if name in takes]
            if self.method not in takers:
                raise ValueError(f"{name!r} goes with method: {', '.join(takers)}")
        if self.method != "exact" and len(self.on) != 1:
            raise ValueError(f"{self.method} compares one column")
        return self


class Drop(Strict):
    """Drop rows for which an SQL condition holds."""

    where: str
    message: str = ""


class Tag(Strict):
    """Name the current version."""

    name: str
    force: bool = False


class Branch(Strict):
    """Start a branch at the current version."""

    name: str


class Log(Strict):
    """List the versions."""

    limit: int | None = Field(None, ge=1)


class Diff(Strict):
    """Compare two versions: by default the first of this job and the current one."""

    before: str | None = None
    after: str | None = None


class Verify(Strict):
    """Check source files and checksums."""


class Report(Strict):
    """Write one HTML page about everything that the job did."""

    html: str
    title: str | None = None


STEPS: dict[str, type[Strict]] = {
    "create": Create,
    "append": Append,
    "profile": Profile,
    "check": Check,
    "drift": Drift,
    "dedup": Dedup,
    "score": Score,
    "score_answers": ScoreAnswers,
    "update": Update,
    "issues": Issues,
    "drop": Drop,
    "tag": Tag,
    "branch": Branch,
    "log": Log,
    "diff": Diff,
    "verify": Verify,
    "report": Report,
}


class Step(Strict):
    """One step: exactly one of the verbs, with its arguments."""

    create: Create | None = None
    append: Append | None = None
    profile: Profile | None = None
    check: Check | None = None
    drift: Drift | None = None
    dedup: Dedup | None = None
    score: Score | None = None
    score_answers: ScoreAnswers | None = None
    update: Update | None = None
    issues: Issues | None = None
    drop: Drop | None = None
    tag: Tag | None = None
    branch: Branch | None = None
    log: Log | None = None
    diff: Diff | None = None
    verify: Verify | None = None
    report: Report | None = None

    @model_validator(mode="before")
    @classmethod
    def _empty_arguments(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = {value: {}}
        if isinstance(value, dict):
            value = {name: {} if body is None else body for name, body in value.items()}
            if len(value) != 1:
                raise ValueError(f"a step has one verb; this one has {len(value)}")
        return value

    @property
    def verb(self) -> str:
        return next(name for name in STEPS if getattr(self, name) is not None)

    @property
    def arguments(self) -> Any:
        return getattr(self, self.verb)


class Job(Strict):
    """A job: a dataset and what to do with it."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)
    description: str = ""
    dataset: str = Field(description="URI of the dataset, with @BRANCH if not the main one.")
    on_error: Literal["fail", "skip"] = "fail"
    steps: list[Step] = Field(min_length=1, max_length=1000)

    @model_validator(mode="before")
    @classmethod
    def _no_secrets(cls, value: Any) -> Any:
        refuse_secrets(value)
        return value


def load_job(path: str | Path) -> Job:
    """Read and validate a job file; raises NotFound or JobSpecError with the key's path."""
    return parse_job(read_job(path), str(path))


def read_job(path: str | Path) -> str:
    """The text of a job file."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError):
        raise NotFound(f"There is no job file {path}.", where=str(path)) from None
    except UnicodeDecodeError as error:
        raise JobSpecError(f"{path} is not text: {error}.", where=str(path)) from None


def parse_job(text: str, where: str = "job") -> Job:
    """Validate the text of a job.

    >>> job = parse_job("{name: x, dataset: d, steps: [{dedup: {on: text, drop: true}}]}")
    >>> job.steps[0].verb, job.steps[0].arguments.on
    ('dedup', ['text'])
    """
    try:
        data = plain_yaml(text)
    except ValueError as error:
        raise JobSpecError(f"{where} is not valid YAML: {error}.", where=where) from None
    if not isinstance(data, dict):
        raise JobSpecError(
            f"{where} holds no job.", where=where, valid="A job has name, dataset and steps."
        )
    try:
        return Job.model_validate(data)
    except ValidationError as error:
        raise _explained(error, where) from None


def _explained(error: ValidationError, where: str) -> JobSpecError:
    problem = error.errors()[0]
    known = _keys_at(problem["loc"])
    if not problem["loc"]:  # of the job as a whole
        return JobSpecError(f"{problem['msg'].removeprefix('Value error, ')}.", where=where)
    place = f"{where}: {path_of(problem['loc'])}"
    if problem["type"] == "extra_forbidden":
        key = str(problem["loc"][-1])
        close = difflib.get_close_matches(key, known, n=1)
        hint = f"Did you mean {close[0]!r}? " if close else ""
        return JobSpecError(
            f"There is no key {key!r} here.", where=place, valid=f"{hint}Known: {', '.join(known)}."
        )
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "missing":
        message = "this key is missing"
    valid = f"Known keys here: {', '.join(known)}." if known else None
    return JobSpecError(f"{message}.", where=place, valid=valid)


def _keys_at(loc: tuple[int | str, ...]) -> list[str]:
    names = [part for part in loc[:-1] if isinstance(part, str) and part in STEPS]
    if names:
        model: type[BaseModel] = STEPS[names[-1]]
    else:
        model = Step if "steps" in loc[:-1] else Job
    return [field.alias or name for name, field in model.model_fields.items()]


def json_schema() -> str:
    """The JSON Schema of a job file, as published in ``docs/job.schema.json``."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Job.model_json_schema()}
    return json.dumps(schema, indent=2) + "\n"

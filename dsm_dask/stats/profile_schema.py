"""The JSON of a profile, as a schema: what programs may rely on."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field, TypeAdapter
from typing_extensions import TypedDict  # pydantic takes typing's from Python 3.12 only

Number = float | Literal["NaN", "Infinity", "-Infinity"]
Share = Annotated[float, Field(ge=0, le=1)]
Natural = Annotated[int, Field(ge=0)]
Strict = ConfigDict(extra="forbid")


class Top(TypedDict):
    """A value that occurs at least ``count`` times, and at most ``count + error`` times."""

    value: Any
    count: Natural
    error: Natural


class Histogram(TypedDict):
    """``counts[i]`` values lie in [``edges[i]``, ``edges[i + 1]``); ``below`` and ``above`` count
    negative and positive infinity."""

    edges: list[Any]
    counts: list[Natural]
    below: Natural
    above: Natural


class Lengths(TypedDict):
    """Of texts in characters, of bytes in bytes, of lists and maps in items."""

    unit: Literal["characters", "bytes", "items"] | None
    min: Natural | None
    max: Natural | None
    mean: float | None
    total: Natural


class Text(TypedDict):
    """How many of ``count`` texts are empty, only white space (``blank``), with white space around
    other text (``padded``), numbers, with bytes above 127, or not UTF-8; and totals."""

    count: Natural
    empty: Natural
    blank: Natural
    padded: Natural
    numeric: Natural
    non_ascii: Natural
    invalid_utf8: Natural
    bytes: Natural
    characters: Natural


class Gap(TypedDict):
    """No value lies between ``start`` and ``end``."""

    start: str
    end: str
    seconds: float


class Gaps(TypedDict):
    """The longest gaps, of those longer than ``resolution`` seconds; the share of stretches of that
    length in which there is any value; and the seconds of which all distances are multiples."""

    longest: list[Gap]
    resolution: float | None
    occupied: Share | None
    step: float | None


class Vectors(TypedDict):
    """Norms are Euclidean; ``count`` vectors are whole. ``means`` and ``variances`` by dimension,
    up to 8,192."""

    dimension: Natural | None
    count: Natural
    nulls: Natural
    nan: Natural
    infinite: Natural
    zeros: Natural
    norm_min: float | None
    norm_max: float | None
    norm_mean: float | None
    norm_std: float | None
    means: list[float] | None
    variances: list[float] | None


class Booleans(TypedDict):
    true: Natural
    false: Natural


class Nested(TypedDict):
    """Names of the columns that are inside this one, and how many more there are in it."""

    columns: list[str]
    left_out: Natural


class Column(TypedDict):
    """``count`` is all rows, nulls included (of what lies inside lists and maps: items).
    ``infinities``, ``zeros`` and ``negatives`` are null for what is no number. ``std`` has n - 1 in
    the denominator. Estimates come with their errors: ``distinct_error`` is a relative standard
    error, ``quantiles_error`` a bound in ranks, as a share of the values. Dates and times are
    ISO 8601, decimals strings (in ``quantiles`` and ``histogram`` numbers), bytes hexadecimal, and
    floats that JSON lacks ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``."""

    __pydantic_config__ = Strict  # type: ignore[misc]
    type: str
    count: Natural
    nulls: Natural
    nan: Natural
    infinities: Natural | None
    zeros: Natural | None
    negatives: Natural | None
    min: Any
    max: Any
    min_truncated: bool
    max_truncated: bool
    mean: Number | None
    std: Number | None
    skewness: Number | None
    kurtosis: Number | None
    distinct: Natural | None
    distinct_exact: bool | None
    distinct_error: float | None
    quantiles: dict[str, Any]
    quantiles_error: Share | None
    top: list[Top]
    top_exact: bool | None
    histogram: Histogram
    lengths: NotRequired[Lengths]
    text: NotRequired[Text]
    gaps: NotRequired[Gaps]
    vectors: NotRequired[Vectors]
    booleans: NotRequired[Booleans]
    path: NotRequired[list[str]]
    nested: NotRequired[Nested]


class Correlated(TypedDict):
    columns: Annotated[list[str], Field(min_length=2, max_length=2)]
    r: Annotated[float, Field(ge=-1, le=1)]
    rows: Natural


class Correlation(TypedDict):
    """Pearson's r, over the rows where both columns have a value; null where a column is constant
    over them. ``left_out`` are numeric columns that were not compared."""

    method: Literal["pearson"]
    columns: list[str]
    matrix: list[list[Annotated[float, Field(ge=-1, le=1)] | None]]
    strongest: list[Correlated]
    left_out: list[str]


class NullPair(TypedDict):
    """Two columns that are null together in ``rows`` rows."""

    columns: Annotated[list[str], Field(min_length=2, max_length=2)]
    rows: Natural
    jaccard: Share
    phi: float | None


class MissingTogether(TypedDict):
    """``counts`` of rows where both of two ``columns`` are null; sets of columns that ``always``
    are in the same rows; and ``pairs`` that are more often than by chance."""

    columns: list[str]
    counts: list[list[Natural]]
    always: list[list[str]]
    pairs: list[NullPair]
    left_out: list[str]


class Class(TypedDict):
    value: Any
    count: Natural


class ClassBalance(TypedDict):
    """Rows of the largest class over the smallest, entropy in bits, and evenness, its share of what
    equal classes would have."""

    column: str
    classes: list[Class]
    unlabelled: Natural
    exact: bool
    imbalance: float | None
    entropy: float | None
    evenness: float | None


class PartitionOutlier(TypedDict):
    """``value`` of a partition, where the others have about ``typical``; ``score`` robust standard
    deviations apart."""

    partition: str
    column: str | None
    statistic: str
    value: Any
    typical: Any
    score: Number


class PartitionOutliers(TypedDict):
    partitions: Natural
    compared: Natural
    found: list[PartitionOutlier]
    more: Natural


class Table(TypedDict):
    """Of the table as a whole; ``bytes`` are those stored."""

    __pydantic_config__ = Strict  # type: ignore[misc]
    rows: Natural
    bytes: Natural
    partitions: Natural
    correlation: Correlation | None
    missing_together: MissingTogether | None
    class_balance: ClassBalance | None
    partition_outliers: PartitionOutliers | None


class Profile(TypedDict):
    """What ``dsm profile --json`` prints, and ``Profile.to_dict()`` returns."""

    rows: Natural
    columns: dict[str, Column]
    data: NotRequired[str]
    table: NotRequired[Table]
    io: NotRequired[dict[str, Any]]
    skipped: NotRequired[list[dict[str, Any]]]


PROFILE: TypeAdapter[Profile] = TypeAdapter(Profile)


def json_schema() -> str:
    """As published in ``docs/profile.schema.json``."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **PROFILE.json_schema()}
    return json.dumps(schema, indent=2) + "\n"

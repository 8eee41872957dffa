"""A schema as YAML: read with every scalar as text, written for people to edit.

What a scalar means is for its key to say: ``no`` and ``1.10`` in a list of categories are the texts
that they look like, whatever YAML would make of them, and ``max`` is exact to the last digit.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterator
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from dsm_dask import storage
from dsm_dask.errors import SchemaFileError, nearest
from dsm_dask.validation.bounds import parse_bound
from dsm_dask.validation.schema import ColumnSchema, Rows, Schema
from dsm_dask.validation.types import kind_of_name

WIDTH = 96
_DEEPEST = 20
_PLAIN = re.compile(
    r"[A-Za-z_][A-Za-z0-9_]*|-?\d+(\.\d+)?(e[+-]?\d+)?|0\.\.1"
    r"|[a-z][a-z0-9_]*[\[(<][A-Za-z0-9_ ,=/+\-\[\]()<>]*"  # a type
)
_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"}
_LONGEST_KEY = 120

Path = tuple[str | int, ...]

HEAD = """\
# What `dsm check DATA --against THIS_FILE` holds data to. Edit it freely: a rule that is not here
# is not checked.
#   type        logical type; nulls: largest share of nulls; optional: true: may be missing
#   nan, infinite, empty (strings): false: none may occur
#   min, max    of numbers and times; normalised: 0..1, -1..1, or standard (mean 0, deviation 1)
#   categories  all values that may occur; min_length, max_length: characters, bytes or items
#   unique: true: no value twice; unit_norm: true: vectors of length 1
#   keys: [[a, b]]: no two rows agree on all of these; rows: {min: 1, max: 1000}
#   new_columns: true: other columns may be there
"""
SLACK = """\
# Made from data, with slack: min and max are a tenth of the range beyond it (more where its tails
# are long), nulls half as many again and 1 % (0 if there were none). Times have no max.
"""


def is_schema_file(name: object) -> bool:
    """Whether a name is that of a schema file.

    >>> is_schema_file("s3://lake/reviews.yaml"), is_schema_file("reviews@clean")
    (True, False)
    """
    return isinstance(name, str) and name.lower().endswith((".yaml", ".yml"))


def load_schema(uri: str) -> Schema:
    """Read a schema file; NotFound, or SchemaFileError with the path and line in it."""
    raw = storage.read(uri)
    try:
        text = bytes(raw).decode("utf-8")
    except UnicodeDecodeError as error:
        raise SchemaFileError(f"{uri} is not text: {error}.", where=uri) from None
    return parse_schema(text, uri)


def parse_schema(text: str, where: str = "schema") -> Schema:
    """A schema from its text.

    >>> parse_schema("columns: {a: {type: int64, max: 10}}").columns["a"].max
    '10'
    """
    lines: dict[Path, int] = {}
    try:
        node = yaml.compose(text, yaml.BaseLoader)
    except RecursionError:
        raise SchemaFileError(f"{where} is nested too deeply.", where=where) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" at line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise SchemaFileError(f"{where} is not valid YAML{line}: {problem}.", where=where) from None
    if not isinstance(node, yaml.MappingNode):
        raise SchemaFileError(
            f"{where} holds no schema.", where=where, valid="A schema has the key columns."
        )
    data = _plain(node, (), lines, where)
    try:
        schema = Schema.model_validate(data)
    except ValidationError as error:
        raise _explained(error, lines, where) from None
    for path, problem, valid in _contradictions(schema):
        raise _error(path, problem, valid, lines, where)
    return schema


def _plain(node: yaml.Node, path: Path, lines: dict[Path, int], where: str) -> Any:
    """A node as dicts, lists and texts; ``lines`` learns where each is."""
    lines[path] = node.start_mark.line + 1
    if len(path) > _DEEPEST or len(lines) > 1_000_000:  # aliases can make a file grow without end
        raise _error(path, "the file is nested too deeply", None, lines, where)
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _error(path, "a key has to be a text", None, lines, where)
            name = str(key.value)
            here = (*path, name)
            if name in found:
                lines[here] = key.start_mark.line + 1
                raise _error(here, "this key is given twice", None, lines, where)
            found[name] = _plain(value, here, lines, where)
            lines[here] = key.start_mark.line + 1
        return found
    if isinstance(node, yaml.SequenceNode):
        return [_plain(one, (*path, i), lines, where) for i, one in enumerate(node.value)]
    return node.value


def _contradictions(schema: Schema) -> Iterator[tuple[Path, str, str | None]]:
    """What a model of each key alone cannot see."""
    for i, key in enumerate(schema.keys):
        for j, name in enumerate(key):
            if name not in schema.columns:
                yield (
                    ("keys", i, j),
                    f"there is no column {name!r} in this schema",
                    nearest(name, schema.columns),
                )
    for name, column in schema.columns.items():
        path = ("columns", name)
        kind = kind_of_name(column.type or "")
        yield from (((*path, *at), *rest) for at, *rest in _column_problems(column, kind))  # type: ignore[misc]
    rows = schema.rows or Rows()
    if rows.min is not None and rows.max is not None and rows.min > rows.max:
        yield ("rows", "min"), "min is above max", None


def _column_problems(column: ColumnSchema, kind: str) -> Iterator[tuple[Path, str, str | None]]:
    limits = {}
    for side in ("min", "max"):
        text = getattr(column, side)
        if text is None:
            continue
        if column.type is None:
            yield (side,), "a bound needs the type of the column", "Add type: int64, or another."
            return
        try:
            limits[side] = parse_bound(text, kind)
        except ValueError as error:
            yield (side,), str(error), None
            return
    if len(limits) == 2 and limits["min"] > limits["max"]:
        yield ("min",), "min is above max", None
    low, high = column.min_length or 0, column.max_length
    if high is not None and low > high:
        yield ("min_length",), "min_length is above max_length", None
    takes = {
        "categories": {"string", "integer", "bool"}, "empty": {"string"},
        "normalised": {"integer", "float", "decimal"}, "unit_norm": {"list"},
        "min_length": {"string", "binary", "list"}, "max_length": {"string", "binary", "list"},
    }  # fmt: skip
    for rule, kinds in takes.items():
        given = getattr(column, rule)
        if given is not None and given is not False and column.type and kind not in kinds:
            known = ", ".join(sorted(kinds))
            yield (rule,), f"{rule} is no rule for {column.type}", f"It is one for: {known}."
    if kind == "integer":
        for i, category in enumerate(column.categories or ()):
            if not re.fullmatch(r"-?\d{1,40}", category):
                yield ("categories", i), f"{category!r} is not an integer", None
    if kind == "bool":
        for i, category in enumerate(column.categories or ()):
            if category not in ("true", "false"):
                yield ("categories", i), f"{category!r} is not a boolean", "true or false"


def _explained(error: ValidationError, lines: dict[Path, int], where: str) -> SchemaFileError:
    problem = error.errors()[0]
    path = tuple(part for part in problem["loc"] if part != "[key]")
    if problem["type"] == "extra_forbidden":
        known = _keys_at(path)
        message = f"there is no key {str(path[-1])!r} here"
        return _error(path, message, nearest(str(path[-1]), known), lines, where)
    message = problem["msg"].removeprefix("Value error, ").rstrip(".")
    message = message[:1].lower() + message[1:]
    return _error(path, message, None, lines, where)


def _keys_at(path: Path) -> list[str]:
    models: dict[str, type[BaseModel]] = {"columns": ColumnSchema, "rows": Rows}
    model = models.get(str(path[0]), Schema) if len(path) > 1 else Schema
    return list(model.model_fields)


def _error(
    path: Path, problem: str, valid: str | None, lines: dict[Path, int], where: str
) -> SchemaFileError:
    known = path
    while known and known not in lines:
        known = known[:-1]
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    place = "".join(parts).lstrip(".") or "the schema"
    line = lines.get(known, 1)
    return SchemaFileError(
        f"{place} (line {line}): {problem}.", where=f"{where}: line {line}", valid=valid
    )


# ---------------------------------------------------------------------------------------------
# Writing


def dump_schema(
    schema: Schema, *, source: str = "", estimated: Collection[str] = (), inferred: bool = False
) -> str:
    """The text of a schema file: columns in their order, rules as they apply. The uniqueness of
    the ``estimated`` columns is marked so; of an ``inferred`` schema it says how its bounds came.

    >>> text = dump_schema(Schema(columns={"no": {"type": "string", "categories": ["a", "no"]}}))
    >>> print("\\n".join(text.splitlines()[-3:]))
      "no":
        type: string
        categories: ["a", "no"]
    """
    lines = [HEAD.rstrip("\n")]
    if inferred:
        lines.append(SLACK.rstrip("\n"))
    if source:
        lines.append(f"# Made from {_quoted(source)}")
    lines += ["", f"version: {schema.version}"]
    if schema.rows is not None:
        given = schema.rows.model_dump(exclude_none=True)
        lines.append(f"rows: {{{', '.join(f'{k}: {v}' for k, v in given.items())}}}")
    if schema.new_columns:
        lines.append("new_columns: true")
    if schema.keys:
        lines.append("keys:")
        lines += [f"  - [{', '.join(map(_name, key))}]" for key in schema.keys]
    lines += ["", "columns:" if schema.columns else "columns: {}"]
    for name, column in schema.columns.items():
        lines += _key(name, "  ")
        lines += [f"    {line}" for line in _rules(column, estimated=name in estimated)]
    return "\n".join(lines) + "\n"


def _key(name: str, indent: str) -> list[str]:
    shown = _name(name)
    if len(shown) <= _LONGEST_KEY:
        return [f"{indent}{shown}:"]
    return [f"{indent}? {shown}", f"{indent}:"]  # YAML has keys of more than a line only so


def _rules(column: ColumnSchema, *, estimated: bool) -> Iterator[str]:
    for rule in ColumnSchema.model_fields:
        value = getattr(column, rule)
        if value == ColumnSchema.model_fields[rule].default:
            continue
        if rule == "categories":
            yield from _categories(value, column.type)
        elif rule == "unique" and estimated:
            yield "unique: true  # estimated"
        else:
            yield f"{rule}: {_scalar(value)}"


def _categories(values: tuple[str, ...], dtype: str | None) -> Iterator[str]:
    show = _scalar if kind_of_name(dtype or "") in ("integer", "bool") else _quoted
    shown = [show(value) for value in values]
    line = f"categories: [{', '.join(shown)}]"
    if len(line) <= WIDTH:
        yield line
        return
    yield "categories:"
    yield from (f"  - {value}" for value in shown)


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.0f}" if math.floor(value) == value else repr(value)
    return str(value) if isinstance(value, int) or _PLAIN.fullmatch(value) else _quoted(value)


def _name(name: str) -> str:
    plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) and name.lower() not in _WORDS
    return name if plain else _quoted(name)


def _quoted(text: str) -> str:
    """A double-quoted scalar: as JSON writes it, what YAML does not take raw being escaped."""
    return "".join(_character(c) for c in json.dumps(text, ensure_ascii=False))


def _character(c: str) -> str:
    code = ord(c)
    if c.isprintable() and not 0xD800 <= code < 0xE000:
        return c
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"

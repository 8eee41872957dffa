"""YAML that is no more than data: what somebody else wrote is read without harm.

Words are words (``on`` and ``no`` are no booleans, as in YAML 1.2), no tag makes an object, and
there are no aliases: a few lines of them can stand for more than any memory holds. A key that is
given twice is a mistake.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

DEEPEST = 20
"""Lists and mappings within one another."""

LONGEST = 8 << 20
"""Characters of a text."""


class _Loader(yaml.SafeLoader):
    """Refuses what :mod:`dsm_dask.jobs.plain_yaml` says."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise _problem("aliases (*name) are not taken: write it again", self.peek_event())  # type: ignore[no-untyped-call]
        self.depth += 1
        if self.depth > DEEPEST:
            raise _problem("it is nested too deeply", self.peek_event())  # type: ignore[no-untyped-call]
        found = super().compose_node(parent, index)
        self.depth -= 1
        return found

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        known = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _problem("a key has to be a text", key)
            if key.value in known:
                raise _problem(f"the key {key.value!r} is given twice", key)
            known.add(key.value)
        return super().construct_mapping(node, deep=deep)

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, OverflowError) as error:  # numbers and dates that are none
            raise _problem(str(error), node) from None


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


def plain_yaml(text: str) -> Any:
    """The data that a YAML text holds. Raises ValueError, with the line.

    >>> plain_yaml("{on: no, off: [1, true]}")
    {'on': 'no', 'off': [1, True]}
    >>> plain_yaml("a: &x [1]\\nb: *x")
    Traceback (most recent call last):
    ValueError: at line 2: aliases (*name) are not taken: write it again
    """
    if len(text) > LONGEST:
        raise ValueError(f"it has {len(text):,} characters; up to {LONGEST:,} are read")
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"at line {mark.line + 1}: " if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise ValueError(f"{line}{problem}") from None


def _problem(problem: str, place: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=place.start_mark)

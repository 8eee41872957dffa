"""What tells functions of a user's apart: a name, and a digest of their code and of what they hold.

What was computed by a function serves a later run only when it is the same function. So the digest
covers its code with that of the functions within it, defaults, variables that it closes over, and
of the globals that it names the constants and the functions of its own module. It is the same in
every process. It does not see what other modules do, or a model behind a name.
"""

from __future__ import annotations

import functools
import inspect
import pickle
import types
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import xxhash

_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(...))
_FIXED = (tuple, frozenset, types.CodeType)
_PROCESS = uuid.uuid4().hex


def function_identity(function: Callable[..., Any]) -> str:
    """The name of a function, and a digest.

    >>> function_identity(lambda texts: [len(text) + 1 for text in texts]) == function_identity(
    ...     lambda texts: [len(text) + 2 for text in texts]
    ... )
    False
    """
    named = function if hasattr(function, "__qualname__") else type(function)
    digest = xxhash.xxh3_128()
    for part in _parts(function, {}):
        digest.update(f"{len(part)}:{part}".encode("utf-8", "surrogatepass"))
    return f"{named.__module__}.{named.__qualname__}#{digest.hexdigest()[:16]}"


def _parts(value: Any, seen: dict[int, Any]) -> Iterator[str]:
    """What a value is made of, as texts, but for what was ``seen``: objects by their ``id``."""
    yield type(value).__qualname__
    if isinstance(value, _PLAIN):
        yield repr(value)
    elif isinstance(value, types.ModuleType | type):
        yield f"{getattr(value, '__module__', '')}.{value.__name__}"
    elif id(value) not in seen:
        if not isinstance(value, _FIXED):  # whether equal ones are one object is up to Python
            seen[id(value)] = value
        yield from _parts_of_object(value, seen)


def _parts_of_object(value: Any, seen: dict[int, Any]) -> Iterator[str]:
    if isinstance(value, list | tuple):
        for one in value:
            yield from _parts(one, seen)
    elif isinstance(value, set | frozenset):
        yield from sorted(repr(list(_parts(one, seen))) for one in value)
    elif isinstance(value, dict):
        yield from _parts(list(value.items()), seen)
    elif isinstance(value, types.CodeType):
        yield from _parts_of_code(value, seen)
    elif isinstance(value, types.FunctionType):
        yield from _parts_of_function(value, seen)
    elif isinstance(value, types.MethodType):
        yield from _parts((value.__func__, value.__self__), seen)
    elif isinstance(value, functools.partial):
        yield from _parts((value.func, value.args, value.keywords), seen)
    elif hasattr(value, "__wrapped__"):  # as by functools.cache
        yield from _parts(value.__wrapped__, seen)
    elif isinstance(inspect.getattr_static(type(value), "__call__", None), types.FunctionType):
        yield from _parts((type(value), type(value).__call__, vars(value)), seen)
    else:
        yield _pickled(value)


def _parts_of_function(function: types.FunctionType, seen: dict[int, Any]) -> Iterator[str]:
    # a cell is empty until the variable that it is for has a value
    cells = [one.cell_contents for one in function.__closure__ or () if one != types.CellType()]
    held = (function.__code__, function.__defaults__, function.__kwdefaults__, cells)
    yield from _parts(held, seen)
    for name in sorted(_names(function.__code__)):
        value = function.__globals__.get(name)
        own = inspect.isroutine(value) and value.__module__ == function.__module__
        if own or isinstance(value, _PLAIN):
            yield from _parts((name, value), seen)


def _parts_of_code(code: types.CodeType, seen: dict[int, Any]) -> Iterator[str]:
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    yield from _parts((code.co_code, names, code.co_consts), seen)


def _names(code: types.CodeType) -> set[str]:
    """Names that code and the functions in it look up."""
    inner = (one for one in code.co_consts if isinstance(one, types.CodeType))
    return set(code.co_names).union(*map(_names, inner))


def _pickled(value: Any) -> str:
    try:
        return xxhash.xxh3_128_hexdigest(pickle.dumps(value, 5))
    except Exception:  # noqa: BLE001 - a lock, a file: like no other, then
        return f"{_PROCESS}-{id(value)}"

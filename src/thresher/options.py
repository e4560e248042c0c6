"""Option values: from command-line text or a YAML scalar to the annotated type."""

from __future__ import annotations

import math
import types
from typing import Any, Literal, Union, get_args, get_origin

WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "none"}


def convert(value: object, annotation: Any) -> Any:
    """Convert `value` to `annotation`: int, float, bool, str, None, a Literal, tuple[T, ...] or a union of these.

    Text is parsed ("2", "true", "none", "0,1,2"). A union takes the first type that fits. A bool also accepts 0 and 1.

    Raises ValueError: the value does not fit.

    >>> convert("0,1,2", Literal["all"] | tuple[int, ...])
    (0, 1, 2)
    >>> convert("none", int | None) is None
    True
    """
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return _first_fit(value, inner)
    if origin is tuple:
        items = value.split(",") if isinstance(value, str) else value
        return tuple(
            convert(item, inner[0]) for item in (items if isinstance(items, list | tuple) else [items])
        )
    value = value.strip() if isinstance(value, str) else value
    if origin is Literal:
        return _choice(value, inner)
    return _scalar(value, annotation)


def describe(annotation: object) -> str:
    """What an option accepts, in words.

    >>> describe(Literal["all", "late"] | tuple[int, ...])
    'all, late or whole numbers separated by commas'
    """
    *others, last = _alternatives(annotation)
    return f"{', '.join(others)} or {last}" if others else last


def _alternatives(annotation: Any) -> list[str]:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return [text for part in inner for text in _alternatives(part)]
    if origin is Literal:
        return [str(choice) for choice in inner]
    if origin is tuple:
        return [f"{describe(inner[0]).removeprefix('a ')}s separated by commas"]
    return [WORDS[annotation]]


def _first_fit(value: object, annotations: tuple[object, ...]) -> object:
    for annotation in annotations:
        try:
            return convert(value, annotation)
        except ValueError:
            continue
    raise ValueError(value)


def _choice(value: object, choices: tuple[object, ...]) -> object:
    for choice in choices:
        if value == choice or (isinstance(value, str) and value == str(choice)):
            return choice
    raise ValueError(value)


def _scalar(value: object, kind: type) -> object:
    text = str(value).lower()
    if kind is type(None) and text in ("none", "null"):
        return None
    if kind is bool and text in ("true", "false", "1", "0"):
        return text in ("true", "1")
    if kind is str and isinstance(value, str):
        return value
    if kind in (int, float) and isinstance(value, int | float | str) and not isinstance(value, bool):
        number = float(value)
        if math.isfinite(number) and (kind is float or number.is_integer()):
            return kind(number)
    raise ValueError(value)

"""Values of options: from the text of a command line or the scalar of a YAML file to the annotated type."""

from __future__ import annotations

import math
import types
from typing import Any, Literal, Union, get_args, get_origin

WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", type(None): "none"}


def convert(value: Any, annotation: Any) -> Any:
    """`value` as `annotation`, an int, float, bool, str, None, Literal, tuple[T, ...] or a union of those.

    A text is read ("2", "true", "none", "0,1,2"); a union takes the first of its types that fits.

    Raises
    ------
    ValueError
        it does not fit.

    >>> convert("0,1,2", Literal["all"] | tuple[int, ...])
    (0, 1, 2)
    >>> convert("none", int | None) is None
    True
    """
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        return _first_fit(value, get_args(annotation))
    if origin is Literal:
        return _choice(value, get_args(annotation))
    if origin is tuple:
        items = (
            value.split(",")
            if isinstance(value, str)
            else value
            if isinstance(value, list | tuple)
            else [value]
        )
        return tuple(convert(item, get_args(annotation)[0]) for item in items)
    return _scalar(value.strip() if isinstance(value, str) else value, annotation)


def describe(annotation: Any) -> str:
    """What an option takes, in words.

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


def _first_fit(value: Any, annotations: tuple[Any, ...]) -> Any:
    for annotation in annotations:
        try:
            return convert(value, annotation)
        except ValueError:
            continue
    raise ValueError(value)


def _choice(value: Any, choices: tuple[Any, ...]) -> Any:
    text = value.strip() if isinstance(value, str) else value
    for choice in choices:
        if text == choice or (isinstance(text, str) and text == str(choice)):
            return choice
    raise ValueError(value)


def _scalar(value: Any, kind: type) -> Any:
    text = value.lower() if isinstance(value, str) else None
    if kind is type(None) and (value is None or text in ("none", "null")):
        return None
    if kind is bool and (isinstance(value, bool) or text in ("true", "false")):
        return value if isinstance(value, bool) else text == "true"
    if kind is str and isinstance(value, str):
        return value
    if kind in (int, float) and isinstance(value, int | float | str) and not isinstance(value, bool):
        number = float(value)
        if math.isfinite(number) and (kind is float or number.is_integer()):
            return kind(number)
    raise ValueError(value)

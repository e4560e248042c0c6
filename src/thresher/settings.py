"""From plain values to a checked configuration, with one-line errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from thresher.config import (
    CompareConfig,
    DataConfig,
    GenerateConfig,
    HowMuchConfig,
    MeasureConfig,
    ModelConfig,
    NoiseConfig,
    ProxyConfig,
    RunConfig,
    ScoreConfig,
    SelectConfig,
    SweepConfig,
    TrainConfig,
)
from thresher.errors import UserError

# Parsing with libyaml takes a tenth of the time, where PyYAML was built with it.
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SECTIONS: dict[str, type[BaseModel]] = {
    "train": TrainConfig,
    "model": ModelConfig,
    "proxy": ProxyConfig,
    "measure": MeasureConfig,
    "score": ScoreConfig,
    "select": SelectConfig,
    "generate": GenerateConfig,
    "compare": CompareConfig,
    "how_much": HowMuchConfig,
    "sweep": SweepConfig,
    "noise": NoiseConfig,
}


def changed(
    config: RunConfig, section: str, given: Mapping[str, object], name: Callable[[str], str] = str
) -> RunConfig:
    """A configuration with some settings of one section changed; a new strategy starts without the options of the former.

    Raises UserError: an unknown setting, or a value that it does not take.

    >>> base = RunConfig(data=DataConfig(train="train.jsonl", text=("text",), label="label"))
    >>> soft = changed(base, "select", {"strategy": "softmax", "options": {"temperature": 2}})
    >>> soft.select.options, changed(soft, "select", {"strategy": "cutoff"}).select.options
    ({'temperature': 2.0}, {})
    """
    if not given:
        return config
    # What was not given stays so: some defaults depend on other settings.
    former = getattr(config, section).model_dump(exclude_unset=True)
    if "strategy" in given and given["strategy"] != former.get("strategy"):
        former.pop("options", None)
    return checked({**config.model_dump(exclude_unset=True), section: {**former, **given}}, name)


def checked(settings: dict[str, Any], name: Callable[[str], str] = str) -> RunConfig:
    """A whole configuration from plain values; `name` gives the name of a setting (`select.prune`) in messages.

    >>> data = {"train": "train.jsonl", "text": ["text"], "label": "label"}
    >>> checked({"data": data, "select": {"prune": 1.5}})
    Traceback (most recent call last):
    ...
    thresher.errors.UserError: select.prune must lie between 0 and 1 (got 1.5)
    """
    try:
        return RunConfig.model_validate(settings)
    except ValidationError as error:
        raise UserError(_problem(error.errors()[0], name)) from error


def setting(place: str) -> FieldInfo | None:
    """The field of a setting by its place (`select.prune`); None if there is no such setting.

    >>> setting("select.prune").default
    0.45
    """
    section, _, field = place.partition(".")
    found = RunConfig.model_fields.get(section)
    kind = found.annotation if found else None
    if field and isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind.model_fields.get(field.partition(".")[0])
    return found


def _problem(error: ErrorDetails, name: Callable[[str], str]) -> str:
    """One line for what pydantic found: which setting, what it takes, what it got."""
    place = ".".join(str(part) for part in error["loc"])
    if error["type"] == "missing":
        return f"{name(place)} is missing"
    if error["type"] == "extra_forbidden":
        section, _, field = place.rpartition(".")
        known = _SECTIONS[section].model_fields if section in _SECTIONS else DataConfig.model_fields
        names = known if section else RunConfig.model_fields
        return f"{name(place)}: no setting is called '{field}'; there are {', '.join(names)}"
    if error["type"] == "value_error":
        return error["msg"].removeprefix("Value error, ")
    field_info = setting(place)
    wanted = _takes(field_info) if field_info else error["msg"].lower()
    if error["type"] == "less_than_equal" and error["ctx"]["le"] > 1:
        wanted = f"be at most {error['ctx']['le']:,.12g}"
    short = ".".join(place.split(".")[:2])
    return f"{name(short)} must {wanted} (got {error['input']!r}){_as_share(wanted, error['input'])}"


def _as_share(wanted: str, given: object) -> str:
    """A hint for a percentage that was given instead of a share.

    >>> _as_share("lie between 0 and 1", "45%"), _as_share("lie between 0 and 1", 1.5), _as_share("be text", 45)
    ('; for 45% give 0.45', '', '')
    """
    text = str(given).strip()
    try:
        percent = float(text.removesuffix("%"))
    except ValueError:
        return ""
    meant = wanted.startswith(("lie between 0 and 1", "lie between 0 and 0.5")) and (
        text.endswith("%") or 2 <= percent < 100
    )
    return f"; for {percent:g}% give {percent / 100:g}" if meant and 0 < percent < 100 else ""


def _takes(field: FieldInfo) -> str:
    inner = [one for part in get_args(field.annotation) for one in getattr(part, "__metadata__", ())]
    limits = [limit for one in inner for limit in getattr(one, "metadata", ())]
    bounds = {
        kind: getattr(one, kind)
        for one in [*field.metadata, *limits]
        for kind in ("gt", "ge", "lt", "le", "min_length", "max_length")
        if getattr(one, kind, None) is not None
    }
    if "min_length" in bounds:
        return f"hold {bounds['min_length']} to {bounds['max_length']} names"
    low, high = bounds.get("gt", bounds.get("ge")), bounds.get("lt", bounds.get("le"))
    first, *others = _kinds(field.annotation)
    if high is not None and high <= 1:
        return f"lie between {low} and {high}" + (
            f", {high} not included" if {"ge", "lt"} <= bounds.keys() else ""
        )
    if low is not None:
        first += f" {'above' if 'gt' in bounds else 'of at least'} {low}"
    return "be " + " or ".join([first, *others])


def _kinds(annotation: Any) -> list[str]:
    """The types of an annotation, in words.

    >>> _kinds(int | Literal["auto", "all"])
    ['a whole number', "'auto'", "'all'"]
    >>> _kinds(tuple[Literal["gram", "std"], ...])
    ['a list out of gram, std']
    >>> from pydantic import Field
    >>> _kinds(Annotated[int, "limits"] | Literal["none"] | Annotated[str, Field(pattern="^no-", examples=["no-N"])])
    ['a whole number', "'none'", "'no-N'"]
    """
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return [repr(choice) for choice in inner]
    if origin is Annotated:
        shown = [repr(text) for one in inner[1:] for text in getattr(one, "examples", None) or ()]
        return shown or _kinds(inner[0])
    if origin is tuple:
        choices = get_args(inner[0]) if get_origin(inner[0]) is Literal else ()
        return [f"a list out of {', '.join(choices)}" if choices else "a list"]
    if origin is dict:
        return ["a mapping of names to numbers"]
    if inner:
        return [words for part in inner if part is not NoneType for words in _kinds(part)]
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    return [words.get(annotation, "a section of settings")]


def read_config(path: Path) -> dict[str, Any]:
    """The plain values of a run.yaml: one that a user wrote (any part of `RunConfig`), or that of a run folder.

    Raises UserError: missing file, broken YAML, or not a mapping.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), LOADER)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, ValueError) as error:  # an impossible date, bytes that are not UTF-8
        raise UserError(f"{path}: broken YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise UserError(
            f"{path}: needs sections such as data, model, train, but is a {type(content).__name__}"
        )
    written_by_run = "format" in content and isinstance(content.get("config"), dict)
    return dict(content["config"]) if written_by_run else content

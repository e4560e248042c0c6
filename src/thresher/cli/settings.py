"""Checked settings from a configuration file, options and `--set`; later ones override earlier ones."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin

import yaml

from thresher.cli.idle import refuse_idle
from thresher.cli.options import Option, flag_of, given
from thresher.config import RunConfig
from thresher.errors import UserError
from thresher.settings import changed, checked, read_config, setting

NOTHING = ("null", "none", "~")


def resolve(
    options: tuple[Option, ...],
    parameters: Mapping[str, object],
    config: Path | None,
    overrides: Iterable[str] | None,
    score_options: Iterable[str] | None = None,
    more: Mapping[str, object] | None = None,
) -> RunConfig:
    """The whole configuration of a run, checked before anything is read or written.

    Raises UserError: a missing, unknown or invalid setting, named as the user gave it.
    """
    by_file = read_config(config) if config else {}
    by_option = given(options, parameters) | dict(more or {})
    by_set = parsed(overrides or ())
    settings: dict[str, Any] = {"data": {}, **by_file}
    for place, value in (by_option | by_set).items():
        put(settings, place, value)
    for name, values in scores_of(score_options).items():
        for option, value in values.items():
            put(settings, f"score.options.{name}.{option}", value)
    now = checked(settings, named(options, by_set, config, by_option))
    refuse_idle({**by_option, **by_set}, now)
    if now.score.options:
        from thresher.scores import check_options

        check_options(now.score.options)
    return now


def options_of(
    config: RunConfig,
    options: Mapping[str, tuple[Option, ...]],
    parameters: Mapping[str, object],
    overrides: Iterable[str] | None,
) -> tuple[RunConfig, dict[str, dict[str, Any]]]:
    """The configuration of a run, overridden by the options of a command; and the given settings by section.

    Raises UserError: a setting of another section, an unknown one, or a value that it does not take.
    """
    from thresher.pipeline.selection_settings import with_named_score

    by_set = parsed(overrides or ())
    found: dict[str, dict[str, Any]] = {section: {} for section in options}
    values = [given(own, parameters) for own in options.values()]
    for place, value in [item for one in (*values, by_set) for item in one.items()]:
        if place.partition(".")[0] not in options:
            takes = " and ".join(f"'{section}'" for section in options)
            raise UserError(f"--set {place}: this step takes settings of {takes} only")
        put(found, place, value)
    for section, named_here in found.items():
        asked = with_named_score(config, section, named_here)
        config = changed(config, section, asked, named(options[section], by_set))
    return config, found


def named(
    options: tuple[Option, ...],
    by_set: Mapping[str, object],
    config: Path | None = None,
    by_option: Mapping[str, object] | None = None,
) -> Callable[[str], str]:
    """A function that names a setting in messages as the user gave it: by `--set`, by its option, or by its place in the file."""
    flags = {**flag_of(options), "data.train": "TRAIN, the file of the training rows,"}
    in_file = read_config(config) if config else {}

    def name(place: str) -> str:
        section, _, field = place.partition(".")
        if place in by_set:
            return f"--set {place}"
        written = in_file.get(section)
        if (
            place not in (by_option or {})
            and section in in_file
            and (not isinstance(written, dict) or field in written)
        ):
            return f"{config}: {place}"
        return flags.get(place, place)

    return name


def parsed(texts: Iterable[str]) -> dict[str, object]:
    """`SETTING=VALUE` texts as values by place.

    Raises UserError: a text of another form, or an unknown setting.

    >>> parsed(["train.encoder_lr=2e-5", "model.head_hidden=128,64", "select.stratify=none"])
    {'train.encoder_lr': '2e-5', 'model.head_hidden': ['128', '64'], 'select.stratify': None}
    """
    found = {}
    for text in texts:
        place, equals, value = text.partition("=")
        place = place.strip()
        if not equals or "." not in place:
            raise UserError(f"--set '{text}': write SECTION.SETTING=VALUE, for example train.encoder_lr=2e-5")
        field = setting(place)
        found[place] = _value(value.strip(), field.annotation if field else None)
    return found


def scores_of(texts: Iterable[str] | None) -> dict[str, dict[str, str]]:
    """The `--score-option` texts; the scores are imported only where there are any."""
    if not texts:
        return {}
    from thresher.scores import parse_options

    return parse_options(texts)


def _value(text: str, annotation: Any) -> Any:
    kinds = (annotation, *get_args(annotation))
    if NoneType in kinds and text.lower() in NOTHING:
        return None
    if get_origin(annotation) is tuple:
        return _list(text)
    if get_origin(annotation) is dict and text.startswith("{"):
        try:
            return yaml.safe_load(text)
        except (yaml.YAMLError, ValueError) as error:
            raise UserError(f"'{text}' is not a mapping: {' '.join(str(error).split())}") from error
    return text


def _list(text: str) -> list[str]:
    """A list as JSON, Python or a shell user writes it.

    >>> _list('["a, b", "c"]'), _list("['a', 'b']"), _list("128,64")
    (['a, b', 'c'], ['a', 'b'], ['128', '64'])
    """
    with contextlib.suppress(ValueError):
        found = json.loads(text)
        if isinstance(found, list):
            return [str(part) for part in found]
    parts = (part.strip() for part in text.strip("[]()").split(","))
    return [part[1:-1] if part[0] == part[-1] and part[0] in "'\"" else part for part in parts if part]


def put(settings: dict[str, Any], place: str, value: Any) -> None:
    """Set a value at `section.setting`, or `section.setting.option`.

    >>> settings = {"select": {"prune": 0.3}}
    >>> put(settings, "select.options.temperature", "2")
    >>> settings
    {'select': {'prune': 0.3, 'options': {'temperature': '2'}}}
    """
    *path, last = place.split(".")
    for name in path:
        settings = settings.setdefault(name, {})
        if not isinstance(settings, dict):
            raise UserError(f"{place}: '{name}' is not a section of settings")
    settings[last] = value

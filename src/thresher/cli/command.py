"""What all commands have in common: options made from settings, shared parameters, and how a result is printed."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, NamedTuple, get_args

import typer

from thresher.cli import terminal
from thresher.cli.options import Option
from thresher.progress import be_quiet
from thresher.run.outputs import as_place
from thresher.settings import setting


class Answer(NamedTuple):
    """The result of a command: its facts, for JSON, and a function that prints it for people."""

    facts: object
    show: Callable[[], object]


Command = Callable[..., Answer]


def told(facts: object, *lines: str) -> Answer:
    """A result that people read as some lines."""
    return Answer(facts, lambda: terminal.lines(lines))


def place_option(flag: str, metavar: str, help: str, show_default: bool = False) -> object:
    return typer.Option(flag, metavar=metavar, help=help, show_default=show_default, parser=as_place)


def place_argument(metavar: str, help: str) -> object:
    return typer.Argument(metavar=metavar, help=help, show_default=False, parser=as_place)


Json = Annotated[bool, typer.Option("--json", help="print the result as JSON on stdout")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="no progress and no lines about steps")]
Force = Annotated[bool, typer.Option("--force", help="repeat the step even if it is done")]
RunFolder = Annotated[Path, place_argument("RUN", "the run folder")]
Out = Annotated[Path, place_option("--out", "RUN", "the run folder to write")]
TableFile = Annotated[
    Path | None, place_option("--out", "FILE", "write the table as .csv, .jsonl or .parquet")
]
ConfigFile = Annotated[Path | None, place_option("--config", "FILE", "settings in YAML; options override it")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SETTING=VALUE", help="any other setting, e.g. train.weight_decay=0.01"),
]
ScoreOptions = Annotated[
    list[str] | None,
    typer.Option("--score-option", metavar="SCORE.OPTION=VALUE", help="e.g. vog.window=late"),
]


def command(*options: Option) -> Callable[[Command], Callable[..., None]]:
    """Make a function a command: with these options, found in `context.params`, and with --json and --quiet.

    What the function returns is printed, for people or as JSON.
    """

    def make(function: Command) -> Callable[..., None]:
        names = {option.parameter for option in options}

        def called(json: bool, quiet: bool, **given: object) -> None:
            be_quiet(quiet)
            answer = function(**{name: value for name, value in given.items() if name not in names})
            if json:
                terminal.as_json(answer.facts)
            else:
                answer.show()

        own = inspect.signature(function, eval_str=True).parameters.values()
        parameters = [
            *(one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own),
            _parameter("json", Json, False),
            _parameter("quiet", Quiet, False),
            *(_parameter(option.parameter, _annotation(option), None) for option in options),
        ]
        called.__name__, called.__doc__ = function.__name__, function.__doc__
        called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        called.__annotations__ = {one.name: one.annotation for one in parameters}
        return called

    return make


def _parameter(name: str, annotation: object, default: object) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _annotation(option: Option) -> object:
    field = setting(option.places[0])
    assert field is not None, option.flag
    help = option.help or field.description or ""
    default = field.get_default(call_default_factory=True) if not field.is_required() else None
    shown = default not in (None, (), {}) and not isinstance(default, bool)
    default = ",".join(map(str, default)) if isinstance(default, tuple) else default
    make = partial(
        typer.Option,
        help=help,
        rich_help_panel=option.panel,
        show_default=option.default or (f"{default}" if shown else False),
    )
    if bool in (field.annotation, *get_args(field.annotation)):
        return Annotated[bool | None, make(f"{option.flag}/--no-{option.flag[2:]}")]
    flags = (option.flag, *([option.alias] if option.alias else []))
    kind = list[str] | None if option.several else str | None
    return Annotated[kind, make(*flags, metavar=option.metavar)]

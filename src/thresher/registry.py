"""Tables of functions that register themselves: scores, strategies, diets, engines and layer rules.

A decorator enters a function with facts about it. The options of a function are its keyword-only arguments, read from the
signature. A package whose files are imported by `import_files` gains an entry with one new file.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Concatenate, Generic, NamedTuple, ParamSpec, TypeVar, get_type_hints

from thresher.errors import UserError
from thresher.options import convert, describe
from thresher.wording import did_you_mean


class Option(NamedTuple):
    """A keyword-only argument of a registered function: its annotated type and its default."""

    annotation: Any
    default: Any


Options = Mapping[str, Option]
Function = TypeVar("Function", bound=Callable[..., object])
Decorated = TypeVar("Decorated", bound=Callable[..., object])
Facts = ParamSpec("Facts")


@dataclass(frozen=True)
class Entry(Generic[Function]):
    """A registered function; each table extends it by the facts that its decorator takes."""

    name: str
    function: Function
    options: Options = field(repr=False)

    @property
    def defaults(self) -> dict[str, Any]:
        """The default of every option."""
        return {name: option.default for name, option in self.options.items()}


AnyEntry = TypeVar("AnyEntry", bound=Entry[Any])


class Registry(Generic[AnyEntry, Facts]):
    """The functions of one kind by name. `entry` is the dataclass of an entry; `common` holds options that all of them have."""

    def __init__(
        self,
        kind: str,
        plural: str,
        entry: Callable[Concatenate[str, Callable[..., Any], Options, Facts], AnyEntry],
        common: Options | None = None,
    ) -> None:
        self.kind, self.plural, self.entry, self.common = kind, plural, entry, common or {}
        self.table: dict[str, AnyEntry] = {}

    def register(
        self, name: str, *args: Facts.args, **facts: Facts.kwargs
    ) -> Callable[[Decorated], Decorated]:
        """Decorator that enters a function as `name`. The function itself stays callable as it is.

        Raises ValueError: a name that is taken, or an option without a type or a default: a mistake in the file of the
        function.
        """

        def enter(function: Decorated) -> Decorated:
            if name in self.table and self.table[name].function.__module__ != function.__module__:
                raise ValueError(f"{self.kind} {name!r} is defined twice")
            options = {**options_of(function), **self.common}
            self.table[name] = self.entry(name, function, options, *args, **facts)
            return function

        return enter

    def all(self) -> dict[str, AnyEntry]:
        """Every entry by name, in alphabetical order."""
        return dict(sorted(self.table.items()))

    def find(self, name: str) -> AnyEntry:
        """The entry of that name."""
        if name not in self.table:
            known = sorted(self.table)
            raise UserError(
                f"unknown {self.kind} '{name}'; known {self.plural}: {', '.join(known)}{did_you_mean(name, known)}"
            )
        return self.table[name]

    def check_options(self, name: str, given: Mapping[str, object] | None = None) -> dict[str, Any]:
        """All options of an entry: its defaults, overridden by what is given, as values of the annotated types.

        Raises UserError: an unknown entry or option, or a value that the option does not accept.
        """
        entry = self.find(name)
        chosen = entry.defaults
        for option, value in (given or {}).items():
            if option not in chosen:
                has = f"it has {', '.join(chosen) or 'none'}"
                raise UserError(
                    f"{self.kind} '{name}' has no option '{option}'; {has}{did_you_mean(option, chosen)}"
                )
            annotation = entry.options[option].annotation
            try:
                chosen[option] = convert(value, annotation)
            except ValueError:
                raise UserError(
                    f"{self.kind} '{name}': option '{option}' is '{value}'; it takes {describe(annotation)}"
                ) from None
        return chosen


def options_of(function: Callable[..., Any]) -> dict[str, Option]:
    """The keyword-only arguments of a function.

    Raises ValueError: one of them lacks a type or a default.

    >>> def cut(rows: list[int], *, share: float = 0.5) -> None: ...
    >>> options_of(cut)
    {'share': Option(annotation=<class 'float'>, default=0.5)}
    """
    keyword_only = [
        argument
        for argument in inspect.signature(function).parameters.values()
        if argument.kind is inspect.Parameter.KEYWORD_ONLY
    ]
    # The other annotations may name types that are imported for type checking only.
    hints = get_type_hints(function) if keyword_only else {}
    for argument in keyword_only:
        if argument.default is inspect.Parameter.empty or argument.name not in hints:
            raise ValueError(f"{function.__qualname__}: option '{argument.name}' needs a type and a default")
    return {argument.name: Option(hints[argument.name], argument.default) for argument in keyword_only}


def import_files(package: str, path: Iterable[str]) -> None:
    """Import every file of a package, so that the functions in it register themselves."""
    for module in pkgutil.iter_modules(path):
        importlib.import_module(f"{package}.{module.name}")


def assigned(texts: Iterable[str], kind: str, form: str) -> dict[str, str]:
    """Parse `NAME=VALUE` command-line texts; `form` is how to write one, with an example after a comma.

    Raises UserError: a text of another form; a name without the dot that `form` has.

    >>> assigned(["vog.window = late"], "score", "SCORE.OPTION=VALUE, for example vog.window=late")
    {'vog.window': 'late'}
    """
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or ("." in form.partition("=")[0] and "." not in name):
            raise UserError(f"{kind} option '{text}': write {form}")
        found[name.strip()] = value.strip()
    return found

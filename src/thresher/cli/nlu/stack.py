"""`thresher nlu train | evaluate | predict | demo`: train and use a stack."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thresher.cli import terminal
from thresher.cli.command import (
    Answer,
    ConfigFile,
    Force,
    Json,
    Overrides,
    Quiet,
    command,
    place_argument,
    place_option,
    told,
)
from thresher.cli.nlu.rows import Domain, Format, Rows, Seed, SkipBad, Where, read
from thresher.errors import UserError
from thresher.progress import be_quiet

if TYPE_CHECKING:
    from thresher.nlu.stack.config import StackConfig

StackOut = Annotated[Path, place_option("--out", "STACK", "the stack folder to write")]
StackFolder = Annotated[Path, place_argument("STACK", "a stack folder")]
Test = Annotated[Path, place_argument("TEST", "annotated test rows")]
Texts = Annotated[
    list[str] | None,
    typer.Argument(metavar="[TEXT...]", help="texts to understand; without any, lines from stdin"),
]
Exact = Annotated[
    Path | None,
    place_option("--exact", "FILE", "annotated rows that answer their own text before the models"),
]
Templates = Annotated[
    Path | None,
    place_option("--templates", "FILE", "sentence templates (YAML, hassil) that answer after these"),
]
Workers = Annotated[int | None, typer.Option("--workers", metavar="N", min=1, help="trainings at a time")]
DomainThreshold = Annotated[
    float | None,
    typer.Option(
        "--domain-threshold", metavar="P", min=0, max=1, help="confidence below which no domain answers"
    ),
]
IntentThreshold = Annotated[
    float | None,
    typer.Option(
        "--intent-threshold", metavar="P", min=0, max=1, help="confidence below which no intent is named"
    ),
]
ERROR_HEAD = ("", "rows", "DCER %", "ICER %", "SEMER %", "F-SEMER %", "IRER %", "slot F1 %")


def settings(config: Path | None, overrides: list[str] | None) -> StackConfig:
    """The settings of a stack, from a file and `--set`."""
    from thresher.nlu.stack.config import stack_config

    given: dict[str, Any] = {}
    for text in overrides or ():
        place, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"--set '{text}': write SETTING=VALUE, for example joint.epochs=4")
        given[place.strip()] = value.strip()
    return stack_config(given, config)


@command()
def train(
    rows: Rows,
    out: StackOut,
    exact: Exact = None,
    templates: Templates = None,
    config: ConfigFile = None,
    set: Overrides = None,
    format: Format = None,
    domain: Domain = None,
    where: Where = None,
    skip_bad: SkipBad = False,
    workers: Workers = None,
    force: Force = False,
) -> Answer:
    """Train a stack: a domain classifier, and a model for intent and slots for every domain."""
    used = settings(config, set)
    table = read(rows, format, skip_bad, domain, where)
    from thresher.nlu.stack.build import train_stack

    fixed = read(exact, None, skip_bad, domain) if exact else None
    folder = train_stack(table, out, used, exact=fixed, templates=templates, workers=workers, force=force)
    facts = {"stack": str(folder), "rows": table.height}
    return told(
        facts, f"trained; next: thresher nlu evaluate {folder} TEST, or thresher nlu predict {folder}"
    )


def thresholds(domain: float | None, intent: float | None = None) -> dict[str, float]:
    """The thresholds that were given; they override those of the stack."""
    named = {"domain_threshold": domain, "intent_threshold": intent}
    return {name: value for name, value in named.items() if value is not None}


@command()
def evaluate(
    stack: StackFolder,
    test: Test,
    domain_threshold: DomainThreshold = None,
    intent_threshold: IntentThreshold = None,
    format: Format = None,
    domain: Domain = None,
    where: Where = None,
    skip_bad: SkipBad = False,
) -> Answer:
    """Evaluate a stack on test rows: every error rate, over all rows and per domain."""
    table = read(test, format, skip_bad, domain, where)
    from thresher.nlu.stack.evaluate import evaluate as judge
    from thresher.nlu.stack.folder import load_stack

    found = judge(load_stack(stack, **thresholds(domain_threshold, intent_threshold)), table)
    return Answer(found, lambda: show_errors(found))


def show_errors(found: dict[str, Any]) -> None:
    """Print the error rates, over all rows and per domain, and how the rows were answered."""
    lines = [_rates("all", found["n"], found["metrics"])]
    lines += [_rates(name, own.pop("n"), own) for name, own in found["domains"].items()]
    terminal.table(ERROR_HEAD, lines)
    paths = ", ".join(f"{name} {count:,}" for name, count in found["paths"].items())
    terminal.line(f"answered by: {paths}")
    if found["unknown_labels"]:
        terminal.line(
            f"{found['unknown_labels']:,} rows have a domain or intent that no training row has; they count as errors"
        )


def _rates(name: str, n: int, metrics: dict[str, float]) -> tuple[str, ...]:
    rates = ("DCER", "ICER", "SEMER", "F-SEMER", "IRER", "slot F1")
    return (
        name,
        f"{n:,}",
        *(f"{100 * metrics[rate]:.2f}" if metrics[rate] == metrics[rate] else "-" for rate in rates),
    )


def predict(
    stack: StackFolder,
    texts: Texts = None,
    domain_threshold: DomainThreshold = None,
    intent_threshold: IntentThreshold = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Predict domain, intent and slots, with confidences and the path; without TEXT it reads lines from stdin."""
    be_quiet(quiet)
    from thresher.nlu.stack.answer import answer
    from thresher.nlu.stack.folder import load_stack

    loaded = load_stack(stack, **thresholds(domain_threshold, intent_threshold))
    for text in texts or _asked():
        said = answer(loaded, [text]).row(0, named=True)
        if json:
            terminal.as_json(said)
        else:
            _show(said)


def _asked() -> Any:
    """The non-empty lines of stdin, with a prompt on a terminal."""
    while True:
        if sys.stdin.isatty():
            print("say> ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            return
        if line.strip():
            yield line.strip()


def _show(said: dict[str, Any]) -> None:
    slots = ", ".join(
        f"{slot['label']} = {said['text'][slot['start'] : slot['end']]}" for slot in said["slots"]
    )
    named = f"{said['domain'] or '-'} / {said['intent'] or '-'}"
    sure = {name: said[f"{name}_confidence"] for name in ("domain", "intent", "slot")}
    confidences = ", ".join(f"{name} {value:.2f}" for name, value in sure.items() if value is not None)
    terminal.line(f"{named}{f' ({slots})' if slots else ''}   [{said['path']}; {confidences}]")


@command()
def demo(
    out: Annotated[Path, place_option("--out", "FOLDER", "the folder to write", show_default=True)] = Path(
        "nlu-demo"
    ),
    seed: Seed = 0,
    workers: Workers = None,
) -> Answer:
    """Try it in a few minutes: a stack and a pruned stack on Home Assistant's sentences, tested on unseen templates."""
    from thresher.nlu.demo import run_demo

    found = run_demo(out, seed, workers)
    return Answer(found, lambda: show_demo(found, out))


def show_demo(found: dict[str, Any], out: Path) -> None:
    """Print the error rates of both stacks, and what was pruned."""
    sources = ", ".join(f"{row['value']} {row['rows']:,} -> {row['kept']:,}" for row in found["sources"])
    lines = [
        _rates(f"{name} ({found[size]:,} rows)", found[name]["n"], found[name]["metrics"])
        for name, size in (("full", "rows"), ("pruned", "kept"))
    ]
    terminal.table(ERROR_HEAD, lines)
    terminal.line(f"rows by source: {sources}")
    terminal.line(f"ask it: thresher nlu predict {out / 'pruned'}")

"""`thresher nlu study | report`: study the effect of pruning the training rows of a stack."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thresher.cli import terminal
from thresher.cli.command import Answer, ConfigFile, Overrides, command, place_argument, place_option, told
from thresher.cli.nlu.rows import Domain, Format, Rows, SkipBad, Where, read, without_texts_of
from thresher.cli.nlu.stack import Workers, settings
from thresher.errors import UserError
from thresher.wording import interval_text

if TYPE_CHECKING:
    import polars as pl

    from thresher.nlu.study.facts import Technique

Tests = Annotated[
    list[str],
    typer.Option("--test", metavar="NAME=FILE", help="annotated test rows; more than once for several sets"),
]
ScoredRun = Annotated[Path, place_option("--scores", "RUN", "the run folder of `thresher nlu score`")]
StudyOut = Annotated[Path, place_option("--out", "STUDY", "the study folder to write")]
StudyFolder = Annotated[Path, place_argument("STUDY", "a study folder")]
Samples = Annotated[int, typer.Option("--samples", metavar="N", min=1, max=1_000, help="trainings per arm")]
StudyPrune = Annotated[
    list[float] | None,
    typer.Option("--prune", metavar="P", help="shares to remove; default: those of the paper"),
]
StudyTechnique = Annotated[
    list[str] | None,
    typer.Option("--technique", metavar="NAME", help="with --prune: a technique to compare at each share"),
]
SameSteps = Annotated[
    bool,
    typer.Option(
        "--same-steps",
        help="train on pruned rows for as many steps as on all rows, instead of as many epochs",
    ),
]
MixedSources = Annotated[
    bool,
    typer.Option(
        "--mixed-sources/--no-mixed-sources",
        help="also study a mix with synthetic rows, of which only the others are pruned",
    ),
]
STUDY_HEAD = ("removed", "technique", "rows", "dDCER %", "dF-SEMER %", "dICER %", "dIRER %", "sigma DCER")


def named_tests(texts: list[str], skip_bad: bool, domain: str | None = None) -> dict[str, pl.DataFrame]:
    """`NAME=FILE` texts as test rows by name."""
    found = {}
    for text in texts:
        name, equals, file = text.partition("=")
        if not equals or ":" in name:
            raise UserError(f"--test '{text}': write NAME=FILE, for example slurp=slurp/test.jsonl")
        if name in found:
            raise UserError(
                f"--test '{text}': a test set '{name}' was given before; give each a different name"
            )
        found[name] = read(Path(file), None, skip_bad, domain)
    return found


@command()
def study(
    rows: Rows,
    test: Tests,
    scores: ScoredRun,
    out: StudyOut,
    samples: Samples = 3,
    prune: StudyPrune = None,
    technique: StudyTechnique = None,
    mixed_sources: MixedSources = True,
    same_steps: SameSteps = False,
    config: ConfigFile = None,
    set: Overrides = None,
    format: Format = None,
    domain: Domain = None,
    where: Where = None,
    skip_bad: SkipBad = False,
    workers: Workers = None,
) -> Answer:
    """Reproduce the paper's table 2 on your rows: stacks trained on pruned rows against stacks on all rows, with intervals."""
    if technique and not prune:
        raise UserError("--technique needs the shares to compare at; add --prune, for example --prune 0.52")
    used = settings(config, set)
    tests = named_tests(test, skip_bad, domain)
    table = without_texts_of(read(rows, format, skip_bad, domain, where), list(tests.values()))
    from thresher.nlu.page.write import write_page
    from thresher.nlu.pruning.score import read_scores
    from thresher.nlu.study.run import PLAN, run_study

    _, scored = read_scores(scores)
    plan = {share: tuple(technique or ("random", "vog-dataset")) for share in prune} if prune else PLAN
    found = run_study(
        table,
        tests,
        scored,
        out,
        used,
        samples=samples,
        plan=plan,
        mixed_sources=mixed_sources,
        same_steps=same_steps,
        workers=workers,
    )
    page = write_page(out)
    note = (
        f"{found['samples']} samples; error rates relative to all rows, 95% intervals over rows and samples"
    )

    def shown() -> None:
        terminal.table(STUDY_HEAD, [_line(entry) for entry in found["techniques"]])
        terminal.lines((note, f"report: {page}"))

    return Answer(found, shown)


def _line(entry: Technique) -> tuple[str, ...]:
    title = entry["title"] + (", historical only" if entry["pool"] == "mixed" else "")
    rates = (interval_text(entry["metrics"][name]) for name in ("DCER", "F-SEMER", "ICER", "IRER"))
    return (
        f"{entry['removed']:.0%}",
        title,
        f"{entry['n_train']:,}",
        *rates,
        f"{entry['sigma']['DCER']:+.1f}",
    )


@command()
def report(study: StudyFolder) -> Answer:
    """Write the page of a study: score distributions, share removed and errors per domain, entropy, efficiency."""
    from thresher.nlu.page.write import write_page

    page = write_page(study)
    return told({"study": str(study), "report": str(page)}, f"report: {page}")

"""`thresher nlu score | select | study | report`: score and prune the training rows of a stack, and study the effect."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from thresher.cli import terminal
from thresher.cli.command import (
    Answer,
    ConfigFile,
    Out,
    Overrides,
    RunFolder,
    command,
    place_argument,
    place_option,
    told,
)
from thresher.cli.nlu.rows import Domain, Format, OutFile, Rows, Seed, SkipBad, Where, read, read_file
from thresher.cli.nlu.stack import Workers, settings
from thresher.errors import UserError
from thresher.wording import interval_text

Prune = Annotated[
    float, typer.Option("--prune", metavar="P", help="share to drop of the rows that may be pruned")
]
By = Annotated[
    str,
    typer.Option(
        "--by",
        metavar="SCORE",
        help="vog_dataset, vog_class, trail_entropy, el2n_slots, ...; several for mixed: vog_dataset,trail_entropy",
    ),
]
Strategy = Annotated[
    str, typer.Option("--strategy", metavar="NAME", help="linear, mixed, cutoff, random, stratified, softmax")
]
Sources = Annotated[
    list[str] | None, typer.Option("--source", metavar="NAME", help="prune rows of this source only")
]
Floor = Annotated[int, typer.Option("--floor", metavar="N", min=0, help="least rows to keep of every domain")]
Protect = Annotated[
    list[str] | None, typer.Option("--protect", metavar="COL=VALUE", help="rows that are never dropped")
]
Tests = Annotated[
    list[str],
    typer.Option("--test", metavar="NAME=FILE", help="annotated test rows; more than once for several sets"),
]
ScoredRun = Annotated[Path, place_option("--scores", "RUN", "the run folder of `thresher nlu score`")]
StudyOut = Annotated[Path, place_option("--out", "STUDY", "the study folder to write")]
StudyFolder = Annotated[Path, place_argument("STUDY", "a study folder")]
Without = Annotated[
    list[Path] | None,
    place_option("--without", "FILE", "leave out rows whose text occurs in these test rows"),
]
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


@command()
def score(
    rows: Rows,
    out: Out,
    joint: Annotated[bool, typer.Option("--joint", help="also score by the intent and slot models")] = False,
    test: Without = None,
    config: ConfigFile = None,
    set: Overrides = None,
    format: Format = None,
    domain: Domain = None,
    where: Where = None,
    skip_bad: SkipBad = False,
    workers: Workers = None,
) -> Answer:
    """Score rows by the domain classifier, or by the intent where there is one domain (a run folder), with slot-trail entropy."""
    used = settings(config, set)
    from thresher.nlu.pruning.score import ROWS, SCORES

    if rows.resolve() in {(out / name).resolve() for name in (ROWS, SCORES)}:
        raise UserError(f"{rows}: is an input and would be overwritten; choose another --out")
    loaded = read_file(rows, format, skip_bad, domain, where)
    table = _without(loaded.rows, [read(one, None, skip_bad, domain) for one in test or ()])
    from thresher.nlu.pruning.score import score_rows

    found = score_rows(table, out, used, joint=joint, workers=workers, rest=loaded.rest, inputs=[rows])
    names = [name for name, kind in found.schema.items() if kind.is_float()]
    return told(
        {"run": str(out), "rows": found.height, "scores": names},
        f"{found.height:,} rows scored: {', '.join(names)}; next: thresher nlu select {out}",
    )


def _without(rows: Any, tests: list[Any]) -> Any:
    from thresher.nlu.study.run import without_test_texts
    from thresher.progress import say

    left = without_test_texts(rows, tests)
    if left.height < rows.height:
        say(
            f"{rows.height - left.height:,} of {rows.height:,} training rows are left out: their text occurs in the test rows"
        )
    return left


@command()
def select(
    run: RunFolder,
    out: OutFile,
    prune: Prune = 0.45,
    by: By = "vog_dataset",
    strategy: Strategy = "linear",
    source: Sources = None,
    floor: Floor = 20,
    protect: Protect = None,
    to: Annotated[str | None, typer.Option("--to", metavar="NAME", help="the format to write")] = None,
    seed: Seed = 0,
) -> Answer:
    """Select the training rows to keep, and write them as annotated rows."""
    from thresher.nlu.pruning.choose import choose, removed_by
    from thresher.nlu.pruning.score import inputs_of, read_rest, read_scores
    from thresher.nlu.rows import save_utterances
    from thresher.run.outputs import check_output

    rows, scores = read_scores(run)
    check_output(out, inputs_of(run))
    kept = choose(
        scores,
        by=[name.strip() for name in by.split(",")] if "," in by else by,
        prune=prune,
        strategy=strategy,
        sources=source or (),
        floor=floor,
        protect=protect or (),
        seed=seed,
    )
    save_utterances(rows.filter(kept["kept"]), out, form=to, rest=read_rest(run))
    tables = {column: removed_by(rows, kept, column) for column in ("source", "domain")}
    n_kept = int(kept["kept"].sum())
    by_column = {column: table.to_dicts() for column, table in tables.items()}

    def shown() -> None:
        for column, table in tables.items():
            lines = [
                (name or "-", f"{n:,}", f"{left:,}", f"{gone:.1%}")
                for name, n, left, gone in table.iter_rows()
            ]
            terminal.table((column, "rows", "kept", "removed"), lines)
        terminal.line(f"kept rows ({n_kept:,} of {rows.height:,}): {out}")

    return Answer({"kept": n_kept, "rows": rows.height, "file": str(out), **by_column}, shown)


def named_tests(texts: list[str], skip_bad: bool, domain: str | None = None) -> dict[str, Any]:
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
    table = _without(read(rows, format, skip_bad, domain, where), list(tests.values()))
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


def _line(entry: dict[str, Any]) -> tuple[str, ...]:
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

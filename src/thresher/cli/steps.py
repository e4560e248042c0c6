"""The commands of single steps: train, measure, score, select, compare, report."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from thresher.cli import terminal
from thresher.cli.job import Train, loaded
from thresher.cli.options import (
    COMPARE,
    COMPARE_WORKERS,
    DATA,
    MEASURE,
    MEASURE_WORKERS,
    MODEL,
    SELECT_ALONE,
    TRAIN,
    TRAIN_SEED,
    TRAIN_WORKERS,
    ConfigFile,
    Force,
    Json,
    Out,
    Overrides,
    Quiet,
    RunFolder,
    ScoreOptions,
    takes,
)
from thresher.cli.settings import options_of, parsed, resolve, scores_of
from thresher.errors import UserError
from thresher.run.outputs import as_place, check_output
from thresher.wording import listed

TRAINING = (*DATA, *MODEL, *TRAIN, *TRAIN_SEED, *TRAIN_WORKERS)
MEASURING = (*MEASURE, *MEASURE_WORKERS)
COMPARING = (*COMPARE, *COMPARE_WORKERS)
TABLES = (".parquet", ".csv", ".tsv", ".jsonl", ".ndjson")
Scored = Annotated[
    str,
    typer.Argument(
        metavar="RUN|SCORES",
        help="a run folder, or a table with a score: .parquet (also a folder or a glob), .csv, .jsonl",
    ),
]
KeptFile = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE", help="file for the kept rows of SCORES", parser=as_place),
]
HardEnd = Annotated[
    str | None, typer.Option("--hard", metavar="high|low", help="which end of a column of SCORES is hard")
]
Id = Annotated[str, typer.Option("--id", metavar="COL", help="the id column of SCORES")]
Test = Annotated[
    Path | None,
    typer.Option(
        "--test", metavar="FILE", help="test rows, if the run has none or should get others", parser=as_place
    ),
]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (train, measure, score, select, compare, report):
        app.command()(command)


@takes(*TRAINING)
def train(
    context: typer.Context,
    *,
    train: Train = None,
    out: Out,
    config: ConfigFile = None,
    set: Overrides = None,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Start a run folder: check the rows and train the models that scores are computed from."""
    terminal.start(quiet)
    more = {"data.train": train} if train is not None else {}
    resolved = resolve(TRAINING, context.params, config, set, more=more)
    rows, test = loaded(resolved)
    from thresher import api

    opened = api.train(rows, out=out, test=test, config=resolved, force=force)
    result = {"run": str(opened), "n_rows": len(rows), **opened.require("train").facts}
    show(result, json, f"trained; next: thresher measure {opened}")


@takes(*MEASURING)
def measure(
    context: typer.Context,
    *,
    run: RunFolder,
    set: Overrides = None,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure what the scores need, in one pass over the rows."""
    terminal.start(quiet)
    from thresher.pipeline.measure import measure as step
    from thresher.run import Run

    opened = Run.open(run)
    config, _ = options_of(opened.config, {"measure": MEASURING}, context.params, set)
    facts = step(opened, config.measure, force=force)
    show({"run": str(run), **facts}, json, f"measured; next: thresher score {run}")


def score(
    run: RunFolder,
    score_option: ScoreOptions = None,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Compute every score that the signals allow, raw and normalised."""
    terminal.start(quiet)
    from thresher import api
    from thresher.run import Run

    opened = Run.open(run)
    api.score(opened, options=scores_of(score_option) if score_option else None, force=force)
    about, path = opened.require("score").facts, opened.scores_file
    show({"run": str(run), "file": str(path), **about}, json, f"scores: {path}")


@takes(*SELECT_ALONE)
def select(
    context: typer.Context,
    *,
    source: Scored,
    out: KeptFile = None,
    hard: HardEnd = None,
    id: Id = "id",
    set: Overrides = None,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Select the rows to keep, in a run or from any table of scores."""
    terminal.start(quiet)
    source = str(as_place(source))
    if out is not None:
        if (Path(source) / "run.yaml").is_file():
            raise UserError(
                f"{source}: is a run, which writes kept and dropped rows into its folder; --out is for a table of scores"
            )
        result = select_of_table(context.params, set)
        pairs = zip(result["by"].split(","), result["hard"].split(","), strict=True)
        order = ", ".join(f"{name} ({end} is hard)" for name, end in pairs)
        show(
            result,
            json,
            f"kept rows ({result['n_kept']:,} of {result['n_rows']:,}): {result['kept']}",
            f"{result['strategy']} by {order}, {result['end']} end pruned",
        )
        return
    run = Path(source)
    if run.suffix.lower() in TABLES:
        raise UserError(f"{run}: --out is missing, the file to write the kept rows to")
    if hard is not None or id != "id":
        raise UserError(
            f"{'--id' if hard is None else '--hard'} is for a table of scores and --out; a run knows its ids, and which end of a"
            " score is hard"
        )
    from thresher.api.steps import selection
    from thresher.run import Run

    opened = Run.open(run)
    config, named = options_of(opened.config, {"select": SELECT_ALONE}, context.params, set)
    facts = dict(selection(opened, config, named["select"], force=force))
    facts |= {name: str(run / facts[name]) for name in ("kept", "dropped")}
    more = opened.manifest.held_out.rows if opened.manifest.held_out else 0
    show(
        {"run": str(run), "selection": facts["name"], **facts, "n_held_out": more},
        json,
        *terminal.file_lines(
            facts["n_rows"] + more, facts["n_kept"] + more, more, facts["kept"], facts["dropped"]
        ),
    )


def select_of_table(parameters: dict[str, Any], overrides: list[str] | None) -> dict[str, Any]:
    """Select from a table of scores and write the kept rows to --out."""
    from thresher.cli.score_tables import as_parquet, write_kept

    source, out = as_place(parameters["source"]), Path(parameters["out"])
    if out.suffix.lower() not in TABLES:
        raise UserError(f"{out}: kept rows are written as {listed(TABLES)}; choose another --out")
    if source.is_file() and out.resolve() == source.resolve():
        raise UserError(f"{out} is the table itself and would be overwritten; choose another --out")
    check_output(out, [source])
    with TemporaryDirectory(prefix="thresher-") as folder:
        place, id = as_parquet(source, parameters["id"], Path(folder))
        kept = out if out.suffix.lower() == ".parquet" else Path(folder) / "kept.parquet"
        try:
            found = _select_of_parquet(parameters | {"source": place, "id": id, "out": kept}, overrides)
        except UserError as error:
            raise UserError(str(error).replace(str(place), str(parameters["source"]))) from error
        if kept != out:
            write_kept(kept, out)
    return found | {"kept": str(out)}


def _select_of_parquet(parameters: dict[str, Any], overrides: list[str] | None) -> dict[str, Any]:
    """The same, of Parquet files."""
    from thresher.cli.options import given
    from thresher.cli.settings import named, put
    from thresher.scores import first_of, hard_end
    from thresher.selection import find, select_from_table
    from thresher.selection.shards import open_shards
    from thresher.settings import checked

    by_set = parsed(overrides or ())
    settings: dict[str, Any] = {"floor": 0}
    for place, value in (given(SELECT_ALONE, parameters) | by_set).items():
        put(settings, place.removeprefix("select."), value)
    data = {"train": "-", "text": ["-"], "label": "label"}
    used = checked({"data": data, "select": settings}, named(SELECT_ALONE, by_set)).select
    entry = find(used.strategy)
    by = entry.score(used.by)
    schema = open_shards(parameters["source"], but=Path(parameters["out"])).polars_schema if "|" in by else ()
    names = [first_of(name.strip(), list(schema)) for name in (by.split(",") if entry.several else [by])]
    ends = [parameters["hard"] or hard_end(name) for name in names]
    if used.normalise not in ("auto", "raw"):
        names = [f"{name.removesuffix(f'_{used.normalise}')}_{used.normalise}" for name in names]
    counts = select_from_table(
        parameters["source"],
        out=parameters["out"],
        id=parameters["id"],
        by=names,
        hard=ends,
        **used.model_dump(exclude={"by", "normalise"}),
    )
    chosen = {"by": ",".join(names), "hard": ",".join(ends), "end": used.end, "strategy": used.strategy}
    return {**counts, **chosen}


@takes(*COMPARING)
def compare(
    context: typer.Context,
    *,
    run: RunFolder,
    test: Test = None,
    set: Overrides = None,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Test the selection: retrain on the kept rows, on as many random rows and on all rows."""
    terminal.start(quiet)
    from thresher import api
    from thresher.run import Run

    opened = Run.open(run)
    _, named = options_of(opened.config, {"compare": COMPARING}, context.params, set)
    entry = api.compare(opened, test=test, force=force, **named["compare"])
    if json:
        terminal.as_json({"run": str(run), **entry.to_dict()})
    else:
        terminal.proof(entry)
        terminal.line(entry.decision["sentence"])


def report(run: RunFolder, force: Force = False, json: Json = False, quiet: Quiet = False) -> None:
    """Write the report, one HTML page that needs no network."""
    terminal.start(quiet)
    from thresher import api

    page = api.report(run, force=force)
    show({"run": str(run), "report": str(page)}, json, f"report: {page}")


def show(result: dict[str, Any], json: bool, *lines: str) -> None:
    """Print the result of a step: its facts as JSON, or as lines of text."""
    if json:
        terminal.as_json(result)
        return
    for text in lines:
        terminal.line(text)

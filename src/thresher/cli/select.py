"""`thresher select`: the rows to keep, of a run or of any table of scores."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from thresher.cli import terminal
from thresher.cli.command import Answer, Force, Overrides, command, place_option, told
from thresher.cli.options import SELECT_ALONE
from thresher.cli.settings import options_of, parsed
from thresher.errors import UserError
from thresher.run.outputs import as_place, check_output
from thresher.wording import listed

TABLES = (".parquet", ".csv", ".tsv", ".jsonl", ".ndjson")
Scored = Annotated[
    str,
    typer.Argument(
        metavar="RUN|SCORES",
        help="a run folder, or a table with a score: .parquet (also a folder or a glob), .csv, .jsonl",
    ),
]
KeptFile = Annotated[Path | None, place_option("--out", "FILE", "file for the kept rows of SCORES")]
HardEnd = Annotated[
    str | None, typer.Option("--hard", metavar="high|low", help="which end of a column of SCORES is hard")
]
Id = Annotated[str, typer.Option("--id", metavar="COL", help="the id column of SCORES")]


@command(*SELECT_ALONE)
def select(
    context: typer.Context,
    *,
    source: Scored,
    out: KeptFile = None,
    hard: HardEnd = None,
    id: Id = "id",
    set: Overrides = None,
    force: Force = False,
) -> Answer:
    """Select the rows to keep, in a run or from any table of scores."""
    source = str(as_place(source))
    if out is not None:
        if (Path(source) / "run.yaml").is_file():
            raise UserError(
                f"{source}: is a run, which writes kept and dropped rows into its folder; --out is for a table of scores"
            )
        result = select_of_table(context.params, set)
        pairs = zip(result["by"].split(","), result["hard"].split(","), strict=True)
        order = ", ".join(f"{name} ({end} is hard)" for name, end in pairs if name)
        how = (
            f"{result['strategy']} by {order}, {result['end']} end pruned"
            if order
            else f"{result['strategy']} rows"
        )
        return told(
            result, f"kept rows ({result['n_kept']:,} of {result['n_rows']:,}): {result['kept']}", how
        )
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
    return told(
        {"run": str(run), "selection": facts["name"], **facts, "n_held_out": more},
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
    from thresher.cli.score_tables import default_selection
    from thresher.cli.settings import named, put
    from thresher.scores import first_of, hard_end
    from thresher.selection import find, select_from_table
    from thresher.selection.shards import open_shards
    from thresher.settings import checked

    by_set = parsed(overrides or ())
    settings: dict[str, Any] = {"floor": 0}
    for place, value in (given(SELECT_ALONE, parameters) | by_set).items():
        put(settings, place.removeprefix("select."), value)

    @cache
    def columns() -> list[str]:
        """The columns of the table, read only where a choice depends on them."""
        return list(open_shards(parameters["source"], but=Path(parameters["out"])).polars_schema)

    if "by" not in settings:
        settings |= default_selection(
            settings.get("strategy"), [name for name in columns() if name != parameters["id"]]
        )
    data = {"train": "-", "text": ["-"], "label": "label"}
    used = checked({"data": data, "select": settings}, named(SELECT_ALONE, by_set)).select
    entry = find(used.strategy)
    by = entry.score(used.by)
    named_scores = (by.split(",") if entry.several else [by]) if entry.reads_score else []
    names = [first_of(name.strip(), columns() if "|" in name else ()) for name in named_scores]
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

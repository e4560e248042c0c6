"""Score the training rows of a stack: by the domain classifier, by slot-trail entropy, and by the joint models."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from thresher.config import DataConfig, RunConfig
from thresher.nlu.entropy import row_entropy
from thresher.nlu.pruning.joint_scores import joint_scores
from thresher.nlu.stack.config import StackConfig
from thresher.progress import say
from thresher.run.files import write
from thresher.run.integrity import metadata, read_table, write_table
from thresher.run.outputs import as_place

ROWS, SCORES = "nlu_rows.parquet", "nlu_scores.parquet"
REST = "nlu_rest.yml"
INPUTS = b"thresher.nlu.inputs"


def score_rows(
    rows: pl.DataFrame,
    run: str | Path,
    config: StackConfig | None = None,
    *,
    joint: bool = False,
    workers: int | None = None,
    rest: str = "",
    inputs: Sequence[Path] = (),
) -> pl.DataFrame:
    """Train the domain classifier in a run folder, measure and score it; add slot-trail entropy.

    The label of the run is the domain; intent and source are groups. Where all rows are of one domain, the label is the intent
    and the domain classifier's recipe trains an intent classifier. The folder is an ordinary run: `thresher report` and the
    other steps work on it.

    Parameters
    ----------
    joint
        also train the intent and slot models and score every row by them (`joint_scores`).
    rest
        what a Rasa file has beside examples (`Read.rest`), for `read_rest`.
    inputs
        the files that the rows were read from, which `nlu select` will not write over.

    Returns
    -------
    `id, domain, intent, source`, every score of `scores.parquet`, `trail_entropy` (bits, of the row's intent); written to
    RUN/nlu_scores.parquet.

    Raises
    ------
    UserError
        what the steps refuse: a single domain with a single intent, a folder of another run, a full disk.
    """
    from thresher import api

    folder, config = as_place(run), config or StackConfig()
    frame = rows.select("id", "text", "domain", "intent", "source")
    label, groups = "domain", ("intent", "source")
    if rows["domain"].n_unique() == 1:
        say(f"nlu score: one domain ({rows['domain'][0]}); rows are scored by their intent")
        label, groups = "intent", ("domain", "source")
    loaded = api.load(frame, text="text", label=label, id="id", groups=groups)
    data = DataConfig(train="annotated rows", text=("text",), label=label, id="id", groups=groups)
    recipe = config.domain.model_copy(update={"seed": config.seed, "workers": workers})
    api.train(loaded, out=folder, config=RunConfig(data=data, model=config.model, train=recipe))
    # What VoG, EL2N and PVI need; self-influence would double the time.
    settings: dict[str, Any] = {"signals": ("gradient_gram",), **({"workers": workers} if workers else {})}
    api.measure(folder, **settings)
    table = api.score(folder)
    scores = table.select("id", pl.selectors.float())
    found = rows.select("id", "domain", "intent", "source").join(
        scores, on="id", how="left", maintain_order="left"
    )
    found = found.with_columns(trail_entropy=row_entropy(rows))
    if joint:
        found = found.join(
            joint_scores(rows, config, workers=workers), on="id", how="left", maintain_order="left"
        )
    about = {INPUTS: json.dumps([str(path.absolute()) for path in inputs]).encode()}
    write_table(folder / ROWS, rows, about)
    write_table(folder / SCORES, found)
    write(folder / REST, rest)
    return found


def read_rest(run: str | Path) -> str:
    """The `rest` that `score_rows` was given."""
    file = Path(run) / REST
    return file.read_text(encoding="utf-8") if file.is_file() else ""


def read_scores(run: str | Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The annotated rows and their scores, as `score_rows` wrote them.

    Raises
    ------
    UserError
        they do not exist.
    """
    folder = as_place(run)
    rows, scores = (
        read_table(folder / name, "run `thresher nlu score` first, or again") for name in (ROWS, SCORES)
    )
    return rows, scores


def inputs_of(run: str | Path) -> list[Path]:
    """The files that the rows of `score_rows` were read from; for a run whose tables have been checked."""
    return [Path(name) for name in json.loads(metadata(as_place(run) / ROWS).get(INPUTS, b"[]"))]

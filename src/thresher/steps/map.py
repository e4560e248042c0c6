"""Place rows on a plane by what their texts mean, for the report."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import polars as pl

from thresher import parquet
from thresher.errors import UserError
from thresher.progress import say
from thresher.run_folder import RunPath, finish, lock, read_manifest, redo, require, state
from thresher.sealed import fault, write_table

FEWEST = 10
SEEDS = 1 << 32


def map_rows(run: RunPath, *, rows: int = 3000, seed: int = 0, force: bool = False) -> pl.DataFrame:
    """Put up to `rows` rows, drawn with `seed`, on a plane by t-SNE of the pretrained encoder's vectors; writes RUN/map.parquet.

    The vectors are those of the run's encoder before it was fine-tuned, the mean over tokens; of a pair of texts, both one after
    the other. The report shows them, before and after the hard end is taken away.

    Returns
    -------
    a frame with `id`, `x`, `y`, in the order of the rows.

    Raises
    ------
    UserError
        not a trained run, too few rows to draw a map of, or a seed below 0 or of more than 32 bits.
    """
    run = Path(run)
    before = require(run, "train")
    if "watched" in read_manifest(run):
        raise UserError(
            f"{run}: was watched, and its encoder is not known here; a map needs a run of thresher's own"
        )
    if not 0 <= seed < SEEDS:
        raise UserError(f"{run}: the seed of a map is 0 to {SEEDS - 1} (got {seed})")
    with lock(run):
        made_with = {"train": before["hash"], "rows": rows, "seed": seed}
        place = run / "map.parquet"
        if not force and state(run, "map", made_with) == "done" and not fault(place):
            say(f"map: already done in {run}; --force redoes it")
            return parquet.read(place)
        manifest = read_manifest(run)
        columns = manifest["config"]["data"]["text"]
        table = parquet.read(run / "rows.parquet", columns=["id", *columns])
        if rows < FEWEST or table.height < FEWEST:
            raise UserError(f"{run}: a map takes {FEWEST} rows at least (got {min(rows, table.height)})")
        from thresher.study.projection import tsne
        from thresher.training.features import text_vectors
        from thresher.training.recipe import configs

        redo(run, "map")
        started = time.monotonic()
        if table.height > rows:
            chosen = np.random.default_rng(seed).choice(table.height, rows, replace=False)
            table = table[np.sort(chosen)]
        model, _ = configs(manifest)
        texts = [table[column].to_list() for column in columns]
        vectors = np.concatenate([text_vectors(model, one)[0] for one in texts], axis=1)
        plane = tsne(vectors, seed)
        found = table.select("id").with_columns(x=pl.Series(plane[:, 0]), y=pl.Series(plane[:, 1]))
        write_table(place, found)
        seconds = time.monotonic() - started
        finish(run, "map", made_with, seconds=round(seconds, 1))
        say(f"map: {found.height:,} rows, {seconds:,.0f} s; `thresher report {run}` shows it")
    return found

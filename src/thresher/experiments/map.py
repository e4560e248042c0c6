"""Map the rows to a plane by the meaning of their texts, for the report."""

from __future__ import annotations

import numpy as np
import polars as pl
from pydantic import BaseModel

from thresher.errors import UserError
from thresher.progress import say
from thresher.rows import check_rows
from thresher.run import Run, parquet
from thresher.run.integrity import table_problem, write_table
from thresher.run.steps import Facts, step

FEWEST, MOST = 10, 5000  # t-SNE of 3,000 rows takes 31 s on one core, of more it takes minutes
SEEDS = 1 << 32


class MapSettings(BaseModel):
    """The most rows to draw, and the seed of the draw and of the map."""

    rows: int = 3000
    seed: int = 0


def drawable(run: Run, settings: MapSettings) -> None:
    """Refuse damaged rows, a seed that NumPy does not take, and too few or too many rows to draw a map of."""
    if not 0 <= settings.seed < SEEDS:
        raise UserError(f"{run}: the seed of a map is 0 to {SEEDS - 1} (got {settings.seed})")
    check_rows(run.rows_file)
    if settings.rows > MOST:
        raise UserError(
            f"{run}: a map takes {MOST:,} rows at most, drawn at random from all (got {settings.rows:,})"
        )
    if min(settings.rows, run.manifest.n_rows) < FEWEST:
        few = min(settings.rows, run.manifest.n_rows)
        raise UserError(f"{run}: a map takes {FEWEST} rows at least (got {few})")


@step(
    "map",
    after="train",
    labels=True,
    check=drawable,
    problem=lambda run, facts: f"{run.map_file}: {found}" if (found := table_problem(run.map_file)) else None,
    own=True,
)
def map_rows(run: Run, settings: MapSettings) -> Facts:
    """Write `id, x, y` of some rows; see `thresher.api.map_rows`."""
    from thresher.experiments.projection import tsne
    from thresher.training.features import text_vectors

    columns = run.config.data.text
    table = parquet.read(run.rows_file, columns=["id", *columns])
    drawn = ", drawn at random" if table.height > settings.rows else ""
    if drawn:
        chosen = np.random.default_rng(settings.seed).choice(table.height, settings.rows, replace=False)
        table = table[np.sort(chosen)]
    texts = [table[column].to_list() for column in columns]
    vectors = np.concatenate([text_vectors(run.config.model, one) for one in texts], axis=1)
    plane = tsne(vectors, settings.seed)
    found = table.select("id").with_columns(x=pl.Series(plane[:, 0]), y=pl.Series(plane[:, 1]))
    write_table(run.map_file, found)
    say(f"map: {found.height:,} of {run.manifest.n_rows:,} rows{drawn}; `thresher report {run}` shows it")
    return {"rows": found.height}

"""The map of the texts: neighbourhoods are preserved, and the step writes one file."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import thresher as th
from thresher.experiments.projection import tsne
from thresher.run import Run
from tiny import WORDS, tiny_model


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("map")
    texts = [f"{WORDS[i % 4]} {WORDS[i % 7]} {WORDS[i % 16]}" for i in range(40)]
    frame = pl.DataFrame({"text": texts, "label": [str(i % 2) for i in range(40)]})
    rows = th.load(frame, text="text", label="label")
    model = str(tiny_model("bert", folder / "tiny"))
    return th.train(
        rows,
        out=folder / "R",
        model=model,
        epochs=1,
        checkpoints=2,
        forgetting_evaluations=1,
        threads=1,
        workers=1,
    )


def test_the_same_texts_are_at_the_same_place(run: Run) -> None:
    """Rows whose three words are equal have equal vectors, and nothing else comes between them."""
    found = th.map_rows(run).join(pl.read_parquet(run.rows_file), on="id", maintain_order="left")
    assert found.height == 40 and np.isfinite(found.select("x", "y").to_numpy()).all()
    plane, texts = found.select("x", "y").to_numpy(), found["text"].to_list()
    twins = [(i, j) for i in range(40) for j in range(i) if texts[i] == texts[j]]
    everywhere = np.linalg.norm(plane[:, None] - plane[None], axis=2)
    assert all(everywhere[i, j] < np.median(everywhere) / 4 for i, j in twins)


@pytest.mark.parametrize("value", [0.0, -3.7])
def test_vectors_that_are_all_the_same_are_one_place(value: float) -> None:
    plane = tsne(np.full((12, 8), value, np.float32))
    assert plane.shape == (12, 2) and not plane.any()


def test_vectors_that_differ_only_in_rounding_are_one_place() -> None:
    rounding = np.random.default_rng(0).uniform(-1e-6, 1e-6, (12, 8))
    assert not tsne(np.float32(2.5 + rounding)).any()


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_an_invalid_seed_is_refused_and_the_former_map_is_kept(run: Run, seed: int) -> None:
    th.map_rows(run)
    before = {path: path.read_bytes() for path in (run.map_file, run.record_file("map"))}
    with pytest.raises(th.UserError, match=rf"the seed of a map is 0 to 4294967295 \(got {seed}\)$"):
        th.map_rows(run, seed=seed, force=True)
    assert {path: path.read_bytes() for path in before} == before


def test_it_is_done_once_and_drawn_with_a_seed(run: Run) -> None:
    whole = th.map_rows(run)
    written = run.map_file.stat().st_mtime_ns
    assert th.map_rows(run).equals(whole) and run.map_file.stat().st_mtime_ns == written
    some = th.map_rows(run, rows=20, seed=3)
    assert some.height == 20 and some["id"].to_list() == [
        one for one in whole["id"] if one in set(some["id"])
    ]
    assert th.map_rows(run, rows=20, seed=3, force=True).equals(some)
    with pytest.raises(th.UserError, match="10 rows at least"):
        th.map_rows(run, rows=4)

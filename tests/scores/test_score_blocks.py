"""Scores that are computed while part files are read: those of the whole table bit for bit, in bounded memory."""

from __future__ import annotations

import tracemalloc
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from signals_tables import random_run

from bare_run import CONFIG, bare_run
from thresher.config import MeasureConfig, ScoreConfig
from thresher.errors import UserError
from thresher.pipeline.follow import Follower
from thresher.pipeline.part_source import PartSource
from thresher.pipeline.score import compute_scores
from thresher.run import Run, Training
from thresher.run.files import digest
from thresher.run.integrity import ROWS_HASH, table_problem, write_json, write_table
from thresher.scores import score_runs, scores, stability
from thresher.scores import source as source_module
from thresher.scores.source import FrameSource, whole
from thresher.signals.measure import read_signals
from thresher.signals.plan import Plan, write_part, write_plan
from thresher.training.feature_files import fill_features

BESIDE = ("null_logits", "correct", "held_out_logits", "features", "word_margin")
FOLDS = 3
MEASURED = {"key": "m", "after": {}, "settings": {}, "finished": "", "seconds": 0.0, "facts": {}}


def run_of(
    folder: Path, rows: int = 57, runs: int = 1, chunk_rows: tuple[int, ...] = (10,), order: int | None = None
) -> Run:
    """A run folder as `measure` leaves it; `order` shuffles the rows of the tables beside the parts."""
    config = CONFIG.model_copy(update={"train": CONFIG.train.model_copy(update={"folds": FOLDS})})
    run = bare_run(folder, n_rows=rows, classes=("a", "b", "c"), config=config)
    first = random_run(0, rows=rows)[0]
    for index in range(runs):
        signals, checkpoints, _ = random_run(index, rows=rows)
        signals = signals.with_columns(first["id"], first["label"])
        training = Training("run", index)
        size = chunk_rows[index % len(chunk_rows)]
        plan = Plan(run, training, rows, size, 1024, "float32", MeasureConfig().signals, digest("made"))
        for chunk in range(plan.chunks):
            start, count = plan.rows_of(chunk)
            write_part(plan, chunk, signals.drop(BESIDE)[start : start + count])
        write_table(plan.folder / "checkpoints.parquet", checkpoints)
        write_plan(plan, signals["null_logits"][0].to_list())
        mixed = signals if order is None else signals.sample(fraction=1, shuffle=True, seed=order)
        for step, correct in enumerate(np.array(mixed["correct"].to_list()).T):
            table = mixed.select("id", correct=pl.Series(correct))
            write_table(run.evaluations(training) / f"step-{step:08d}.parquet", table)
        for fold in range(FOLDS):
            left_out = Training("fold", index * FOLDS + fold)
            write_json(run.checkpoints(left_out) / "done.json", {})
            own = mixed.select("id", "held_out_logits")[fold::FOLDS]
            write_table(run.evaluations(left_out) / "step-00000009.parquet", own)
    vectors = mixed["features"].to_numpy()

    def fill(values: np.ndarray, truncated: np.ndarray) -> None:
        values[:] = vectors

    run.features_folder().mkdir(parents=True)
    fill_features(run.features_folder(), mixed["id"], "these rows", vectors.shape[1], np.float32, fill)
    write_table(run.words_file, mixed.select("id", "word_margin"))
    write_table(run.rows_file, first.select("id", text=pl.lit("a text")), {ROWS_HASH: b"r"})
    write_json(run.record_file("measure"), MEASURED)
    return run


@pytest.mark.parametrize(
    ("runs", "chunk_rows", "order"),
    [(1, (10,), None), (1, (100,), None), (1, (7,), 3), (3, (10,), None), (3, (10, 4), None)],
    ids=["parts", "one part", "other order beside the parts", "three runs", "other chunks"],
)
def test_scores_of_part_files_are_those_of_the_whole_table(tmp_path, monkeypatch, runs, chunk_rows, order):
    monkeypatch.setattr("thresher.scores.table.BLOCK_ROWS", 16)
    run = run_of(tmp_path, runs=runs, chunk_rows=chunk_rows, order=order)
    facts = compute_scores(run, ScoreConfig())
    signals = [read_signals(run, training) for training in run.measured()]
    monkeypatch.setattr("thresher.scores.table.BLOCK_ROWS", 1000)
    table, about = score_runs(signals)
    assert about["skipped"] == {}
    names = {0: "a", 1: "b", 2: "c"}
    expected = table.with_columns(label=table["label"].replace_strict(names))
    assert run.scores().equals(expected)
    assert facts["scores"].keys() == about["scores"].keys()
    assert facts.get("stability") == (stability(signals) if runs > 1 else None)
    assert table_problem(run.scores_file) is None
    assert [path.name for path in run.step_folder("score").iterdir() if path.name.startswith(".")] == []


def test_runs_whose_rows_are_in_another_order_are_aligned_by_id(tmp_path):
    first, second = (random_run(seed, rows=40)[:2] for seed in (0, 1))
    rows = first[0].select("id", "label")
    signals = second[0].with_columns(rows.get_columns())
    straight = score_runs([first, (signals, second[1])])
    mixed = signals.sample(fraction=1, shuffle=True, seed=1)
    assert score_runs([first, (mixed, second[1])])[0].equals(straight[0])


def test_a_damaged_part_is_refused_before_anything_is_computed(tmp_path):
    run = run_of(tmp_path)
    path = run.signals(Training("run", 0)) / "part-00003.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"part-00003.parquet: damaged.*measures it again"):
        PartSource(run, Training("run", 0))


def test_a_score_of_other_rows_that_does_not_fit_is_left_out_with_the_way_out(tmp_path, monkeypatch):
    run = run_of(tmp_path)
    monkeypatch.setattr(source_module, "free_memory", lambda: 57 * 100)
    found = compute_scores(run, ScoreConfig())["skipped"]
    assert found["prototypicality"] == (
        "it needs 0.0 GiB of memory for 57 rows at once, and 0.0 GiB are free; score a sample of the rows"
    )
    assert {"duplicates", "prototypicality", "d2"} <= set(found)
    assert {"aum", "pvi", "trajectory", "vog"} <= set(scores()) - set(found)


def test_too_many_pairs_are_refused_before_a_column_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("thresher.scores.neighbours._MOST_PAIRS", 57**2 - 1)
    run = run_of(tmp_path)
    read = PartSource.blocks

    def blocks(self, columns, size):
        assert "features" not in columns or size != 57
        return read(self, columns, size)

    monkeypatch.setattr(PartSource, "blocks", blocks)
    found = compute_scores(run, ScoreConfig())["skipped"]
    assert found["d2"].startswith("3,249 pairs of rows to compare") and "duplicates" not in found


def test_only_the_columns_that_a_score_of_other_rows_names_are_read(tmp_path):
    run = run_of(tmp_path)
    read = whole(PartSource(run, Training("run", 0)), scores()["d2"].whole_columns, 16)
    assert read.columns == ["id", "label", "features"]
    assert whole(FrameSource(read, pl.DataFrame()), scores()["ensemble"].whole_columns, 16).columns == []


def test_a_table_beside_the_signals_is_followed_in_their_order_and_joined_otherwise(tmp_path):
    ids = pl.Series("id", [f"row {i}" for i in range(50)])
    table = pl.DataFrame({"id": ids, "z": range(50)})
    for part in range(3):
        table[part::3].write_parquet(tmp_path / f"fold-{part}.parquet")
    table.reverse().write_parquet(tmp_path / "reverse.parquet")
    folds = Follower([tmp_path / f"fold-{part}.parquet" for part in range(3)], ("z",))
    reverse = Follower([tmp_path / "reverse.parquet"], ("z",))
    for start in range(0, 50, 7):
        expected = list(range(start, min(start + 7, 50)))
        assert folds.at(ids[start : start + 7])["z"].to_list() == expected
        assert reverse.at(ids[start : start + 7])["z"].to_list() == expected
    assert folds.whole is None and reverse.whole is not None
    assert Follower([tmp_path / "fold-0.parquet"], ("z",)).at(ids[:4])["z"].to_list() == [0, None, None, 3]


def many_rows(folder: Path, rows: int) -> Run:
    """A run of that many rows: the same signals again and again, under other ids."""
    run, training = bare_run(folder, n_rows=rows, classes=("a", "b", "c")), Training("run", 0)
    some, checkpoints, _ = random_run(0, rows=1000)
    some = some.drop(*BESIDE, "entropy", "accuracy", "n_completion")
    plan = Plan(run, training, rows, some.height, 1024, "float32", MeasureConfig().signals, digest("made"))
    for chunk in range(plan.chunks):
        first, count = plan.rows_of(chunk)
        ids = pl.int_range(first, first + count, eager=True).cast(pl.String).alias("id")
        write_part(plan, chunk, some.head(count).with_columns(ids))
    write_table(plan.folder / "checkpoints.parquet", checkpoints)
    write_plan(plan, [0.1, 0.2, 0.3])
    ids = pl.int_range(rows, eager=True).cast(pl.String).alias("id")
    for step in range(4):
        write_table(
            run.evaluations(training) / f"step-{step:08d}.parquet",
            pl.DataFrame({"id": ids, "correct": ids != "7"}),
        )
    write_table(run.rows_file, ids.to_frame(), {ROWS_HASH: b"r"})
    write_json(run.record_file("measure"), MEASURED)
    return run


def held(run: Run, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """The bytes of arrays and Python objects, and the rows of signals, that are held at most while a run is scored."""
    frames: list[weakref.ref[pl.DataFrame]] = []
    most, parts = 0, PartSource._parts

    def counted(source: PartSource, columns: list[str], size: int) -> Iterator[pl.DataFrame]:
        nonlocal most
        for frame in parts(source, columns, size):
            frames.append(weakref.ref(frame))
            most = max(most, sum(alive.height for one in frames if (alive := one()) is not None))
            yield frame

    with monkeypatch.context() as patch:
        patch.setattr(PartSource, "_parts", counted)
        tracemalloc.start()
        compute_scores(run, ScoreConfig(options={"trajectory": {"clusters": 2}}))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak, most


def test_memory_grows_by_columns_of_scores_and_not_by_signals(tmp_path, monkeypatch):
    """The signals of a row take 1,100 bytes in memory, and its line of the table of scores 440."""
    import sklearn.cluster  # noqa: F401 (its modules are no part of what is measured)

    monkeypatch.setattr("thresher.scores.trajectory.MOST_ROWS", 1000)
    for module in ("table", "trajectory"):
        monkeypatch.setattr(f"thresher.scores.{module}.BLOCK_ROWS", 1000)
    (few, of_few), (many, of_many) = (
        held(many_rows(tmp_path / str(rows), rows), monkeypatch) for rows in (9_000, 24_000)
    )
    assert many - few < 150 * 15_000
    assert of_few == of_many <= 3 * 1000

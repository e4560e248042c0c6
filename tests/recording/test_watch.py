"""Recording a Trainer: records equal plain autograd in every set-up, and the training is not changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from transformers import Trainer, TrainerCallback

import thresher as th
import tiny_trainers as make
from thresher.recording import store
from thresher.run.layout import Layout

GROUPED = make.sampling("group_by_length")
ACCUMULATED = {"gradient_accumulation_steps": 2}
SETUPS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "bert": ("bert", "rows", {}),
    "bert pairs, accumulated": ("bert", "pairs", ACCUMULATED),
    "bert tokens, accumulated": ("bert", "tokens", ACCUMULATED),
    "distilbert, two workers": ("distilbert", "rows", {"dataloader_num_workers": 2}),
    "roberta, grouped by length": ("roberta", "rows", GROUPED),
    "roberta tokens": ("roberta", "tokens", {}),
    "modernbert, last batch dropped": ("modernbert", "rows", {"dataloader_drop_last": True}),
    "gpt2, accumulated": ("gpt2", "rows", ACCUMULATED),
    "qwen2, padded on the left": ("qwen2", "rows", {"padding_side": "left"}),
    "all columns kept": ("bert", "rows", {"remove_unused_columns": False}),
}


def rows_and_model(kind: str, task: str, dropout: float = 0.0) -> tuple[Any, Any]:
    if task == "tokens":
        return make.token_rows(kind), make.token_model(kind, dropout)
    return make.sequence_rows(kind, pairs=task == "pairs"), make.sequence_model(kind, dropout)


@pytest.mark.parametrize("name", SETUPS)
def test_what_is_recorded_is_what_each_row_alone_gives(name, tmp_path):
    kind, task, arguments = SETUPS[name]
    rows, model = rows_and_model(kind, task)
    if arguments.get("remove_unused_columns") is False:
        rows = rows.remove_columns("sentence")
    trainer = make.trainer_of(model, rows, tmp_path / "t", kind, **arguments)
    th.watch(trainer, tmp_path / "run", vog=16)
    noted = make.note_steps(trainer)
    trainer.train()
    signals, checkpoints = make.signals_of(tmp_path / "run")
    assert checkpoints["step"].to_list() == [s * trainer.state.global_step // 3 for s in (1, 2, 3)]
    dropped = 1 if arguments.get("dataloader_drop_last") else 0
    assert sum(map(len, noted.values())) == 3 * (make.ROWS - dropped)
    close = {"rtol": 2e-3, "atol": 1e-4}
    for row, visits in noted.items():
        line = signals.row(row, named=True)
        assert line["correct"] == [visit["correct"] for visit in visits]
        squares = np.mean([(visit["gradient"] ** 2).sum() for visit in visits])
        np.testing.assert_allclose(line["gradient_sq_mean"], squares, **close)
        if len(visits) < 3:
            continue
        for column in ("loss", "margin", "error_norm", "classifier_sq_norm"):
            np.testing.assert_allclose(line[column], [visit[column] for visit in visits], **close)
        if task != "tokens":
            assert line["label"] == rows[row]["label"]
            np.testing.assert_allclose(line["logits"], [visit["logits"] for visit in visits], **close)
        assert line["n_tokens"] == len(rows[row]["input_ids"])


@pytest.mark.parametrize(
    "arguments",
    [{}, {"dataloader_num_workers": 2, **ACCUMULATED}, {"bf16": True, **GROUPED}],
    ids=["plain", "workers and accumulation", "bfloat16 and grouped by length"],
)
def test_the_weights_are_those_of_the_unwatched_training_bit_for_bit(arguments, tmp_path):
    trained = []
    for watched in (False, True):
        rows, model = rows_and_model("bert", "rows", dropout=0.1)
        trainer = make.trainer_of(model, rows, tmp_path / "t", **arguments)
        if watched:
            th.watch(trainer, tmp_path / "run")
        trainer.train()
        trained.append((model.state_dict(), torch.get_rng_state()))
    (plain, plain_random), (seen, seen_random) = trained
    assert all(torch.equal(plain[name], seen[name]) for name in plain)
    assert torch.equal(plain_random, seen_random)


def test_in_bfloat16_the_scale_is_undone_up_to_rounding(tmp_path):
    found = []
    for index, arguments in enumerate(({}, {"bf16": True})):
        rows, model = rows_and_model("bert", "rows")
        trainer = make.trainer_of(
            model, rows, tmp_path / "t", learning_rate=0.0, num_train_epochs=1, **arguments
        )
        th.watch(trainer, tmp_path / str(index))
        trainer.train()
        found.append(make.signals_of(tmp_path / str(index))[0])
    np.testing.assert_allclose(found[1]["gradient_sq_mean"], found[0]["gradient_sq_mean"], rtol=0.1)
    np.testing.assert_allclose(found[1]["loss"].to_numpy(), found[0]["loss"].to_numpy(), atol=0.05)


def test_a_run_folder_that_scores_and_selects_at_once(tmp_path):
    rows, model = rows_and_model("bert", "rows")
    trainer = make.trainer_of(model, rows, tmp_path / "t")
    run = th.watch(trainer, tmp_path / "run")
    trainer.train()
    scores = th.score(run)
    of_logits = {"aum", "confidence", "correctness", "el2n", "el2n_mean", "forgetting", "loss", "variability"}
    assert of_logits | {"grand", "tracin", "vog_online"} <= set(scores.columns)
    selection = th.select(run, prune=0.4, by="el2n")
    kept = pl.read_parquet(run / "kept.parquet")
    assert kept["index"].to_list() == np.flatnonzero(selection["kept"]).tolist()
    subset = rows.select(kept["index"])
    assert subset["sentence"][:] == kept["sentence"].to_list()
    assert th.report(run).is_file()
    with pytest.raises(th.UserError, match="was recorded from someone else's training"):
        th.compare(run)
    with pytest.raises(th.UserError, match="is measured, so go on with `thresher score`"):
        th.measure(run)
    assert not Layout(run).recording.exists()


def test_the_trainer_is_left_as_it_was(tmp_path):
    rows, model = rows_and_model("bert", "rows")
    trainer = make.trainer_of(model, rows, tmp_path / "t", num_train_epochs=1)
    methods = (trainer.get_train_dataloader, trainer.training_step)
    th.watch(trainer, tmp_path / "run")
    trainer.train()
    assert (trainer.get_train_dataloader, trainer.training_step) == methods
    assert not any(module._forward_hooks for module in model.modules())
    before = (tmp_path / "run" / "run.yaml").read_bytes()
    trainer.train()
    assert (tmp_path / "run" / "run.yaml").read_bytes() == before


class Stopped(Exception):
    pass


class StopAt(TrainerCallback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        if state.global_step == self.step:
            raise Stopped


def test_a_resumed_training_leaves_the_signals_of_an_uninterrupted_one(tmp_path):
    def trainer_in(folder: Path, callbacks: Any = None) -> Trainer:
        rows, model = rows_and_model("bert", "rows", dropout=0.1)
        saving = {"save_strategy": "steps", "save_steps": 4}
        trainer = make.trainer_of(model, rows, folder / "t", callbacks=callbacks, **saving, **ACCUMULATED)
        th.watch(trainer, folder / "run")
        return trainer

    trainer_in(tmp_path / "whole").train()
    # 3 steps an epoch; stopped in the middle of the second epoch after a save in it, and later again.
    for stop, resume in ((5, None), (8, True)):
        with pytest.raises(Stopped):
            trainer_in(tmp_path / "cut", [StopAt(stop)]).train(resume_from_checkpoint=resume)
    trainer_in(tmp_path / "cut").train(resume_from_checkpoint=True)
    whole, cut = (make.signals_of(tmp_path / name / "run") for name in ("whole", "cut"))
    assert cut[0].equals(whole[0])
    assert cut[1].equals(whole[1])


def of_a_second_process(run: Path, columns: dict[str, np.ndarray], sums: dict[int, Any]) -> None:
    """What a second process of an earlier attempt left."""
    folder = store.rank_folder(Layout(run).recording, 1)
    store.write_records(folder, columns)
    for step, arrays in sums.items():
        store.write_sums(store.sums_file(folder, step), arrays)


def test_files_of_an_earlier_attempt_with_more_processes_are_removed(tmp_path):
    def watched(folder: Path) -> Path:
        rows, model = rows_and_model("bert", "rows")
        trainer = make.trainer_of(model, rows, folder / "t", num_train_epochs=1)
        run = th.watch(trainer, folder / "run")
        trainer.train()
        return run

    def records(row: int, step: int) -> dict[str, np.ndarray]:
        return {"row": np.array([row], np.int32), "step": np.array([step], np.int32)}

    of_a_second_process(tmp_path / "again" / "run", records(3, 0), {})
    alone, again = (make.signals_of(watched(tmp_path / name)) for name in ("alone", "again"))
    assert again[0].equals(alone[0])
    assert "gradient_sq_mean" in again[0].columns


def test_a_resume_with_fewer_processes_keeps_what_the_others_recorded_before_it(tmp_path):
    """Rows 0 to 4 are moved to a second process, as if it had recorded them in the first epoch, before the save."""

    def trainer_in(folder: Path, stop: int | None) -> Trainer:
        rows, model = rows_and_model("bert", "rows")
        callbacks = [StopAt(stop)] if stop else []
        trainer = make.trainer_of(
            model,
            rows,
            folder / "t",
            num_train_epochs=2,
            save_strategy="steps",
            save_steps=7,
            callbacks=callbacks,
        )
        th.watch(trainer, folder / "run")
        return trainer

    trainer_in(tmp_path / "whole", None).train()
    with pytest.raises(Stopped):
        trainer_in(tmp_path / "cut", 8).train()
    first = store.rank_folder(Layout(tmp_path / "cut" / "run").recording, 0)
    records = {}
    for path in sorted(first.glob("records-*.parquet")):
        table = pl.read_parquet(path)
        records[path] = table.filter(pl.col("row") < 5)
        rest = table.filter(pl.col("row") >= 5)
        store.write_records(first, {name: rest[name].to_numpy() for name in rest.columns})
    moved = pl.concat(records.values())
    # One step more, between the save and its end.
    moved = pl.concat(
        [moved, moved.head(1).with_columns(step=pl.lit(7, pl.Int32), epoch=pl.lit(1, pl.Int32))]
    )
    sums, of_second = store.read_sums(store.sums_file(first, 7)), {}
    for name, values in sums.items():
        of_second[name] = values.copy()
        of_second[name][5:] = 0
        values[:5] = 0
    store.write_sums(store.sums_file(first, 7), sums)
    columns = {name: moved[name].to_numpy() for name in moved.columns}
    of_a_second_process(tmp_path / "cut" / "run", columns, {7: of_second})
    trainer_in(tmp_path / "cut", None).train(resume_from_checkpoint=True)
    whole, cut = (make.signals_of(tmp_path / name / "run") for name in ("whole", "cut"))
    assert cut[0].equals(whole[0])
    assert cut[1].equals(whole[1])


def test_a_resumed_training_that_was_not_watched_from_its_start_is_refused(tmp_path):
    rows, model = rows_and_model("bert", "rows")
    trainer = make.trainer_of(model, rows, tmp_path / "t", save_strategy="epoch", num_train_epochs=2)
    trainer.train()
    th.watch(trainer, tmp_path / "run")
    with pytest.raises(th.UserError, match="resumes at step 6"):
        trainer.train(resume_from_checkpoint=str(tmp_path / "t" / "checkpoint-6"))
    assert not (tmp_path / "run" / "run.yaml").exists()


def test_rows_of_any_dataset_with_numbers_are_shown_by_their_tokens(tmp_path):
    rows, model = rows_and_model("bert", "rows")

    class Plain(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(rows)

        def __getitem__(self, row: int) -> dict[str, Any]:
            names = ("input_ids", "attention_mask", "label")
            return {name: rows[row][name] for name in names}

    trainer = make.trainer_of(model, rows, tmp_path / "t", num_train_epochs=1)
    trainer.train_dataset = Plain()
    th.watch(trainer, tmp_path / "run", vog=False)
    trainer.train()
    shown = make.rows_of(tmp_path / "run")
    assert shown["text"].to_list() == rows["sentence"][:]
    assert shown["id"].to_list() == [str(i) for i in range(make.ROWS)]


def test_ids_of_a_dataset_that_gives_tensors_are_numbers(tmp_path):
    rows, model = rows_and_model("bert", "rows")
    numbers = list(range(100, 100 + make.ROWS))
    rows = rows.add_column("number", numbers).with_format("torch", columns=["input_ids", "label"])
    trainer = make.trainer_of(model, rows, tmp_path / "t", num_train_epochs=1)
    th.watch(trainer, tmp_path / "run", id="number", vog=False)
    trainer.train()
    shown = make.rows_of(tmp_path / "run")
    assert shown["id"].to_list() == list(map(str, numbers))
    assert shown["sentence"].to_list() == rows.with_format(None)["sentence"][:]


def test_rows_without_a_record_count_as_unknown(tmp_path):
    rows, model = rows_and_model("bert", "rows")
    trainer = make.trainer_of(model, rows, tmp_path / "t", max_steps=3)
    run = th.watch(trainer, tmp_path / "run")
    trainer.train()
    signals, _ = make.signals_of(run)
    unseen = signals.filter(pl.col("correct").list.len() == 0)
    assert unseen.height == make.ROWS - 12
    assert np.allclose(unseen["loss"].to_numpy(), np.log(make.CLASSES))
    assert unseen["label"].to_list() == [rows[int(row)]["label"] for row in unseen["id"]]
    scores = th.score(run)
    of_unseen = scores.filter(pl.col("id").is_in(unseen["id"].to_list()))
    assert np.allclose(of_unseen["el2n"], np.sqrt(2 / 3))
    assert (of_unseen["vog_online"] >= scores["vog_online"].max()).all()


def test_a_token_classifier_gives_a_score_per_row_from_its_tokens(tmp_path):
    rows, model = rows_and_model("bert", "tokens")
    trainer = make.trainer_of(model, rows, tmp_path / "t")
    run = th.watch(trainer, tmp_path / "run")
    noted = make.note_steps(trainer)
    trainer.train()
    scores = th.score(run)
    for row, visits in noted.items():
        line = scores.row(row, named=True)
        expected = {
            "el2n": visits[2]["error_norm"],
            "el2n_mean": np.mean([visit["error_norm"] for visit in visits]),
            "aum": np.mean([visit["margin"] for visit in visits]),
            "loss": np.mean([visit["loss"] for visit in visits]),
            "correctness": np.mean([visit["correct"] for visit in visits]),
            "confidence": np.mean([np.exp(-visit["loss"]) for visit in visits]),
        }
        for name, value in expected.items():
            assert line[name] == pytest.approx(value, rel=2e-3, abs=1e-4), name
    kept = th.select(run, prune=0.5, by="el2n")["kept"].sum()
    assert kept == round(make.ROWS / 2)


def test_a_watched_run_says_what_was_watched_and_refuses_to_train(tmp_path):
    rows, model = rows_and_model("bert", "rows")
    trainer = make.trainer_of(model, rows, tmp_path / "t")
    run = th.watch(trainer, tmp_path / "run")
    trainer.train()
    th.score(run)
    th.select(run, prune=0.4, by="el2n")
    for refused in (th.how_much, th.sweep, th.noise, th.explain):
        with pytest.raises(th.UserError, match=f"{run}: was recorded"):
            refused(run)
    assert th.suspects(run).columns[:2] == ["rank", "id"]
    page = th.report(run).read_text(encoding="utf-8")
    assert type(model).__name__ in page and "minilm" not in page
    assert (
        "This training was recorded and cannot be repeated from here" in page
        and "thresher compare" not in page
    )

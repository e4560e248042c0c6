"""A recorder never ends the training that it records, there is one per trainer, and it leaves no hook on the trainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn
from transformers import DataCollatorWithPadding, Trainer, TrainerCallback
from transformers.hyperparameter_search import RayTuneBackend

import thresher as th
import tiny_trainers as make
from thresher.recording import store
from thresher.recording.gradient_sums import GradientSums
from thresher.run import Run


def bert(folder: Path, of: type[Trainer] = Trainer, rows: Any = None, **arguments: Any) -> Trainer:
    rows = make.sequence_rows("bert") if rows is None else rows
    return make.trainer_of(make.sequence_model("bert"), rows, folder / "t", of=of, **arguments)


def weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in trainer.model.state_dict().items()}


def left_on(trainer: Trainer) -> list[object]:
    """Whatever of a recorder is still on a trainer or its model."""
    on_model = [hook for module in trainer.model.modules() for hook in module._forward_hooks.values()]
    ours = [one for one in trainer.callback_handler.callbacks if type(one).__module__.startswith("thresher")]
    names = ("training_step", "get_train_dataloader")
    return [*on_model, *ours, *(name for name in names if name in vars(trainer))]


class IgnoresMinusOne(Trainer):
    """A loss with an ignored label of its own."""

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **more: Any) -> Any:
        labels = inputs.pop("labels")
        outputs = model(**inputs)
        loss = nn.functional.cross_entropy(outputs.logits, labels, ignore_index=-1)
        return (loss, outputs) if return_outputs else loss


@pytest.mark.parametrize(("ignored", "kind"), [(-100, Trainer), (-1, IgnoresMinusOne)])
def test_rows_with_an_ignored_label_are_not_scored(ignored, kind, tmp_path, capsys):
    rows = make.sequence_rows("bert")
    unlabelled = [3, 4, 17]
    labels = [ignored if row in unlabelled else label for row, label in enumerate(rows["label"])]
    trainer = bert(tmp_path, kind, rows.remove_columns("label").add_column("label", labels))
    run = th.watch(trainer, tmp_path / "run", vog=16)
    noted = make.note_steps(trainer)
    trainer.train()
    assert (
        "3 rows have no label and are not scored; they are neither kept nor dropped"
        in capsys.readouterr().err
    )
    signals, _ = make.signals_of(run)
    scored = [row for row in range(make.ROWS) if row not in unlabelled]
    assert signals["id"].to_list() == [str(row) for row in scored]
    assert signals["label"].to_list() == [labels[row] for row in scored]
    for place, row in enumerate(scored):
        line = signals.row(place, named=True)
        close = {"rtol": 2e-3, "atol": 1e-4}
        np.testing.assert_allclose(line["loss"], [step["loss"] for step in noted[row]], **close)
        squares = np.mean([(step["gradient"] ** 2).sum() for step in noted[row]])
        np.testing.assert_allclose(line["gradient_sq_mean"], squares, **close)
        of_classifier = [step["classifier_sq_norm"] for step in noted[row]]
        np.testing.assert_allclose(line["classifier_sq_norm"], of_classifier, **close)
    th.score(run)
    kept = th.select(run, prune=0.5, by="el2n")["kept"]
    assert (len(kept), kept.sum()) == (18, 9)
    selected = pl.concat([pl.read_parquet(run / f"{name}.parquet") for name in ("kept", "dropped")])
    assert sorted(selected["index"].to_list()) == scored


def test_a_diet_of_one_epoch_is_warned_of_before_its_first_step(tmp_path, capsys):
    told = []

    class Looks(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            told.append(capsys.readouterr().err)

    trainer = bert(tmp_path, callbacks=[Looks()], num_train_epochs=1)
    th.prune_while_training(trainer, "data-diet")
    trainer.train()
    assert "diet data-diet: the first epoch uses all rows, and there is no other" in told[0]
    assert "diet" not in "".join(told[1:]) + capsys.readouterr().err


class Ignores255(Trainer):
    """A loss with an ignored label above the number of classes."""

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **more: Any) -> Any:
        labels = inputs.pop("labels")
        outputs = model(**inputs)
        loss = nn.functional.cross_entropy(outputs.logits, labels, ignore_index=255)
        return (loss, outputs) if return_outputs else loss


@pytest.mark.parametrize("steps", [-1, 2])
def test_an_ignored_label_may_be_above_the_classes_also_of_rows_in_no_step(steps, tmp_path):
    rows = make.sequence_rows("bert")
    labels = [255 if row % 4 == 0 else label for row, label in enumerate(rows["label"])]
    rows = rows.remove_columns("label").add_column("label", labels)
    trainer = bert(tmp_path, Ignores255, rows, max_steps=steps)
    run = th.watch(trainer, tmp_path / "run")
    trainer.train()
    signals, _ = make.signals_of(run)
    scored = [row for row in range(make.ROWS) if row % 4]
    assert signals["id"].to_list() == [str(row) for row in scored]
    assert signals["label"].to_list() == [labels[row] for row in scored]
    assert Run.open(run).manifest.classes == ("LABEL_0", "LABEL_1", "LABEL_2")


def test_a_training_that_changes_the_working_folder_is_recorded_where_it_was_asked_for(tmp_path, monkeypatch):
    class Moves(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            monkeypatch.chdir(tmp_path / "elsewhere")

    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    trainer = bert(tmp_path, callbacks=[Moves()])
    th.watch(trainer, "run")
    trainer.train()
    assert (tmp_path / "run" / "run.yaml").is_file()
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_rows_whose_label_only_the_collator_knows_are_left_out_where_no_step_had_them(tmp_path, capsys):
    rows = make.sequence_rows("bert")
    names = ["no", "yes", "perhaps"]
    named = rows.remove_columns("label").add_column("answer", [names[label] for label in rows["label"]])
    trainer = bert(tmp_path, rows=named, max_steps=3, remove_unused_columns=False)
    pad = DataCollatorWithPadding(trainer.processing_class)

    def collate(items: list[dict[str, Any]]) -> Any:
        tokens = [{name: item[name] for name in ("input_ids", "attention_mask")} for item in items]
        return {**pad(tokens), "labels": torch.tensor([names.index(item["answer"]) for item in items])}

    trainer.data_collator = collate
    run = th.watch(trainer, tmp_path / "run", text="sentence")
    trainer.train()
    assert "9 rows have no label and are not scored" in capsys.readouterr().err
    table = make.rows_of(run)
    assert table.height == 12
    signals, _ = make.signals_of(run)
    assert signals["label"].to_list() == [rows[int(row)]["label"] for row in signals["id"]]
    assert table["sentence"].to_list() == [rows[int(row)]["sentence"] for row in signals["id"]]


def test_a_folder_that_cannot_be_written_is_refused_at_the_call(tmp_path):
    (tmp_path / "file").write_text("")
    trainer = bert(tmp_path)
    with pytest.raises(th.UserError, match=r"file/run: cannot be written \(Not a directory\)"):
        th.watch(trainer, tmp_path / "file" / "run")
    assert left_on(trainer) == []


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (
            "write_records",
            "what is recorded cannot be written: {}; the training continues, it is kept in memory and tried again",
        ),
        (
            "write_sums",
            "what is recorded cannot be written: {}; the training continues, it is kept in memory and tried again",
        ),
        ("scan_records", "the run cannot be written: {}; what was recorded is kept"),
    ],
)
def test_a_failure_to_write_is_warned_of_once_ends_no_training_and_can_be_made_good(
    place, said, tmp_path, monkeypatch, capsys
):
    plain = bert(tmp_path, save_strategy="epoch")
    plain.train()
    trainer = bert(tmp_path, save_strategy="epoch")
    run = th.watch(trainer, tmp_path / "run")

    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, place, full)
    trainer.train()
    warnings = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    (warning,) = warnings
    assert warning == (
        f"warning: watch: {said.format('[Errno 28] No space left on device')}; after the training"
        " th.finish_recording(trainer) makes a run of it"
    )
    expected, found = weights(plain), weights(trainer)
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert not (run / "run.yaml").exists()
    assert left_on(trainer) == []
    with pytest.raises(OSError, match="No space left"):
        th.finish_recording(trainer)
    monkeypatch.undo()
    assert th.finish_recording(trainer) == run
    whole = bert(tmp_path, save_strategy="epoch")
    th.watch(whole, tmp_path / "whole")
    whole.train()
    for one, other in zip(make.signals_of(run), make.signals_of(tmp_path / "whole"), strict=True):
        assert one.equals(other)
    with pytest.raises(th.UserError, match="nothing is left to finish"):
        th.finish_recording(trainer)
    with pytest.raises(th.UserError, match="holds a finished run"):
        th.finish_recording(trainer, run)


class TwiceLater(Trainer):
    """Calls the model a second time from its third step on."""

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **more: Any) -> Any:
        if self.state.global_step >= 2:
            model(**inputs)
        return super().compute_loss(model, inputs, return_outputs, **more)


def test_what_cannot_be_recorded_in_a_later_step_ends_only_the_recording(tmp_path, capsys):
    trainer = bert(tmp_path, TwiceLater)
    run = th.watch(trainer, tmp_path / "run", vog=False)
    trainer.train()
    assert trainer.state.global_step == trainer.state.max_steps
    assert capsys.readouterr().err.count("warning: watch: recording failed") == 1
    assert not (run / "run.yaml").exists()
    # Another process, which knows the Trainer's rows and the folder.
    th.finish_recording(bert(tmp_path), run)
    signals, _ = make.signals_of(run)
    assert sorted(signals["correct"].list.len()) == [0] * (make.ROWS - 8) + [1] * 8


class Diverge(TrainerCallback):
    """From its ninth step on, in the second epoch, the model gives nothing but nan."""

    def on_step_end(self, args: Any, state: Any, control: Any, *, model: Any, **given: Any) -> None:
        if state.global_step == 8:
            nn.init.constant_(model.classifier.weight, torch.nan)


def test_a_training_that_diverges_is_called_so_and_keeps_what_was_finite(tmp_path, capsys):
    trainer = bert(tmp_path, callbacks=[Diverge()])
    run = th.watch(trainer, tmp_path / "run")
    trainer.train()
    told = capsys.readouterr().err
    assert told.count("are not finite, as those of a training that diverges") == 1
    assert "cross-entropy" not in told
    signals, checkpoints = make.signals_of(run)
    assert sorted(signals["correct"].list.len()) == [1] * (make.ROWS - 8) + [2] * 8
    assert checkpoints.height == 2
    for column in ("logits", "loss", "gradient_sq_mean", "gradient_mean_sq"):
        assert np.isfinite(np.array(signals[column].to_list(), float)).all(), column
    assert th.score(run)["el2n"].is_finite().all()


def test_a_gradient_that_overflows_is_left_out_of_the_sums():
    sums = GradientSums(2, 3)
    sums.add(
        torch.tensor([0, 1]), torch.tensor([4.0, torch.inf]), torch.tensor([[1.0, 0, 2], [torch.nan] * 3])
    )
    sums.add(torch.tensor([0, 1]), torch.tensor([2.0, 8.0]), torch.tensor([[3.0, 0, 0], [2.0, 2, 0]]))
    squares, of_mean = sums.means()
    assert squares.tolist() == [3.0, 8.0]
    assert of_mean.tolist() == [5.0, 8.0]


def test_a_second_call_replaces_the_first(tmp_path):
    trainer = bert(tmp_path, num_train_epochs=1)
    th.watch(trainer, tmp_path / "first")
    run = th.watch(trainer, tmp_path / "second", vog=False)
    trainer.train()
    assert not (tmp_path / "first").exists()
    signals, _ = make.signals_of(run)
    assert signals["correct"].list.len().to_list() == [1] * make.ROWS
    assert "gradient_sq_mean" not in signals.columns
    assert left_on(trainer) == []


def test_each_further_training_is_recorded_in_a_folder_of_its_own(tmp_path, capsys):
    trainer = bert(tmp_path, num_train_epochs=1, save_strategy="epoch")
    run = th.watch(trainer, tmp_path / "run", vog=False)
    trainer.train()
    (tmp_path / "run-2").mkdir()
    trainer.train()
    assert capsys.readouterr().err.count(f"it is recorded in {tmp_path / 'run-3'}\n") == 1
    assert left_on(trainer) == []
    first, second = make.signals_of(run)[0], make.signals_of(tmp_path / "run-3")[0]
    assert first["correct"].list.len().to_list() == second["correct"].list.len().to_list() == [1] * make.ROWS
    # The second goes on from the weights that the first one left.
    assert (second["loss"].to_numpy() != first["loss"].to_numpy()).all()
    # One that goes on from a step of an earlier one is said not to be recorded, and trained.
    trainer.args.num_train_epochs = 2
    trainer.train(resume_from_checkpoint=True)
    assert "this training is not recorded" in capsys.readouterr().err
    assert trainer.state.epoch == 2.0
    assert not (tmp_path / "run-4" / "run.yaml").exists()


def test_every_trial_of_a_search_is_recorded(tmp_path, monkeypatch):
    pytest.importorskip("ray")
    trainer = Trainer(
        model_init=lambda: make.sequence_model("bert"),
        args=bert(tmp_path, num_train_epochs=1).args,
        train_dataset=make.sequence_rows("bert"),
        data_collator=bert(tmp_path).data_collator,
    )
    th.watch(trainer, tmp_path / "run", vog=16)
    diet = th.prune_while_training(trainer, "data-diet", options={"prune": 0.5})

    def run(self: RayTuneBackend, trainer: Trainer, n_trials: int, direction: str) -> None:
        for rate in (1e-2, 1e-2, 1e-3)[:n_trials]:
            trainer.train(trial={"learning_rate": rate})
            assert [epoch["rows"] for epoch in diet.facts()["epochs"]] == [make.ROWS]

    # A search trains the same Trainer, which makes a new model for each trial.
    monkeypatch.setattr(RayTuneBackend, "is_available", staticmethod(lambda: True))
    monkeypatch.setattr(RayTuneBackend, "run", run)
    trainer.hyperparameter_search(n_trials=3, backend="ray")
    trials = [make.signals_of(tmp_path / name)[0] for name in ("run", "run-2", "run-3")]
    assert trials[0].equals(trials[1]) and not trials[0].equals(trials[2])
    assert left_on(trainer) == []


def test_a_second_diet_replaces_the_first(tmp_path):
    trainer = bert(tmp_path)
    first = th.prune_while_training(trainer, "infobatch")
    second = th.prune_while_training(trainer, "data-diet", options={"prune": 0.5})
    trainer.train()
    assert [epoch["rows"] for epoch in second.facts()["epochs"]] == [make.ROWS, 10, 10]
    with pytest.raises(th.UserError, match="has not begun"):
        first.facts()


class Stop(TrainerCallback):
    def __init__(self, event: str) -> None:
        setattr(self, event, self.stop)

    def stop(self, *args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt


@pytest.mark.parametrize("event", ["on_train_begin", "on_step_end", "on_epoch_end", "on_train_end"])
def test_all_hooks_are_removed_if_a_training_ends_with_an_exception(event, tmp_path):
    stop = Stop(event)
    trainer = bert(tmp_path, callbacks=[stop], num_train_epochs=1)
    th.watch(trainer, tmp_path / "run")
    th.prune_while_training(trainer)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert left_on(trainer) == []
    trainer.remove_callback(stop)
    run = th.watch(trainer, tmp_path / "run")
    trainer.train()
    signals, _ = make.signals_of(run)
    assert signals["correct"].list.len().to_list() == [1] * make.ROWS


def test_a_refused_training_is_recorded_after_the_advice_is_taken(tmp_path):
    class Weighted(Trainer):
        def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **more: Any) -> Any:
            labels = inputs.pop("labels")
            outputs = model(**inputs)
            loss = nn.functional.cross_entropy(outputs.logits, labels, weight=torch.tensor([1.0, 2.0, 9.0]))
            return (loss, outputs) if return_outputs else loss

    trainer = bert(tmp_path, Weighted, num_train_epochs=1)
    th.watch(trainer, tmp_path / "run", vog=True)
    with pytest.raises(th.UserError, match="watch with vog=False"):
        trainer.train()
    run = th.watch(trainer, tmp_path / "run", vog=False)
    trainer.train()
    assert "el2n" in th.score(run).columns

"""A trainer on a diet: the rows, the weights, the schedule, the resume, against plain training."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import SequentialSampler
from transformers import Trainer, TrainerCallback
from transformers.modeling_outputs import ModelOutput

import thresher as th
import tiny_trainers as make
from thresher.recording.trainer_hooks import Observer, hooks_of
from thresher.training.diets import EpochRows, EpochState, registry
from thresher.training.diets.score import joint


@pytest.fixture
def fixed(monkeypatch):
    """A diet that takes a list of chosen_rows, one per epoch."""

    def enter(*chosen_rows: EpochRows) -> str:
        monkeypatch.setattr(registry.DIETS, "table", dict(registry.DIETS.table))

        @registry.diet("fixed", score="loss", weighs=True, source="a test")
        def fixed(now: EpochState, *, restart: bool = any(one.restart for one in chosen_rows)) -> EpochRows:
            return chosen_rows[now.epoch]

        return "fixed"

    return enter


def drawn(seed: int) -> EpochRows:
    random = np.random.default_rng(seed)
    weight = random.choice([1.0, 2.0, 4.0], make.ROWS).astype(np.float32)
    return EpochRows(random.random(make.ROWS) < 0.7, weight)


class InOrder(Trainer):
    """Trains on the rows in their order, in every version of transformers."""

    def _get_train_sampler(self, *args: Any) -> SequentialSampler:
        return SequentialSampler(self.train_dataset)


@pytest.mark.parametrize(("kind", "task"), [("bert", "rows"), ("gpt2", "rows"), ("bert", "tokens")])
def test_weighted_rows_are_trained_as_with_a_weighted_loss(kind, task, fixed, tmp_path):
    rows = make.token_rows(kind) if task == "tokens" else make.sequence_rows(kind)
    build = make.token_model if task == "tokens" else make.sequence_model
    chosen_rows = [drawn(0), drawn(1)]
    model = build(kind)
    trainer = make.trainer_of(
        model,
        rows,
        tmp_path,
        kind,
        of=InOrder,
        num_train_epochs=2,
        max_grad_norm=0.0,
        lr_scheduler_type="constant",
    )
    trainer.optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    th.prune_while_training(trainer, fixed(*chosen_rows))
    trainer.train()
    plain = build(kind).train()
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.05)
    names = set(rows.column_names) - {"sentence"}
    for chosen in chosen_rows:
        kept = np.flatnonzero(chosen.keep)
        for start in range(0, len(kept), 4):
            batch = kept[start : start + 4].tolist()
            inputs = trainer.data_collator([{name: rows[row][name] for name in names} for row in batch])
            labels = inputs.pop("labels")
            losses = nn.functional.cross_entropy(
                plain(**inputs).logits.flatten(0, -2), labels.flatten(), reduction="none"
            )
            true = (labels != -100).float()
            weight = torch.from_numpy(chosen.weight[batch])
            weight = weight[:, None] if labels.dim() == 2 else weight
            optimizer.zero_grad()
            ((losses.view(labels.shape) * true * weight).sum() / true.sum()).backward()
            optimizer.step()
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value, rtol=1e-3, atol=1e-5)


class Steps(TrainerCallback):
    """Notes the learning rate of every step and the count after it."""

    def __init__(self) -> None:
        self.rates: list[float] = []

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        self.rates.append(given["optimizer"].param_groups[0]["lr"])


@pytest.mark.parametrize("accumulated", [1, 2])
def test_the_schedule_follows_the_share_of_the_epochs(accumulated, fixed, tmp_path):
    few = np.zeros(make.ROWS, bool)
    few[:9] = True
    chosen_rows = [EpochRows(np.ones(make.ROWS, bool)), EpochRows(few), EpochRows(few)]
    steps = Steps()
    trainer = make.trainer_of(
        make.sequence_model("bert"),
        make.sequence_rows("bert"),
        tmp_path,
        callbacks=[steps],
        gradient_accumulation_steps=accumulated,
    )
    diet = th.prune_while_training(trainer, fixed(*chosen_rows))
    trainer.train()
    full = -(-6 // accumulated)
    # 9 rows are 3 batches of 4; where two are accumulated, the third alone would make no step.
    short = {1: 3, 2: 1}[accumulated]
    done = [i / full for i in range(full)] + [e + i / short for e in (1, 2) for i in range(short)]
    expected = [1e-2 * (1 - round(at * full) / (3 * full)) for at in done]
    assert steps.rates == pytest.approx(expected)
    assert trainer.state.global_step == trainer.state.max_steps == 3 * full
    assert trainer.state.epoch == 3.0
    facts = diet.facts()
    assert [epoch["steps"] for epoch in facts["epochs"]] == [full, short, short]
    rows = {1: 9, 2: 8}[accumulated]
    assert facts["rows"] == make.ROWS + 2 * rows
    assert facts["share"] == pytest.approx((make.ROWS + 2 * rows) / (3 * make.ROWS))


def batches_of(trainer: Trainer) -> list[tuple[int, list[int]]]:
    """(epoch, rows) of each step to come."""
    seen: list[tuple[int, list[int]]] = []
    note = Observer(lambda step: seen.append((int(trainer.state.epoch), step.rows.tolist())))
    hooks_of(trainer).attach("test", note)
    return seen


def test_rows_left_out_are_not_trained_on_and_all_others_once(fixed, tmp_path):
    chosen_rows = [EpochRows(np.ones(make.ROWS, bool)), drawn(3), drawn(4)]
    trainer = make.trainer_of(
        make.sequence_model("bert"), make.sequence_rows("bert"), tmp_path, dataloader_num_workers=2
    )
    th.prune_while_training(trainer, fixed(*chosen_rows))
    seen = batches_of(trainer)
    trainer.train()
    for epoch, chosen in enumerate(chosen_rows):
        trained_on = [row for at, rows in seen for row in rows if at == epoch]
        assert sorted(trained_on) == np.flatnonzero(chosen.keep).tolist()


@pytest.mark.parametrize(("workers", "accumulated"), [(0, 1), (2, 1), (0, 2)])
def test_same_steps_distributes_the_remaining_rows_over_all_steps(workers, accumulated, fixed, tmp_path):
    chosen_rows = [EpochRows(np.ones(make.ROWS, bool)), drawn(3), EpochRows(np.arange(make.ROWS) < 6)]
    trainer = make.trainer_of(
        make.sequence_model("bert"),
        make.sequence_rows("bert"),
        tmp_path,
        dataloader_num_workers=workers,
        gradient_accumulation_steps=accumulated,
    )
    name = fixed(*chosen_rows)
    th.prune_while_training(trainer, name, options={"same_steps": True})
    seen = batches_of(trainer)
    trainer.train()
    for epoch, chosen in enumerate(chosen_rows):
        batches = [rows for at, rows in seen if at == epoch]
        # 21 rows in batches of 4 are 6 batches: the smallest size that makes no more of them of what is left.
        size = -(-4 * chosen.keep.sum() // make.ROWS)
        assert {len(rows) for rows in batches[:-1]} == {size}
        trained_on = [row for rows in batches for row in rows]
        kept = np.flatnonzero(chosen.keep)
        if accumulated == 1:
            assert sorted(trained_on) == kept.tolist()
            assert len(batches) == -(-len(kept) // size) <= 6
        else:
            assert len(trained_on) == len(set(trained_on)) and set(trained_on) <= set(kept.tolist())
    assert trainer.state.epoch == 3.0
    assert trainer.state.global_step == trainer.state.max_steps


def test_weights_have_a_mean_of_one_where_the_steps_stay_the_same():
    chosen = EpochRows(np.array([True, True, False, True]), np.array([5.0, 5.0, 5.0, 1.0], np.float32))
    level = chosen.with_mean_weight_one()
    assert level.weight[level.keep].mean() == pytest.approx(1.0)
    assert level.weight[0] / level.weight[3] == pytest.approx(5.0)


class Stopped(Exception):
    pass


class StopInTheSecondEpoch(TrainerCallback):
    """After its third step; its second was saved."""

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        if state.global_step == 9:
            raise Stopped


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("infobatch", {"r": 0.5, "full": 0.25}),
        ("infobatch", {"r": 0.8, "full": 0.0, "same_steps": True}),
        ("iterative", {"prune": 0.6, "cuts": 2, "restart": True}),
    ],
)
def test_a_resumed_training_ends_with_the_same_weights(method, options, tmp_path):
    def trainer_in(folder: Path, *callbacks: Any) -> Trainer:
        trainer = make.trainer_of(
            make.sequence_model("bert", dropout=0.1),
            make.sequence_rows("bert"),
            folder,
            num_train_epochs=4,
            save_strategy="steps",
            save_steps=2,
            callbacks=list(callbacks),
        )
        th.prune_while_training(trainer, method, options=options)
        return trainer

    whole = trainer_in(tmp_path / "whole")
    whole.train()
    with pytest.raises(Stopped):
        trainer_in(tmp_path / "cut", StopInTheSecondEpoch()).train()
    cut = trainer_in(tmp_path / "cut")
    cut.train(resume_from_checkpoint=True)
    first, second = whole.model.state_dict(), cut.model.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


class Copy(TrainerCallback):
    """Keeps what every save leaves as the folder of a training that was stopped right after it."""

    def __init__(self, to: Path) -> None:
        self.to = to

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        for saved in Path(args.output_dir).glob("checkpoint-*"):
            shutil.copytree(saved, self.to / saved.name[11:] / saved.name, dirs_exist_ok=True)


@pytest.mark.parametrize("strategy", ["steps", "epoch"])
def test_a_resumed_training_has_the_facts_of_an_uninterrupted_one(strategy, tmp_path):
    def facts_in(folder: Path, *callbacks: Any, resume: bool = False) -> dict[str, Any]:
        trainer = make.trainer_of(
            make.sequence_model("bert"),
            make.sequence_rows("bert"),
            folder,
            save_strategy=strategy,
            save_steps=1,
            callbacks=list(callbacks),
        )
        diet = th.prune_while_training(trainer, "data-diet", options={"prune": 0.5, "after": 1, "every": 1})
        trainer.train(resume_from_checkpoint=resume)
        epochs = [
            {name: one[name] for name in ("rows", "steps", "rescored")} for one in diet.facts()["epochs"]
        ]
        return {**diet.facts(), "epochs": epochs}

    whole = facts_in(tmp_path / "whole", Copy(tmp_path / "cut"))
    assert [epoch["rescored"] for epoch in whole["epochs"]] == [0, 0, make.ROWS]
    stopped = sorted(int(folder.name) for folder in (tmp_path / "cut").iterdir())
    # 6 steps in the epoch on all rows and 3 in each of the others; the last one's save is that of the end.
    assert stopped == {"steps": [1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 14], "epoch": [6, 12]}[strategy]
    for step in stopped:
        assert facts_in(tmp_path / "cut" / str(step), resume=True) == whole


def test_a_restart_begins_with_the_initial_weights(fixed, tmp_path):
    everything = np.ones(make.ROWS, bool)
    model = make.sequence_model("bert")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    trainer = make.trainer_of(model, make.sequence_rows("bert"), tmp_path, num_train_epochs=2)
    name = fixed(EpochRows(everything), EpochRows(everything, restart=True))
    at_start: list[bool] = []

    class Look(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            same = all(torch.equal(before[key], value) for key, value in model.state_dict().items())
            rate = given["optimizer"].param_groups[0]["lr"]
            at_start.append(same and rate == pytest.approx(1e-2))

    trainer.add_callback(Look())
    th.prune_while_training(trainer, name)
    trainer.train()
    assert at_start == [True, *[False] * 5] * 2
    assert trainer.lr_scheduler.get_last_lr()[0] == pytest.approx(0.0)


def test_rescoring_is_the_el2n_of_each_row_in_eval_mode(tmp_path):
    rows, model = make.sequence_rows("bert"), make.sequence_model("bert", dropout=0.3)
    trainer = make.trainer_of(model, rows, tmp_path, num_train_epochs=3)
    expected: list[float] = []

    class Look(TrainerCallback):
        def on_epoch_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            if len(expected) or state.epoch < 2:
                return
            model.eval()
            for row in rows:
                ids = torch.tensor(row["input_ids"])[None]
                with torch.no_grad():
                    error = torch.softmax(model(ids).logits[0], 0)
                error[row["label"]] -= 1
                expected.append(error.norm().item())
            model.train()

    trainer.add_callback(Look())
    diet = th.prune_while_training(trainer, "data-diet", options={"prune": 0.4, "after": 1, "every": 1})
    trainer.train()
    assert [epoch["rescored"] for epoch in diet.facts()["epochs"]] == [0, 0, make.ROWS]
    hardest = np.sort(np.argsort(expected)[-round(0.6 * make.ROWS) :])
    assert np.flatnonzero(diet.keep).tolist() == hardest.tolist()


class IntentAndSlots(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bert = make.sequence_model("bert").bert
        self.intents, self.slots = nn.Linear(16, make.CLASSES), nn.Linear(16, make.CLASSES)

    def forward(self, input_ids, attention_mask, intent_labels, slot_labels) -> ModelOutput:
        hidden = self.bert(input_ids, attention_mask=attention_mask).last_hidden_state
        intent_logits, slot_logits = self.intents(hidden[:, 0]), self.slots(hidden)
        loss = nn.functional.cross_entropy(intent_logits, intent_labels)
        loss = loss + nn.functional.cross_entropy(slot_logits.flatten(0, 1), slot_labels.flatten())
        return ModelOutput(loss=loss, intent_logits=intent_logits, slot_logits=slot_logits)


def joint_trainer(tmp_path: Path) -> Trainer:
    rows = make.token_rows("bert").rename_column("labels", "slot_labels")
    rows = rows.add_column("intent_labels", make.sequence_rows("bert")["label"])

    def collate(items: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        width = max(len(item["input_ids"]) for item in items)
        fill = {"input_ids": 0, "attention_mask": 0, "slot_labels": -100}
        padded = {
            name: torch.tensor([item[name] + [value] * (width - len(item[name])) for item in items])
            for name, value in fill.items()
        }
        return {**padded, "intent_labels": torch.tensor([item["intent_labels"] for item in items])}

    trainer = make.trainer_of(
        IntentAndSlots(), rows, tmp_path, label_names=["intent_labels", "slot_labels"], num_train_epochs=2
    )
    trainer.data_collator = collate
    return trainer


def test_a_joint_model_of_intent_and_slots_takes_a_score_of_its_own(tmp_path):
    trainer = joint_trainer(tmp_path)
    heads = joint([("intent_logits", "intent_labels"), ("slot_logits", "slot_labels")])
    told: dict[int, float] = {}

    def both(step: Any) -> torch.Tensor:
        found = heads(step)
        for i, row in enumerate(step.rows.tolist()):
            intent = torch.softmax(step.output.intent_logits[i].detach(), 0)
            intent[step.inputs["intent_labels"][i]] -= 1
            slots = []
            for position, label in enumerate(step.inputs["slot_labels"][i].tolist()):
                if label != -100:
                    error = torch.softmax(step.output.slot_logits[i, position].detach(), 0)
                    error[label] -= 1
                    slots.append(error.norm().item())
            told[row] = (intent.norm().item() + np.mean(slots)) / 2
            assert found[i].item() == pytest.approx(told[row], abs=1e-5)
        return found

    diet = th.prune_while_training(trainer, "data-diet", score=both, options={"prune": 0.5})
    seen = batches_of(trainer)
    trainer.train()
    assert len({row for epoch, rows in seen if epoch == 1 for row in rows}) == round(make.ROWS / 2)
    assert diet.facts()["epochs"][1]["rows"] == round(make.ROWS / 2)


def test_infobatch_refuses_a_model_with_several_heads_before_a_weight_has_changed(tmp_path):
    trainer = joint_trainer(tmp_path)
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    th.prune_while_training(trainer, "infobatch", score=lambda step: step.named("intent_logits").sum(1))
    with pytest.raises(th.UserError, match="last linear layer"):
        trainer.train()
    assert all(torch.equal(before[name], value) for name, value in trainer.model.state_dict().items())


def test_a_recorded_diet_has_each_rows_own_gradient(tmp_path):
    trainer = make.trainer_of(make.sequence_model("bert"), make.sequence_rows("bert"), tmp_path / "t")
    run = th.watch(trainer, tmp_path / "run")
    th.prune_while_training(trainer, "infobatch", options={"r": 0.7, "full": 0.0})
    noted = make.note_steps(trainer)
    trainer.train()
    assert min(map(len, noted.values())) < 3
    signals, _ = make.signals_of(run)
    for row, visits in noted.items():
        line = signals.row(row, named=True)
        assert line["correct"] == [visit["correct"] for visit in visits]
        squares = np.mean([(visit["gradient"] ** 2).sum() for visit in visits])
        assert line["gradient_sq_mean"] == pytest.approx(squares, rel=2e-3, abs=1e-6)
        last = visits[-1]
        assert line["loss"][-1] == pytest.approx(last["loss"], rel=2e-3, abs=1e-4)
        assert line["classifier_sq_norm"][-1] == pytest.approx(last["classifier_sq_norm"], rel=5e-3, abs=1e-4)
    assert "vog_online" in th.score(run).columns


@pytest.mark.parametrize(
    ("method", "more", "said"),
    [
        ("infobatch", {"score": "entropy"}, "unknown score 'entropy'"),
        ("infobatch", {"options": {"rr": 2}}, "rr"),
        ("infobatch", {"options": {"r": 2}}, "r is 2"),
        ("none", {}, "unknown diet 'none'"),
    ],
)
def test_a_wrong_diet_is_refused_before_the_training_starts(method, more, said, tmp_path):
    trainer = make.trainer_of(make.sequence_model("bert"), make.sequence_rows("bert"), tmp_path)
    step = trainer.training_step
    with pytest.raises(th.UserError, match=said):
        th.prune_while_training(trainer, method, **more)
    assert trainer.training_step == step


@pytest.mark.parametrize("setting", ["batch_rebalance", "drop_last"])
def test_a_trainer_that_chooses_rows_by_itself_is_refused(setting, tmp_path):
    arguments = {"dataloader_drop_last": True} if setting == "drop_last" else make.sampling(setting)
    trainer = make.trainer_of(make.sequence_model("bert"), make.sequence_rows("bert"), tmp_path, **arguments)
    with pytest.raises(th.UserError, match=setting):
        th.prune_while_training(trainer)

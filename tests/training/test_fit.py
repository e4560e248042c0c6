"""Training: recipe, checkpoints, whole-set evaluations, and a resume that changes nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from transformers import TrainingArguments

from thresher.config import ModelConfig, TrainConfig
from thresher.errors import UserError
from thresher.models.tokens import pad_batch, tokenise
from thresher.run import Training
from thresher.training.checkpoints import checkpoint_table
from thresher.training.fit import fit
from thresher.training.order import LengthGroupedOrder
from thresher.training.predict import predict_logits
from thresher.training.recipe import bf16_pays, steps_of, trains_in_bf16
from thresher.training.record import Record
from thresher.training.saved_steps import checkpoint_steps, evaluation_steps
from thresher.training.train import new_classifier
from thresher.training.vocabulary import trimmed_vocabulary
from tiny import WORDS, tiny_model

RECIPE = TrainConfig(
    epochs=3, batch_size=8, checkpoints=4, forgetting_evaluations=3, encoder_lr=1e-3, head_lr=1e-2
)
ROWS = 44


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory) -> Path:
    return tiny_model("bert", tmp_path_factory.mktemp("bert"))


def trained(model_folder: Path, out: Path, recipe: TrainConfig = RECIPE, seed: int = 0):
    random = np.random.default_rng(5)
    labels = random.integers(0, 3, ROWS)
    texts = [" ".join([WORDS[label], *random.choice(WORDS, random.integers(1, 9))]) for label in labels]
    model, tokenizer = new_classifier(ModelConfig(name=str(model_folder)), 3, seed)
    tokens = tokenise([texts], tokenizer, 32)
    ids = pl.Series("id", [str(i) for i in range(ROWS)])
    fit(model, tokens, labels, recipe, seed, out / "state", Record(out / "run-0", out / "evaluations", ids))
    return model, tokens, labels


def test_checkpoints_are_evenly_spaced_and_record_their_learning_rates(model_folder, tmp_path):
    trained(model_folder, tmp_path)
    total = steps_of(RECIPE, ROWS)
    assert total == 18  # 3 epochs of 6 batches, the last of 4 rows
    table = checkpoint_table(tmp_path / "run-0", hidden=16)
    assert table["step"].to_list() == checkpoint_steps(RECIPE, total) == [4, 9, 14, 18]
    assert table["epoch"].to_list() == pytest.approx([step / 6 for step in (4, 9, 14, 18)])
    warm = round(RECIPE.warmup * total + 0.49)
    for step, encoder_lr, head_lr in table.select("step", "encoder_lr", "head_lr").rows():
        # The step numbered s is taken with what the schedule gives after s - 1 steps.
        share = (total - (step - 1)) / (total - warm)
        assert encoder_lr == pytest.approx(RECIPE.encoder_lr * share)
        assert head_lr == pytest.approx(RECIPE.head_lr * share)


def test_whole_set_evaluations_are_in_eval_mode_on_every_row(model_folder, tmp_path):
    model, tokens, labels = trained(
        model_folder, tmp_path, RECIPE.model_copy(update={"forgetting_every": 9, "forgetting_epochs": 3})
    )
    found = pl.read_parquet(tmp_path / "evaluations" / "step-00000009.parquet")
    weights = load_file(tmp_path / "run-0" / "step-00000009" / "model.safetensors")
    model.load_state_dict(weights)
    model.eval()
    for row in range(ROWS):
        with torch.no_grad():
            predicted = model(**pad_batch(tokens, [row])).logits.argmax().item()
        assert found["correct"][row] == (predicted == labels[row])
    assert found["id"].to_list() == [str(i) for i in range(ROWS)]


def test_the_same_seed_gives_the_same_weights_and_another_seed_different_ones(model_folder, tmp_path):
    first, again, other = (
        torch.cat(
            [p.detach().ravel() for p in trained(model_folder, tmp_path / name, seed=seed)[0].parameters()]
        )
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_evaluations_do_not_change_the_training(model_folder, tmp_path):
    watched, tokens, labels = trained(model_folder, tmp_path)
    plain, _ = new_classifier(ModelConfig(name=str(model_folder)), 3, 0)
    fit(plain, tokens, labels, RECIPE, 0, tmp_path / "plain")
    assert all(torch.equal(a, b) for a, b in zip(watched.parameters(), plain.parameters(), strict=True))


def test_a_killed_training_ends_with_the_same_weights(model_folder, tmp_path):
    trained(model_folder, tmp_path / "whole")
    script = textwrap.dedent(
        f"""
        import os, signal, sys
        sys.path[:0] = [{str(Path(__file__).parent)!r}, {str(Path(__file__).parents[1])!r}]
        import test_fit
        from pathlib import Path
        from thresher.training import record
        save = record.save_weights
        def kill_after(folder, weights, facts):
            save(folder, weights, facts)
            if facts["step"] == int(sys.argv[1]):
                os.kill(os.getpid(), signal.SIGKILL)
        record.save_weights = kill_after
        test_fit.trained(Path({str(model_folder)!r}), Path({str(tmp_path / "cut")!r}))
        """
    )
    for step in (4, 14):  # before anything could be resumed from, and in the middle of an epoch
        killed = subprocess.run([sys.executable, "-c", script, str(step)], capture_output=True, check=False)
        assert killed.returncode == -9, killed.stderr.decode()
    trained(model_folder, tmp_path / "cut")
    for path in sorted((tmp_path / "whole" / "run-0").glob("step-*")):
        there = tmp_path / "cut" / "run-0" / path.name
        assert (path / "model.safetensors").read_bytes() == (there / "model.safetensors").read_bytes()
        assert json.loads((path / "checkpoint.json").read_text()) == json.loads(
            (there / "checkpoint.json").read_text()
        )


def test_dropout_is_on_in_training_and_off_in_prediction(model_folder, tmp_path):
    model, tokens, _ = trained(model_folder, tmp_path)
    model.train()
    first, second = predict_logits(model, tokens), predict_logits(model, tokens)
    assert np.array_equal(first, second)
    assert model.training


@pytest.mark.parametrize(
    ("capabilities", "pays"),
    [
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": True}, True),
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": False}, False),
        ({"cpu_name": "AMD EPYC", "avx512_bf16": True, "amx_bf16": False}, True),
        ({"cpu_name": "AMD EPYC", "avx512_bf16": False}, False),
        ({}, False),
    ],
)
def test_bfloat16_is_for_processors_that_are_faster_in_it(capabilities, pays, processor):
    assert bf16_pays(capabilities) == pays
    processor(**capabilities)
    assert trains_in_bf16(RECIPE) == pays
    assert trains_in_bf16(RECIPE.model_copy(update={"bf16": True}))


def test_what_is_trained_in_bfloat16_is_measured_in_float32(model_folder, tmp_path, monkeypatch):
    from thresher.training import record as recording

    noted = []

    def note(model, tokens):
        found = predict_logits(model, tokens)
        noted.append((found, {name: value.clone() for name, value in model.state_dict().items()}))
        return found

    monkeypatch.setattr(recording, "predict_logits", note)
    model, tokens, _ = trained(model_folder, tmp_path, RECIPE.model_copy(update={"bf16": True}))
    assert len(noted) == 3
    fresh, _ = new_classifier(ModelConfig(name=str(model_folder)), 3, 0)
    for found, weights in noted:
        with trimmed_vocabulary(fresh, tokens, weight_decay=0) as (fewer, _):
            fresh.load_state_dict(weights)
            assert np.array_equal(found, predict_logits(fresh, fewer))
    fresh.load_state_dict(model.state_dict())
    assert np.array_equal(predict_logits(model, tokens), predict_logits(fresh, tokens))
    rows = pad_batch(tokens, [0])
    with torch.no_grad():
        assert torch.equal(model.eval()(**rows).logits, fresh.eval()(**rows).logits)


def test_a_machine_with_several_gpus_trains_the_same_recipe(model_folder, tmp_path, monkeypatch):
    alone, _, _ = trained(model_folder, tmp_path / "alone")
    set_up = TrainingArguments.__post_init__

    def with_four(arguments):
        set_up(arguments)
        arguments._n_gpu = 4

    monkeypatch.setattr(TrainingArguments, "__post_init__", with_four)
    among, _, _ = trained(model_folder, tmp_path / "among")
    assert all(torch.equal(a, b) for a, b in zip(alone.parameters(), among.parameters(), strict=True))


@pytest.mark.parametrize(("asked", "kept"), [({"checkpoints": 4}, 4), ({"checkpoint_every": 2}, 9)])
def test_the_disk_must_hold_the_checkpoints_that_will_be_written(asked, kept, monkeypatch):
    from thresher.training import train as training

    run = SimpleNamespace(manifest=SimpleNamespace(n_rows=ROWS))
    left = [Training("run", 0), Training("null", 0)]
    parameters, state = 1000, 6  # Trainer's own state, twice: weights and two moments of them

    def check(free: int) -> None:
        usage = SimpleNamespace(free=4 * parameters * free)
        monkeypatch.setattr(training.shutil, "disk_usage", lambda run: usage)
        training.check_disk(run, parameters, RECIPE.model_copy(update=asked), left)

    need = kept + 1 + 2 * state  # of the model on empty input only the last weights stay
    check(need)
    with pytest.raises(UserError, match="fewer checkpoints"):
        check(need - 1)


@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=200),
    st.integers(1, 9),
    st.integers(0, 5),
    st.integers(0, 3),
)
def test_the_order_visits_every_row_once_and_depends_on_seed_and_epoch_alone(
    lengths, batch_size, seed, epoch
):
    def order() -> list[int]:
        sampler = LengthGroupedOrder(np.array(lengths), batch_size, seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert order() == order()
    assert sorted(order()) == list(range(len(lengths)))


def test_rows_of_a_batch_are_of_similar_length():
    lengths = np.random.default_rng(0).integers(1, 100, 4000)
    rows = np.array(list(LengthGroupedOrder(lengths, 20, 0)))
    spread = np.ptp(lengths[rows].reshape(-1, 20), axis=1).mean()
    assert spread < 5 < np.ptp(lengths.reshape(-1, 20), axis=1).mean()
    epochs = LengthGroupedOrder(lengths, 20, 0)
    epochs.set_epoch(1)
    assert not np.array_equal(rows, list(epochs))


@given(st.integers(2, 20), st.integers(1, 5000))
def test_checkpoint_steps_end_with_the_last_step(count, total):
    steps = checkpoint_steps(TrainConfig(checkpoints=count), total)
    assert steps[-1] == total
    assert len(steps) == min(count, total) or total < 2 * count
    assert all(a < b for a, b in pairwise(steps))


def test_the_papers_cadence_is_every_50_steps_of_two_epochs():
    paper = TrainConfig(forgetting_every=50, forgetting_epochs=2, epochs=10)
    assert evaluation_steps(paper, total=1160, steps_per_epoch=116) == [50, 100, 150, 200]

"""Cross-validation: which model trains on which rows; held-out logits come from models that did not train on the row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import thresher as th
from thresher.errors import UserError
from thresher.models.tokens import tokenise
from thresher.rows import read_rows
from thresher.run import FIRST, Run, Training
from thresher.signals.measure import read_signals
from thresher.training.features import run_features
from thresher.training.fit import fit
from thresher.training.folds import fold_trainings, left_out
from thresher.training.head import fit_heads, head_logits
from thresher.training.predict import predict_logits
from thresher.training.recipe import steps_of
from thresher.training.train import new_classifier
from tiny import WORDS, tiny_model

ROWS = 31


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("folds")
    tiny_model("bert", folder / "tiny")
    random = np.random.default_rng(0)
    lines = [
        {"text": " ".join(random.choice(WORDS, 5)), "label": ["on", "off"][i % 3 == 0]} for i in range(ROWS)
    ]
    (folder / "train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def run_of(material: Path, out: Path, **settings: Any) -> Run:
    rows = th.load(material / "train.jsonl", text="text", label="label")
    recipe = {"epochs": 3, "batch_size": 8, "checkpoints": 3, "workers": 1, "threads": 1, "head_lr": 1e-2}
    return th.train(rows, out=out, model=str(material / "tiny"), **{**recipe, **settings})


@given(
    labels=st.lists(st.integers(0, 4), min_size=1, max_size=60),
    folds=st.integers(2, 7),
    repeat=st.integers(0, 3),
    seed=st.integers(0, 5),
)
def test_every_row_is_left_out_once_and_classes_and_sizes_are_even(labels, folds, repeat, seed):
    ids, label = pl.Series([f"row-{i}" for i in range(len(labels))]), np.array(labels)
    out = np.stack([left_out(one, ids, label, folds, seed) for one in fold_trainings(repeat, folds)])
    assert (out.sum(0) == 1).all()
    assert np.ptp(out.sum(1)) <= 1
    assert all(np.ptp(out[:, label == one].sum(1)) <= 1 for one in set(labels))


@given(order=st.permutations(range(20)), seed=st.integers(0, 5))
def test_the_folds_do_not_depend_on_the_order_of_the_rows(order, seed):
    ids, label = pl.Series([f"row-{i}" for i in range(20)]), np.arange(20) % 3
    for one in fold_trainings(0, 4):
        there = left_out(one, ids, label, 4, seed)
        moved = left_out(one, ids.gather(order), label[order], 4, seed)
        assert (moved == there[order]).all()


def test_repeats_and_seeds_give_other_folds():
    ids, label = pl.Series([f"row-{i}" for i in range(60)]), np.arange(60) % 2
    parts = [left_out(Training("fold", fold), ids, label, 5, seed) for fold, seed in ((0, 0), (5, 0), (0, 1))]
    assert not any((one == other).all() for one, other in zip(parts, parts[1:] + parts[:1], strict=True))


def test_logits_of_a_frozen_encoder_are_those_of_a_head_on_the_other_rows(material, tmp_path):
    run = run_of(material, tmp_path / "RUN", freeze=True, runs=2, folds=3)
    th.measure(run)
    rows, features = read_rows(run.rows_file), run_features(run)
    model, config = run.config.model, run.config.train
    steps = steps_of(config, ROWS)
    for repeat in (0, 1):
        signals, _ = read_signals(run, Training("run", repeat))
        found = signals["held_out_logits"].to_numpy()
        for fold in fold_trainings(repeat, 3):
            out = left_out(fold, rows.table["id"], rows.labels(), 3, config.seed)
            seed = config.seed + fold.index
            state, taken = fit_heads(
                features,
                [rows.labels()],
                [np.flatnonzero(~out)],
                [seed],
                2,
                model,
                config.model_copy(update={"max_steps": steps}),
            )
            assert taken == steps
            np.testing.assert_allclose(
                found[out], head_logits(state[0], features.take(np.flatnonzero(out))), atol=1e-4
            )
    scores = th.score(run)
    margins = []
    for repeat in (0, 1):
        logits, label = (
            read_signals(run, Training("run", repeat))[0]["held_out_logits"].to_numpy(),
            rows.labels(),
        )
        margins.append(logits[np.arange(ROWS), label] - logits[np.arange(ROWS), 1 - label])
    np.testing.assert_allclose(scores["held_out_margin"], np.mean(margins, axis=0), rtol=1e-6)


def test_a_fine_tuned_model_is_trained_on_the_other_rows_for_as_many_steps(material, tmp_path):
    run = run_of(material, tmp_path / "RUN", folds=2)
    th.measure(run)
    rows = read_rows(run.rows_file)
    model_config, config = run.config.model, run.config.train
    found = read_signals(run, FIRST)[0]["held_out_logits"].to_numpy()
    for fold, seed in ((Training("fold", 0), config.seed), (Training("fold", 1), config.seed + 1)):
        out = left_out(fold, rows.table["id"], rows.labels(), 2, config.seed)
        model, tokenizer = new_classifier(model_config, 2, seed)
        tokens = tokenise([rows.table["text"].to_list()], tokenizer, model_config.max_length)
        kept = config.model_copy(update={"max_steps": steps_of(config, ROWS)})
        fit(model, tokens.take(np.flatnonzero(~out)), rows.labels()[~out], kept, seed, tmp_path / fold.name)
        np.testing.assert_allclose(
            found[out], predict_logits(model, tokens.take(np.flatnonzero(out))), atol=1e-5
        )
    assert not [path for fold in fold_trainings(0, 2) for path in run.checkpoints(fold).glob("step-*")]
    assert all((run.checkpoints(fold) / "done.json").is_file() for fold in fold_trainings(0, 2))


@pytest.mark.parametrize(("freeze", "folds"), [(True, 5), (False, 0)])
def test_by_default_a_frozen_encoder_is_cross_validated_and_a_fine_tuned_model_is_not(
    material, tmp_path, freeze, folds
):
    run = run_of(material, tmp_path / "RUN", freeze=freeze)
    th.measure(run)
    assert sum(training.kind == "fold" for training in run.trainings()) == folds
    assert ("held_out_margin" in th.score(run).columns) == bool(folds)


def test_lost_or_damaged_folds_are_retrained_to_the_same_values(material, tmp_path, capsys):
    run = run_of(material, tmp_path / "RUN", freeze=True)
    places = [path for fold in fold_trainings(0, 5) for path in run.evaluations(fold).glob("step-*.parquet")]
    before = {path: path.read_bytes() for path in places}
    assert len(before) == 5
    first, second, *_ = sorted(before)
    first.write_bytes(first.read_bytes()[:-9])
    (run.checkpoints(Training("fold", 1)) / "done.json").unlink()
    second.unlink()
    run.record_file("train").unlink()
    run_of(material, run.folder, freeze=True)
    assert f"{first}: damaged" in capsys.readouterr().err
    names = {path: pl.read_parquet(path)["id"].to_list() for path in before}
    for path, content in before.items():
        there = pl.read_parquet(path)
        assert there["id"].to_list() == names[path]
        then = pl.read_parquet(content)["held_out_logits"].to_numpy()
        np.testing.assert_allclose(there["held_out_logits"].to_numpy(), then, atol=1e-4)


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        (1, "folds is 1; give 2 or more, or 0 for no cross-validation"),
        (ROWS + 1, f"folds is {ROWS + 1}, but there are only {ROWS} rows; every fold needs a row"),
        (-1, "folds must be"),
        ("many", "folds must be"),
    ],
)
def test_an_impossible_number_of_folds_is_refused(material, tmp_path, folds, message):
    with pytest.raises(UserError, match=message):
        run_of(material, tmp_path / "RUN", folds=folds)
    assert not (tmp_path / "RUN").exists()

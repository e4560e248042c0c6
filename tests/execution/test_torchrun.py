"""Several processes of one training: the same batches, the same gradients, one writer, and a resume that changes nothing."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from thresher.run.lock import lock
from thresher.training.order import LengthGroupedOrder
from thresher.training.shared import SharedBatches, shared_loss, shares
from tiny import WORDS, tiny_model
from warm import Warm, warm_process

ROWS = 59  # 7 batches of 8, and 3 rows that two processes cannot share equally


@pytest.fixture(scope="module")
def rows_and_models(tmp_path_factory) -> Path:
    """A folder with rows, a model `tiny`, and `still`, the same one without dropout."""
    folder = tmp_path_factory.mktemp("material")
    draw = random.Random(3)
    lines = []
    for _ in range(ROWS):
        label = draw.randrange(3)
        lines.append(
            {
                "text": " ".join([WORDS[label], *draw.choices(WORDS, k=draw.randint(1, 8))]),
                "label": f"c{label}",
            }
        )
    (folder / "train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for name in ("tiny", "still"):
        tiny_model("bert", folder / name)
    config = json.loads((folder / "still" / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (folder / "still" / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def warm(tmp_path_factory) -> Iterator[Warm]:
    with warm_process(tmp_path_factory.mktemp("warm")) as started:
        yield started


def training(folder: Path, model: str, out: Path) -> list[object]:
    columns = ["--text", "text", "--label", "label", "--model", folder / model, "--set", "model.dropout=0"]
    recipe = [
        "--epochs",
        2,
        "--batch-size",
        8,
        "--checkpoints",
        4,
        "--threads",
        1,
        "--set",
        "train.bf16=false",
    ]
    return ["train", folder / "train.jsonl", *columns, *recipe, "--out", out]


def left(run: Path, name: str = "run-0") -> dict[str, bytes]:
    """The checkpoints and evaluations of a training."""
    train = run / ".thresher/train"
    files = [*train.glob(f"checkpoints/{name}/step-*/*"), *train.glob(f"evaluations/{name}/*")]
    return {str(path.relative_to(run)): path.read_bytes() for path in files}


def apart(one: Path, two: Path) -> dict[str, float]:
    """How far the weights of two files are from each other, where they are."""
    if one.suffix != ".safetensors":
        return {}
    mine, theirs = load_file(one), load_file(two)
    far = {name: float((mine[name] - theirs[name]).abs().max()) for name in mine}
    return {name: value for name, value in far.items() if value}


@given(st.lists(st.integers(0, 99), min_size=1, max_size=24), st.sampled_from([1, 2, 3, 4]))
def test_the_average_over_processes_is_the_mean_over_the_batch(rows, world):
    batch_size = 24
    gradient = np.random.default_rng(0).normal(size=100)  # of the loss of every row
    dealt = shares(rows, batch_size, world)
    assert {len(share) for share in dealt} == {batch_size // world}
    average = np.mean([sum(weight * gradient[row] for row, weight in share) for share in dealt])
    assert average == pytest.approx(np.mean(gradient[rows]))


@given(st.integers(1, 60), st.sampled_from([(4, 2), (6, 3), (8, 4)]), st.integers(0, 3))
def test_the_shares_of_every_step_are_one_batch_of_the_order(n, sizes, epoch):
    batch_size, world = sizes
    lengths = np.random.default_rng(n).integers(1, 30, n)
    order = LengthGroupedOrder(lengths, batch_size, seed=1)
    order.set_epoch(epoch)
    rows = list(order)
    dealt = [
        SharedBatches(LengthGroupedOrder(lengths, batch_size, 1), rank, world, epoch) for rank in range(world)
    ]
    for start, step in zip(range(0, n, batch_size), zip(*dealt, strict=True), strict=True):
        counted = [row for share in step for row, weight in share if weight > 0]
        assert sorted(counted) == sorted(rows[start : start + batch_size])
    again = list(dealt[0])  # of the next epoch
    order.set_epoch(epoch + 1)
    assert len(again) == len(dealt[0]) and again[0][0][0] == next(iter(order))


def test_a_padding_row_of_a_share_adds_nothing_to_the_loss():
    class Fixed(torch.nn.Module):
        def forward(self, logits):
            return type("Outputs", (), {"logits": logits})

    logits, labels = torch.randn(3, 4), torch.tensor([0, 1, 2])
    loss, _ = shared_loss(
        Fixed(), {"logits": logits, "labels": labels, "weights": torch.tensor([0.5, 0.5, 0.0])}
    )
    assert loss.item() == pytest.approx(torch.nn.functional.cross_entropy(logits[:2], labels[:2]).item())


@pytest.mark.slow
def test_torchrun_trains_as_one_process(rows_and_models, warm, tmp_path):
    """Without dropout the gradients differ by the order of summation; the step is Adam's, which magnifies the smallest."""
    alone, shared = tmp_path / "R-alone", tmp_path / "R-shared"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, "-m", "thresher", *map(str, training(rows_and_models, "still", shared))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"trained; next: thresher measure {shared}\n"
    assert [line.split(",")[0] for line in done.stderr.splitlines() if line.startswith("train")] == [
        "train: 16 steps"
    ]
    assert warm(*training(rows_and_models, "still", alone), run=alone).code == 0
    for name in ("run-0", "null-0"):
        assert left(alone, name).keys() == left(shared, name).keys()
    for path in alone.glob(".thresher/train/evaluations/run-0/*"):
        one, two = (pl.read_parquet(run / path.relative_to(alone)) for run in (alone, shared))
        assert one["id"].equals(two["id"]) and two.height == ROWS
    signals = []
    for run in (alone, shared):
        assert warm("measure", run, "--workers", 1, run=run).code == 0
        assert warm("score", run, run=run).code == 0
        assert pl.read_parquet(run / ".thresher/score/scores.parquet").height == ROWS
        assert (
            not pl.read_parquet(run / ".thresher/score/scores.parquet")
            .select(pl.col(pl.Float64).is_null().any())
            .row(0)
            .count(True)
        )
        signals.append(
            pl.read_parquet(run / ".thresher/measure/run-0/part-00000.parquet")["logits"].to_numpy()
        )
    assert np.allclose(*signals, rtol=1e-4, atol=1e-3)
    assert not np.allclose(signals[0][:, 0], signals[0][:, 1], atol=0.05)  # steps move the logits by far more
    for path in alone.glob(".thresher/train/checkpoints/run-0/*/checkpoint.json"):
        one, two = (json.loads((run / path.relative_to(alone)).read_text()) for run in (alone, shared))
        facts = ("step", "epoch", "encoder_lr", "head_lr")
        assert [one[fact] for fact in facts] == [two[fact] for fact in facts]


@pytest.mark.slow
@pytest.mark.safety
def test_a_killed_shared_training_ends_with_the_same_bytes(rows_and_models, warm, tmp_path):
    """With dropout, either process killed, whatever they were doing."""
    whole, cut = tmp_path / "R-whole", tmp_path / "R-cut"
    undisturbed = warm(*training(rows_and_models, "tiny", whole), run=whole, processes=2)
    assert undisturbed.code == 0, undisturbed.err
    assert undisturbed.err.count("train: ") == 1
    draw, stopped = random.Random(7), []
    for victim, moment in (
        (0, {"at_change": draw.randint(40, undisturbed.changes // 2)}),
        (1, {"after": undisturbed.seconds * draw.uniform(0.3, 0.5)}),
    ):
        attempt = warm(*training(rows_and_models, "tiny", cut), run=cut, processes=2, victim=victim, **moment)
        assert attempt.killed and attempt.orphans == 0, attempt
        stopped.append(sorted(str(path.relative_to(cut)) for path in cut.glob(".thresher/train/*/*-0/*")))
    if list(cut.glob(".thresher/train/progress/*/checkpoint-*/thresher-complete.json")):
        refused = warm(*training(rows_and_models, "tiny", cut), run=cut)
        assert refused.code == 2 and "torchrun --nproc-per-node 2" in refused.err, refused.err
    last = warm(*training(rows_and_models, "tiny", cut), run=cut, processes=2)
    assert last.code == 0, last.err
    for name in ("run-0", "null-0"):
        mine, theirs = left(cut, name), left(whole, name)
        assert sorted(mine) == sorted(theirs)
        other = [file for file in mine if mine[file] != theirs[file]]
        assert other == [], (stopped, [apart(cut / file, whole / file) for file in other])
    again = warm(*training(rows_and_models, "tiny", cut), run=cut, processes=2)
    assert again.code == 0 and again.err.count("already done") == 1


@pytest.mark.slow
def test_a_refusal_is_printed_once_and_nothing_is_written(rows_and_models, warm, tmp_path):
    out = tmp_path / "R"
    refusals = {
        "batch size 7 cannot be shared by 2 processes; give --batch-size 6 or 8": [
            *training(rows_and_models, "tiny", out),
            "--batch-size",
            7,
        ],
        "no column 'nothing'": [*training(rows_and_models, "tiny", out), "--label", "nothing"],
        "torchrun is for `thresher train`": ["score", out],
    }
    for line, arguments in refusals.items():
        refused = warm(*arguments, run=out, processes=2)
        assert refused.code == 2 and refused.err.count("error:") == 1 and line in refused.err, refused.err
        assert not out.exists()
    with lock(out):
        held = warm(*training(rows_and_models, "tiny", out), run=out, processes=2)
    assert held.code == 2 and held.err.count("error:") == 1 and "another thresher process" in held.err

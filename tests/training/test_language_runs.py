"""Fine-tuning on completions: the loss is that of the completion tokens, and a killed training ends with the same weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from transformers import TrainerCallback

from thresher.config import GenerateConfig, TrainConfig
from thresher.errors import UserError
from thresher.models.completions import Completions, tokenise_completions
from thresher.models.language_model import adapted, trained_weights
from thresher.recording.table import read_recording
from thresher.rows import load_texts
from thresher.run.layout import Layout
from thresher.training import sft
from thresher.training.order import LengthGroupedOrder
from thresher.training.sft import fit_completions
from tiny_language import language_model, pairs, tokenizer

RECIPE = TrainConfig(epochs=2, batch_size=4, checkpoints=2, bf16=False, warmup=0, schedule="constant")


def tokens() -> Completions:
    prompts, completions = pairs()
    rows = load_texts(pl.DataFrame({"prompt": prompts, "completion": completions}))
    return tokenise_completions(rows, tokenizer(), 64, "plain")


@pytest.fixture(params=[0, 2], ids=["whole", "lora"])
def generate(request: pytest.FixtureRequest) -> GenerateConfig:
    if request.param:
        pytest.importorskip("peft")
    return GenerateConfig(lora=request.param, lr=1e-2)


@pytest.mark.parametrize("at_a_time", [4, 1])
def test_it_is_the_plain_loop_over_completion_tokens(
    tmp_path: Path, generate: GenerateConfig, at_a_time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AdamW on the mean cross-entropy of the completion tokens of a batch, one row at a time and without padding.

    Where the logits of a batch do not fit, its rows go through the model in parts, which changes nothing.
    """
    monkeypatch.setattr(sft, "LOGITS", sft.LOGITS if at_a_time == 4 else 1)
    rows, model = tokens(), adapted(language_model("qwen2"), generate, 0)
    steps = fit_completions(model, rows, RECIPE, generate, 5, tmp_path / "a")
    plain = adapted(language_model("qwen2"), generate, 0)
    weights = [one for one in plain.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=generate.lr, weight_decay=0)
    order = LengthGroupedOrder(rows.lengths, RECIPE.batch_size, 5)
    done = 0
    for epoch in range(2):
        order.set_epoch(epoch)
        visited = list(order)
        for start in range(0, len(visited), RECIPE.batch_size):
            batch = visited[start : start + RECIPE.batch_size]
            total = sum(loss_of(plain, rows, row) for row in batch)
            (total / sum(len(rows.completions[row]) for row in batch)).backward()  # type: ignore[union-attr]
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            done += 1
    assert steps == done == 6
    for name, one in trained_weights(model).items():
        torch.testing.assert_close(one, trained_weights(plain)[name], rtol=2e-3, atol=2e-4)


def loss_of(model: Any, rows: Completions, row: int) -> torch.Tensor:
    """The sum of -log p over the completion tokens of one row."""
    ids = torch.tensor([[*rows.prompts[row], *rows.completions[row]]])
    logits = model(input_ids=ids).logits[0].log_softmax(-1)
    start = len(rows.prompts[row])
    found = [-logits[start + i - 1, token] for i, token in enumerate(rows.completions[row].tolist())]
    return torch.stack(found).sum()


def test_what_is_recorded_is_what_the_model_gave(tmp_path: Path, generate: GenerateConfig) -> None:
    """With a rate of 0 nothing is learned, so every epoch records the loss of the model as it is."""
    rows, still = tokens(), generate.model_copy(update={"lr": 0.0})
    model = adapted(language_model("qwen2"), still, 0)
    layout = Layout(tmp_path / "RUN")
    fit_completions(
        model, rows, RECIPE, still, 5, tmp_path / "p", (layout.folder, lambda step: tmp_path / f"step-{step}")
    )
    recording = read_recording(layout.recording, 0)
    numbers, labels = recording.labelled_rows(len(rows), lambda row: -1)
    ids = pl.Series([str(n) for n in range(len(rows))])
    (part,) = recording.parts(ids, numbers, labels)
    model.eval()
    with torch.no_grad():
        wanted = [float(loss_of(model, rows, row)) / len(rows.completions[row]) for row in range(len(rows))]
    loss = part["loss"].to_numpy()
    assert loss.shape == (len(rows), 2)
    np.testing.assert_allclose(loss, np.repeat(np.array(wanted)[:, None], 2, 1), rtol=1e-5)


class Killed(Exception):
    pass


def test_a_killed_training_ends_with_the_same_weights(
    tmp_path: Path, generate: GenerateConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = tokens()

    def train(folder: Path) -> Any:
        model = adapted(language_model("qwen2"), generate, 0)
        places = (folder / "RUN", lambda step: folder / f"step-{step:08d}")
        fit_completions(model, rows, RECIPE, generate, 5, folder / "p", places)
        return model

    whole = train(tmp_path / "a")

    class Kill(TrainerCallback):
        def __init__(self, _: Path) -> None:
            pass

        def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            if state.global_step == 5:
                raise Killed

    monkeypatch.setattr(sft, "Progress", Kill)
    with pytest.raises(Killed):
        train(tmp_path / "b")
    monkeypatch.undo()
    again = train(tmp_path / "b")
    for name, one in trained_weights(again).items():
        torch.testing.assert_close(one, trained_weights(whole)[name], rtol=0, atol=0)
    records = [read_recording(Layout(tmp_path / at / "RUN").recording, 0).records.collect() for at in "ab"]
    assert records[0].sort("step", "row").equals(records[1].sort("step", "row"))


def test_a_full_disk_is_one_line(
    tmp_path: Path, generate: GenerateConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sft, "save_weights", full)
    with pytest.raises(UserError, match="the disk is full"):
        fit_completions(
            adapted(language_model("qwen2"), generate, 0),
            tokens(),
            RECIPE,
            generate,
            5,
            tmp_path / "p",
            (tmp_path / "RUN", lambda step: tmp_path / f"{step}"),
        )

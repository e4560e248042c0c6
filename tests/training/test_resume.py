"""The state that a killed training resumes from: only a complete one, with everything that was recorded before it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import thresher as th
from thresher.errors import UserError
from thresher.run import FIRST
from thresher.training.feature_files import VECTORS
from thresher.training.resume import mark_complete, resume_point, saved_states
from tiny import tiny_model


def state(folder: Path, step: int, whole: bool = True) -> Path:
    """A small state as Trainer saves it."""
    path = folder / f"checkpoint-{step}"
    path.mkdir(parents=True)
    for name in ("model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"):
        (path / name).write_bytes(f"{name} at {step}".encode())
    if whole:
        mark_complete(path, {"checkpoints": [step], "evaluations": []})
    return path


def test_the_newest_complete_state_is_used_and_the_others_are_removed(tmp_path):
    assert resume_point(tmp_path) is None
    for step in (9, 10, 30):
        state(tmp_path, step, whole=step != 30)
    assert resume_point(tmp_path) == str(tmp_path / "checkpoint-10")
    assert [path.name for path in saved_states(tmp_path)] == ["checkpoint-10"]


def test_two_states_are_kept_so_that_one_is_always_complete(tmp_path):
    for step in (4, 8, 12, 16):
        state(tmp_path, step)
    assert [path.name for path in saved_states(tmp_path)] == ["checkpoint-16", "checkpoint-12"]


@pytest.mark.parametrize("file", ["optimizer.pt", "rng_state.pth", "thresher-complete.json"])
@pytest.mark.parametrize("how", ["flipped", "cut", "gone"])
def test_a_damaged_state_is_not_used(tmp_path, file, how):
    state(tmp_path, 4)
    path = state(tmp_path, 8) / file
    content = path.read_bytes()
    path.write_bytes(content[:-3] if how == "cut" else bytes([content[0], content[1] ^ 1, *content[2:]]))
    if how == "gone":
        path.unlink()
    assert resume_point(tmp_path) == str(tmp_path / "checkpoint-4")


def test_a_state_saved_after_a_lost_file_is_not_used(tmp_path):
    for step in (4, 8):
        state(tmp_path, step)
    lost = [8]
    found = resume_point(tmp_path, usable=lambda recorded: recorded["checkpoints"] != lost)
    assert found == str(tmp_path / "checkpoint-4")
    assert resume_point(tmp_path, usable=lambda recorded: False) is None


def test_a_state_of_another_number_of_processes_is_refused_and_kept(tmp_path, monkeypatch):
    state(tmp_path, 4)
    for name, value in {"LOCAL_RANK": "0", "RANK": "0", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(
        UserError,
        match=r"was started with 1 process\(es\); resume without torchrun, or start over with --force",
    ):
        resume_point(tmp_path)
    state(tmp_path, 8)
    monkeypatch.delenv("LOCAL_RANK")
    with pytest.raises(UserError, match="torchrun --nproc-per-node 2 -m thresher train"):
        resume_point(tmp_path)
    assert len(saved_states(tmp_path)) == 2


@pytest.mark.parametrize("first", [True, False])
def test_a_run_resumed_on_another_processor_keeps_its_precision(tmp_path, processor, first):
    texts = [f"{('turn', 'play', 'call')[row % 3]} it {row}" for row in range(40)]
    rows = th.load(
        pl.DataFrame({"text": texts, "label": [row % 3 for row in range(40)]}), text="text", label="label"
    )
    model = str(tiny_model("bert", tmp_path / "tiny"))
    recipe = {"epochs": 1, "batch_size": 8, "checkpoints": 2, "forgetting_evaluations": 0, "threads": 1}

    def trained(with_tiles):
        processor(cpu_name="Intel Xeon", amx_bf16=with_tiles)
        return th.train(rows, out=tmp_path / "R", model=model, workers=1, **recipe)

    run = trained(first)
    weights = max(run.checkpoints(FIRST).glob("step-*")) / "model.safetensors"
    before = weights.read_bytes()
    weights.write_bytes(before[:-1])
    assert trained(not first).config.train.bf16 is first
    assert weights.read_bytes() == before


def test_a_proxy_reads_its_encoder_in_bfloat16_where_that_is_faster(tmp_path, processor):
    """It only orders rows. The precision is that of the machine that started the run; a head that is the model has float32."""
    texts = [f"{('turn', 'play', 'call')[row % 3]} it {row}" for row in range(60)]
    frame = pl.DataFrame({"text": texts, "label": [row % 3 for row in range(60)]})
    rows = th.load(frame, text="text", label="label")
    settings = {"model": str(tiny_model("bert", tmp_path / "tiny")), "workers": 1, "threads": 1}

    def encoded(out, tiles, **more):
        processor(cpu_name="Intel Xeon", amx_bf16=tiles)
        run = th.train(rows, out=tmp_path / out, **settings, **more)
        features = run.scoring.features_folder() / VECTORS
        return run.scoring.config.model.encode, features.read_bytes()

    fast, plain = encoded("FAST", True, proxy="frozen"), encoded("PLAIN", False, proxy="frozen")
    assert (fast[0], plain[0]) == ("bfloat16", "float32") and fast[1] != plain[1]
    assert encoded("FAST", False, proxy="frozen") == fast
    given = encoded("GIVEN", True, proxy="frozen", encode="float32")
    own = encoded("OWN", True, freeze=True)
    assert given == plain and own[0] == "auto"
    assert own[1] == plain[1]
    halves, whole = (np.lib.format.open_memmap(vectors_of(tmp_path / one), "r") for one in ("FAST", "PLAIN"))
    assert (halves.dtype, whole.dtype) == (np.float16, np.float32)
    np.testing.assert_allclose(halves, whole, rtol=0.05, atol=0.05)


def vectors_of(folder):
    return th.Run.open(folder).scoring.features_folder() / VECTORS

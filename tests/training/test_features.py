"""Features on disk: every row gets the vector of its text, mapped from a file, and equal texts are encoded once."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import polars as pl
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

import thresher as th
from thresher.config import ModelConfig
from thresher.errors import UserError
from thresher.models.encode import LoadedEncoder, encode
from thresher.models.feature_cache import VARIABLE, text_keys
from thresher.models.frozen import head_input
from thresher.run import Run
from thresher.training import features as features_module
from thresher.training.feature_files import (
    ROWS,
    VECTORS,
    check_features,
    forget_pages,
    read_features,
    vectors_column,
)
from thresher.training.features import Distinct, fill_vectors, write_features
from tiny import tiny_model


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@given(st.lists(st.sampled_from("abcdefgh"), max_size=40))
def test_the_different_texts_stand_in_the_order_in_which_they_occur(texts: list[str]):
    found = Distinct.of(text_keys(texts))
    assert [texts[at] for at in found.first] == list(dict.fromkeys(texts))
    for which, text in enumerate(dict.fromkeys(texts)):
        rows, given_as = found.rows_of([which])
        assert rows.tolist() == [at for at, one in enumerate(texts) if one == text]
        assert set(given_as.tolist()) == {0}
    rows, _ = found.rows_of(np.arange(len(found)))
    assert sorted(rows.tolist()) == list(range(len(texts)))


def pair_run(folder: Path, **settings) -> Run:
    texts = [f"{('turn', 'play', 'call')[row % 3]} it {row % 20}" for row in range(60)]
    frame = pl.DataFrame(
        {"text": texts, "other": texts[::-1], "label": [("a", "b", "c")[row % 3] for row in range(60)]}
    )
    rows = th.load(frame, text=["text", "other"], label="label")
    model = str(tiny_model("bert", folder.parent / "tiny"))
    recipe = {"epochs": 1, "batch_size": 8, "checkpoints": 2, "forgetting_evaluations": 0, "folds": 0}
    return th.train(rows, out=folder, model=model, freeze=True, workers=1, **recipe, **settings)


@pytest.mark.parametrize("encode_as", ["float32", "bfloat16"])
def test_every_row_has_the_vectors_of_its_texts_whatever_is_cached(tmp_path, monkeypatch, encode_as):
    monkeypatch.setattr(features_module, "SEGMENT", 7)
    run = pair_run(tmp_path / "RUN", encode=encode_as)
    table = pl.read_parquet(run.rows_file)
    encoder = LoadedEncoder(run.config.model)
    exact = encode_as == "float32"
    expected = head_input([encode(encoder, table[name].to_list())[0] for name in ("text", "other")])
    found = read_features(run.features_folder()).values
    assert found.dtype == (np.float32 if exact else np.float16) and isinstance(found, np.memmap)
    tolerance = {"rtol": 1e-4, "atol": 1e-5} if exact else {"rtol": 0.05, "atol": 0.05}
    np.testing.assert_allclose(found.astype(np.float32), expected, **tolerance)
    # From the cache they are the same ones, bit for bit.
    (run.features_folder() / VECTORS).unlink()
    monkeypatch.setattr(features_module, "encode_segment", None)
    write_features(run)
    np.testing.assert_array_equal(read_features(run.features_folder()).values, found)


def test_equal_texts_are_encoded_once(tmp_path, monkeypatch):
    asked: list[str] = []
    real = features_module.encode

    def counted(encoder, texts):
        asked.extend(texts)
        return real(encoder, texts)

    monkeypatch.setattr(features_module, "encode", counted)
    config = ModelConfig(name=str(tiny_model("bert", tmp_path / "tiny")))
    texts = pl.Series(["play", "stop", "play", "play jazz", "stop"])
    values, cut = np.empty((5, 1, LoadedEncoder(config).width), np.float32), np.zeros(5, bool)
    fill_vectors(config, [texts], values, cut, workers=1)
    assert asked == ["play", "stop", "play jazz"]
    np.testing.assert_array_equal(values[0], values[2])
    assert not np.array_equal(values[0], values[3])


def test_a_vector_that_half_precision_cannot_hold_is_its_largest_number(tmp_path, monkeypatch):
    config = ModelConfig(name=str(tiny_model("bert", tmp_path / "tiny")), encode="bfloat16")
    monkeypatch.setattr(
        features_module,
        "encode",
        lambda encoder, texts: (np.full((1, 3), 1e6, np.float32), np.zeros(1, bool)),
    )
    found, _ = features_module.encode_segment(config, LoadedEncoder(config).key, ["play"])
    assert found.tolist() == [[65504.0] * 3]


def test_rows_in_another_order_get_their_own_vectors(tmp_path):
    run = pair_run(tmp_path / "RUN")
    table = pl.read_parquet(run.features_folder() / ROWS)
    places = table.sample(fraction=1, shuffle=True, seed=1)["place"]
    column = vectors_column(run.features_folder(), places)
    np.testing.assert_array_equal(
        column.to_numpy(), read_features(run.features_folder()).values[places.to_numpy()]
    )


@pytest.mark.parametrize("name", [VECTORS, ROWS])
def test_damaged_features_are_named_and_made_again(tmp_path, name):
    run = pair_run(tmp_path / "RUN")
    path = run.features_folder() / name
    whole = path.read_bytes()
    path.write_bytes(whole[:-3] + b"abc")
    with pytest.raises(UserError, match=f"{name}: damaged .*; do this"):
        check_features(run.features_folder(), "do this")
    write_features(run)
    assert path.read_bytes() == whole


def test_a_disk_without_room_is_told_before_a_text_is_encoded(tmp_path, monkeypatch):
    run = pair_run(tmp_path / "RUN")
    before = (run.features_folder() / ROWS).read_bytes()
    (run.features_folder() / VECTORS).write_bytes(b"")

    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("thresher.training.feature_files.os.posix_fallocate", full)
    monkeypatch.setattr(features_module, "fill_vectors", None)
    with pytest.raises(UserError, match=r"features/rows: the disk is full"):
        write_features(run)
    assert (run.features_folder() / ROWS).read_bytes() == before
    assert [path.name for path in run.features_folder().parent.iterdir() if ".tmp" in path.name] == []


def test_pages_that_were_read_can_be_taken_out_of_the_process(tmp_path):
    np.save(tmp_path / "vectors.npy", np.ones((40_000, 200), np.float16))  # 15 MiB
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="c")
    process = psutil.Process()
    before = process.memory_info().rss
    assert mapped.sum(dtype=np.float64) == 8_000_000
    read = process.memory_info().rss
    forget_pages(mapped.reshape(-1, 2, 100)[:, :1])
    assert read - before > 10 << 20 and process.memory_info().rss - before < 5 << 20
    assert mapped[39_999, 199] == 1

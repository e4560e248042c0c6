"""The cache of features: entries are found, damaged ones are recomputed, and none are confused."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thresher.config import ModelConfig
from thresher.models.encode import LoadedEncoder, encode
from thresher.models.feature_cache import (
    VARIABLE,
    add_vectors,
    cache_folder,
    cached_vectors,
    text_key,
    text_keys,
)
from tiny import WORDS, tiny_model

WIDTH = 4


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def vectors(texts: list[str]) -> np.ndarray:
    return np.array([np.frombuffer(text_key(text)[:WIDTH], np.uint8) for text in texts], np.float32)


def add(encoder: str, texts: list[str]) -> None:
    cut = np.array([len(text) % 2 == 1 for text in texts])
    add_vectors(encoder, text_keys(texts), vectors(texts), cut)


class Found(NamedTuple):
    """For M texts: the vectors (M, H), whether the text was truncated (M,), and whether it was in the cache (M,)."""

    values: np.ndarray
    truncated: np.ndarray
    known: np.ndarray


def read(encoder: str, texts: list[str]) -> Found:
    found = Found(
        np.zeros((len(texts), WIDTH), np.float32), np.zeros(len(texts), bool), np.zeros(len(texts), bool)
    )
    for places, values, truncated in cached_vectors(encoder, text_keys(texts), WIDTH):
        found.values[places], found.truncated[places], found.known[places] = values, truncated, True
    return found


def test_what_was_added_is_found_and_nothing_else():
    add("one", ["play", "jazz", "stop"])
    add("one", ["what is it"])
    found = read("one", ["what is it", "new", "jazz"])
    assert found.known.tolist() == [True, False, True]
    assert np.array_equal(found.values[[0, 2]], vectors(["what is it", "jazz"]))
    assert found.truncated.tolist() == [False, False, False]
    assert read("one", ["abc"]).known.tolist() == [False]
    assert read("another", ["jazz"]).known.tolist() == [False]


@given(st.lists(st.text(), unique=True, min_size=1, max_size=30), st.integers(1, 7))
@settings(max_examples=15)
def test_any_texts_in_any_segments_come_back(texts: list[str], size: int):
    for start in range(0, len(texts), size):
        add("texts", texts[start : start + size])
    found = read("texts", texts[::-1])
    assert found.known.all()
    assert np.array_equal(found.values, vectors(texts[::-1]))
    assert found.truncated.tolist() == [len(text) % 2 == 1 for text in texts[::-1]]


def test_a_damaged_segment_is_named_removed_and_computed_again(
    cache: Path, capfd: pytest.CaptureFixture[str]
):
    texts = ["play", "jazz", "stop"]
    add("one", texts)
    add("one", ["sound"])
    path = max(cache.rglob("*.safetensors"), key=lambda one: one.stat().st_size)
    whole = path.read_bytes()
    random = np.random.default_rng(0)
    for place in random.integers(0, len(whole), 25):
        changed = bytearray(whole)
        changed[place] ^= 1 << int(random.integers(8))
        path.write_bytes(changed)
        found = read("one", texts)
        # Either the damage is noticed, or it is in padding that means nothing.
        assert not found.known.any() or np.array_equal(found.values, vectors(texts))
        assert read("one", ["sound"]).known.all()
        path.write_bytes(whole)
    path.write_bytes(whole[: len(whole) // 2])
    assert not read("one", texts).known.any()
    assert not path.exists()
    assert str(path) in capfd.readouterr().err
    add("one", texts)
    assert read("one", texts).known.all()


def test_a_cache_that_cannot_be_written_does_not_stop_the_run(cache: Path, capfd: pytest.CaptureFixture[str]):
    cache.parent.mkdir(exist_ok=True)
    cache.write_text("a file where the folder should be")
    add("one", ["play"])
    assert VARIABLE in capfd.readouterr().err
    assert not read("one", ["play"]).known.any()


def test_the_cache_folder_is_the_users_or_the_configured_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "thresher"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "thresher"


def test_the_key_of_an_encoder_depends_on_its_content_not_its_name(tmp_path: Path):
    first = ModelConfig(name=str(tiny_model("bert", tmp_path / "a")))
    same = ModelConfig(name=str(tiny_model("bert", tmp_path / "b")))
    other = ModelConfig(name=str(tiny_model("bert", tmp_path / "c", seed=1)))
    key = LoadedEncoder(first).key
    assert LoadedEncoder(same).key == key
    changes = [{"max_length": 9}, {"pooling": "first"}, {"layers": 1}, {"encode": "bfloat16"}]
    others = [other, *(first.model_copy(update=change) for change in changes)]
    assert len({key, *(LoadedEncoder(config).key for config in others)}) == 6


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_a_vector_does_not_depend_on_its_batch(tmp_path: Path, kind: str):
    encoder = LoadedEncoder(ModelConfig(name=str(tiny_model(kind, tmp_path / kind)), max_length=12))
    random = np.random.default_rng(0)
    texts = [" ".join(random.choice(WORDS, n)) for n in (1, 30, 4, 9, 2, 4)]
    values, truncated = encode(encoder, texts)
    assert truncated.tolist() == [False, True, False, False, False, False]
    for at, text in enumerate(texts):
        np.testing.assert_allclose(encode(encoder, [text])[0][0], values[at], rtol=1e-4, atol=1e-5)


def test_bfloat16_gives_nearly_the_same_vectors_in_any_batch(tmp_path: Path):
    name = str(tiny_model("bert", tmp_path / "bert"))
    exact, fast = (LoadedEncoder(ModelConfig(name=name, encode=one)) for one in ("auto", "bfloat16"))
    random = np.random.default_rng(0)
    texts = [" ".join(random.choice(WORDS, n)) for n in (1, 30, 4, 9, 2, 4)]
    expected, values = encode(exact, texts)[0], encode(fast, texts)[0]
    assert values.dtype == np.float32 and not np.array_equal(values, expected)
    np.testing.assert_allclose(values, expected, rtol=0.05, atol=0.05)
    for at, text in enumerate(texts):
        np.testing.assert_allclose(encode(fast, [text])[0][0], values[at], rtol=0.02, atol=0.02)

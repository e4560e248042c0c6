"""Planted noise: which labels change, and how many errors scores find."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bare_run import bare_run
from thresher.config import NoiseConfig
from thresher.errors import UserError
from thresher.experiments import planted_noise
from thresher.experiments.noise import hits
from thresher.experiments.planted_noise import confusions, plant, refuse_idle, with_labels
from thresher.rows import Rows, load
from thresher.rows.noise import Noisy

ROWS = 6000
# No file of it is read: the signals come from `confused`.
RUN = bare_run(Path("RUN"), n_rows=ROWS, classes=("class 0", "class 1", "class 2"))


@pytest.fixture(scope="module")
def rows() -> Rows:
    draw = np.random.default_rng(0)
    frame = pl.DataFrame(
        {
            "text": [f"text {i}" for i in range(ROWS)],
            "label": [f"class {k}" for k in draw.integers(0, 3, ROWS)],
            "source": [f"source {k}" for k in draw.choice(4, ROWS, p=[0.4, 0.3, 0.2, 0.1])],
        }
    )
    return load(frame, text="text", label="label", groups=["source"])


@pytest.fixture
def confused(monkeypatch: pytest.MonkeyPatch, rows: Rows) -> np.ndarray:
    """A run whose model takes class 0 for 1, and 1 and 2 for each of the others equally."""
    wrong = np.array([[5.0, 4.0, -20.0], [1.0, 6.0, 1.0], [2.0, 2.0, 3.0]])
    logits = wrong[rows.labels()][:, None, :].astype(np.float32)
    signals = pl.DataFrame({"logits": logits})
    checkpoints = pl.DataFrame({"index": [0], "epoch": [2.0]})
    monkeypatch.setattr(planted_noise, "read_signals", lambda run, training: (signals, checkpoints))
    return np.array([[0, 1, 0], [0.5, 0, 0.5], [0.5, 0.5, 0]])


@pytest.mark.parametrize(("level", "realised"), [(0.05, 3.35), (0.1, 6.67), (0.15, 10.01), (0.3, 20.02)])
def test_isotropic_noise_changes_the_share_of_the_papers_table_4(rows, level, realised):
    found = plant(RUN, rows, "isotropic", level, NoiseConfig())
    spread = 100 * np.sqrt(level * (2 / 3) * (1 / 3) / ROWS)
    assert abs(100 * found.changed.mean() - realised) < 4 * spread


def test_class_noise_follows_the_errors_of_the_model(rows, confused):
    np.testing.assert_allclose(confusions(RUN, rows.labels(), 3), confused, atol=1e-6)
    found = plant(RUN, rows, "class", 0.2, NoiseConfig())
    assert found.changed.mean() == pytest.approx(0.2, abs=0.02)
    before = rows.labels()
    assert set(found.labels[(before == 0) & found.changed]) == {1}
    assert set(found.labels[(before == 2) & found.changed]) == {0, 1}


def test_group_noise_stays_in_half_of_the_rows_and_keeps_its_share(rows):
    found = plant(RUN, rows, "group", 0.15, NoiseConfig())
    sources = rows.table["source"].to_numpy()
    noisy = {name for name in set(sources) if found.changed[sources == name].any()}
    assert 0 < len(noisy) < 4
    assert found.changed.mean() == pytest.approx(0.15 * 2 / 3, abs=0.015)
    with pytest.raises(UserError, match="--group"):
        plant(RUN, Rows(**{**vars(rows), "groups": ()}), "group", 0.1, NoiseConfig())


def test_noisy_rows_keep_their_ids_and_texts(rows):
    found = plant(RUN, rows, "isotropic", 0.3, NoiseConfig())
    noisy = with_labels(rows, found.labels)
    assert noisy.table.select("id", "text", "source").equals(rows.table.select("id", "text", "source"))
    assert np.array_equal(noisy.labels() != rows.labels(), found.changed)


def test_hits_are_precision_and_recall():
    wrong = np.array([True, True, True, False, False, False])
    flagged = np.array([True, False, False, True, False, False])
    assert hits(flagged, wrong) == {"precision": 0.5, "recall": pytest.approx(1 / 3)}
    assert hits(np.zeros(6, bool), wrong) == {"precision": None, "recall": 0.0}


@pytest.mark.parametrize(
    ("n", "changed", "settings", "refused"),
    [
        (20, 1, {"fractions": (0.1, 0.9), "hard_fractions": (0.05,)}, None),
        (20, 20, {}, None),
        (20, 0, {}, "noise class 0.1 changes none of the 20 labels"),
        (
            10,
            1,
            {"hard_fractions": (0.5,)},
            "^noise compares scores by their hardest 5%, and that is no row of 10; train on more rows$",
        ),
        (11, 1, {"hard_fractions": (0.5,)}, None),
        (20, 1, {"fractions": (0.01, 0.02)}, "pruning 0.01, 0.02 of 20 rows takes away none; .* --fractions"),
        (20, 1, {"fractions": (0.98,)}, "pruning 0.98 of 20 rows leaves none; .* --fractions"),
        (20, 1, {"hard_fractions": (0.02,)}, "takes away none; give other --hard-fractions"),
    ],
)
def test_uninformative_noise_is_refused(n, changed, settings, refused):
    noisy = Noisy(np.zeros(n, np.int64), np.arange(n) < changed)
    planted = {("isotropic", 0.3): Noisy(noisy.labels, np.ones(n, bool)), ("class", 0.1): noisy}
    if refused is None:
        refuse_idle(planted, n, NoiseConfig(**settings))
        return
    with pytest.raises(UserError, match=refused):
        refuse_idle(planted, n, NoiseConfig(**settings))

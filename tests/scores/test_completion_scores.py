"""The scores of rows whose target is a text, each against a second implementation in loops."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from signals_tables import random_run
from test_five_scores import plain_probability

from thresher.recording.completion_signals import forgotten, packed
from thresher.scores.end_loss import end_loss
from thresher.scores.entropy import entropy
from thresher.scores.forgetting import forgetting
from thresher.scores.grand import grand
from thresher.scores.ifd import ifd
from thresher.scores.loss_sum import loss_sum
from thresher.scores.pvi import pvi
from thresher.scores.pvi_sum import pvi_sum
from thresher.scores.read import MissingSignal
from thresher.scores.token_accuracy import token_accuracy
from thresher.scores.tracin import tracin
from thresher.scores.vog import vog

# Of each row, at each of its visits, whether each of its tokens was right.
VISITS = st.integers(2, 5).flatmap(
    lambda visits: st.lists(
        st.integers(1, 19).flatmap(
            lambda tokens: st.lists(
                st.lists(st.booleans(), min_size=tokens, max_size=tokens), min_size=visits, max_size=visits
            )
        ),
        min_size=1,
        max_size=6,
    )
)


def recorded(rows: list[list[list[bool]]]) -> pl.DataFrame:
    """The signals of rows from their records, as bits of tokens in the order of row and time."""
    row = np.repeat(np.arange(len(rows)), len(rows[0]))
    number = np.array([len(visit) for visits in rows for visit in visits])
    widest = max(number)
    filled = np.array([visit + [False] * (widest - len(visit)) for visits in rows for visit in visits])
    events, never = forgotten(packed(filled, number).tolist(), number, row)
    return pl.DataFrame(
        {
            "correct": [[all(visit) for visit in visits] for visits in rows],
            "n_completion": [len(visits[0]) for visits in rows],
            "tokens_forgotten": np.bincount(row, events),
            "tokens_never_right": np.bincount(row, never),
        }
    )


def plain_forgetting(visits: list[list[bool]], never: int) -> float:
    """The mean over the tokens of how often each went from right to wrong, or of `never` for one that was never right."""
    of_tokens = []
    for token in range(len(visits[0])):
        right = [visit[token] for visit in visits]
        events = sum(before and not after for before, after in pairwise(right))
        of_tokens.append(events if any(right) else never)
    return sum(of_tokens) / len(of_tokens)


@given(rows=VISITS)
def test_forgetting_of_a_text_is_the_mean_over_its_tokens(rows):
    signals = recorded(rows)
    for option, never in (("max", len(rows[0]) + 1), ("zero", 0)):
        expected = [plain_forgetting(visits, never) for visits in rows]
        np.testing.assert_allclose(forgetting(signals, pl.DataFrame(), never=option), expected, rtol=1e-12)


def test_a_text_of_another_length_begins_anew():
    bits, number = [b"\xe0", b"\x00", b"\x80"], np.array([3, 2, 2])
    events, never = forgotten(bits, number, np.array([0, 0, 0]))
    assert (events.tolist(), never.tolist()) == ([0, 0, 0], [0, 0, 1])


def test_means_over_the_checkpoints_and_the_sum_over_the_tokens():
    signals, checkpoints, _ = random_run(5)
    for row, line in enumerate(signals.iter_rows(named=True)):
        losses = [-np.log(plain_probability(logits, line["label"])) for logits in line["logits"]]
        np.testing.assert_allclose(
            loss_sum(signals, checkpoints)[row], sum(losses) / len(losses) * line["n_completion"]
        )
        for score, column in ((entropy, "entropy"), (token_accuracy, "accuracy")):
            np.testing.assert_allclose(
                score(signals, checkpoints)[row], sum(line[column]) / len(line[column])
            )


def texts(rows: int = 6, checkpoints: int = 4) -> pl.DataFrame:
    """Signals of rows whose target is a text, as the measuring pass gives them."""
    rng = np.random.default_rng(3)
    return pl.DataFrame(
        {
            "id": [str(row) for row in range(rows)],
            "label": [0] * rows,
            "loss": rng.exponential(size=(rows, checkpoints)).astype(np.float32),
            "loss_prompted": rng.exponential(size=rows).astype(np.float32),
            "loss_alone": rng.exponential(size=rows).astype(np.float32),
            "end_loss": rng.exponential(size=rows).astype(np.float32),
            "n_completion": rng.integers(1, 9, rows).astype(np.int32),
            "adapter_sq_norm": rng.exponential(size=(rows, checkpoints)),
            "classifier_sq_norm": rng.exponential(size=(rows, checkpoints)),
        }
    )


def test_pvi_and_ifd_compare_one_model_with_and_without_the_prompt():
    signals, trained = texts(), pl.DataFrame({"index": [0, 1, 2, 3], "epoch": [1.0, 2.0, 3.0, 4.0]})
    for row, line in enumerate(signals.iter_rows(named=True)):
        given, alone = (
            np.exp(-loss) for loss in (line["loss_prompted"], line["loss_alone"])
        )  # mean probabilities
        bits = np.log2(given) - np.log2(alone)
        np.testing.assert_allclose(pvi(signals, trained)[row], bits, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(pvi_sum(signals, trained)[row], bits * line["n_completion"], rtol=1e-6)
        np.testing.assert_allclose(ifd(signals, trained)[row], line["loss_prompted"] / line["loss_alone"])
        np.testing.assert_allclose(ifd(signals, trained, ratio="perplexity")[row], alone / given, rtol=1e-6)
    assert pvi(signals, trained).rank().equals((-ifd(signals, trained, ratio="perplexity")).rank())


def test_end_loss_is_the_loss_of_the_last_token():
    assert end_loss(texts(), pl.DataFrame()).to_list() == texts()["end_loss"].to_list()
    with pytest.raises(MissingSignal, match="'end_loss' was not measured"):
        end_loss(texts().drop("end_loss"), pl.DataFrame())


@pytest.mark.parametrize("score", [pvi, pvi_sum, ifd])
@pytest.mark.parametrize("missing", ["loss_alone", "loss_prompted"])
def test_there_is_no_pvi_of_two_different_models(score, missing):
    with pytest.raises(MissingSignal, match="not measured without their prompts"):
        score(texts().drop(missing), pl.DataFrame())


def test_grand_and_tracin_of_a_mean_or_a_sum_of_tokens_and_of_a_layer():
    signals = texts()
    rates = {"encoder_lr": [0.4, 0.3, 0.2, 0.1], "head_lr": [4.0, 3.0, 2.0, 1.0]}
    trained = pl.DataFrame({"index": [0, 1, 2, 3], "epoch": [1.0, 2.0, 3.0, 4.0], **rates})
    for row, line in enumerate(signals.iter_rows(named=True)):
        n, adapter, head = line["n_completion"], line["adapter_sq_norm"], line["classifier_sq_norm"]
        assert grand(signals, trained)[row] == pytest.approx(adapter[0] ** 0.5)
        assert grand(signals, trained, tokens="sum")[row] == pytest.approx(n * adapter[0] ** 0.5)
        assert grand(signals, trained, layer="classifier")[row] == pytest.approx(head[0] ** 0.5)
        of_rates = sum(rate * norm for rate, norm in zip(rates["encoder_lr"], adapter, strict=True))
        assert tracin(signals, trained)[row] == pytest.approx(of_rates)
        assert tracin(signals, trained, tokens="sum")[row] == pytest.approx(n**2 * of_rates)
        of_head = sum(rate * norm for rate, norm in zip(rates["head_lr"], head, strict=True))
        assert tracin(signals, trained, layer="classifier")[row] == pytest.approx(of_head)


@pytest.mark.parametrize(("form", "spread"), [("variance", np.var), ("std", np.std)])
def test_vog_of_the_mean_of_the_tokens_logits(form, spread):
    signals, checkpoints, gradients = random_run(7)
    found = vog(signals, checkpoints, form=form, tokens="mean")
    for row, (number, of_sum) in enumerate(zip(signals["n_completion"], gradients, strict=True)):
        assert found[row] == pytest.approx(spread(of_sum / number, axis=0).sum())

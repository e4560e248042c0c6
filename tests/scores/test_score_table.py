"""The score table: every score the runs allow, averaged over runs, aligned by id; the others are reported."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from signals_tables import random_run, runs

import thresher.errors
import thresher.logits
import thresher.options
import thresher.registry
import thresher.scores
import thresher.wording
from thresher.errors import UserError
from thresher.scores import class_norm, dataset_norm, score, score_runs, score_table, scores


def other_run(seed: int, like: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A run over the same rows, with other signals."""
    signals, checkpoints, _ = random_run(seed, rows=like.height)
    return signals.with_columns(like["id"], like["label"]), checkpoints


def test_a_run_gives_every_score_raw_and_normalised():
    signals, checkpoints, _ = random_run(0)
    table, about = score_runs([(signals, checkpoints)])
    names = [f"{name}{form}" for name in scores() for form in ("", "_class", "_dataset")]
    names.insert(names.index("vog_online_dataset") + 1, "vog_online_rank")
    assert table.columns == ["id", "label", *names]
    assert set(table.select(names).dtypes) == {pl.Float64}
    assert table.select("id", "label").equals(signals.select("id", "label"))
    assert table.select(pl.col(names).is_finite().all()).row(0) == (True,) * len(names)
    assert about["skipped"] == {}
    for name, entry in scores().items():
        raw = entry.function(
            *((table, signals) if entry.reads == "scores" else (signals, checkpoints))
        ).to_numpy()
        assert (table[name].to_numpy() == raw).all()
        labels = signals["label"].to_numpy()
        assert (table[f"{name}_class"].to_numpy() == class_norm(raw, labels)).all()
        assert (table[f"{name}_dataset"].to_numpy() == dataset_norm(raw)).all()


@given(run=runs, size=st.integers(1, 20))
def test_scores_by_blocks_are_those_of_the_whole_table(run, size):
    signals, checkpoints, _ = run
    whole = score_table([(signals, checkpoints)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("thresher.scores.table.BLOCK_ROWS", size)
        assert_frame_equal(score_table([(signals, checkpoints)]), whole, rel_tol=1e-12, abs_tol=1e-12)


def test_a_score_of_several_rows_gets_all_rows(monkeypatch):
    signals, checkpoints, _ = random_run(0)
    seen = []

    def alone(signals: pl.DataFrame, checkpoints: pl.DataFrame) -> pl.Series:
        seen.append(signals.height)
        return pl.Series([0.0] * signals.height)

    monkeypatch.setattr("thresher.scores.registry.SCORES.table", {})
    facts = {"needs": (), "hard": "high", "runs": 1, "cost": "", "source": ""}
    score("alone", **facts)(alone)
    score("together", reads="rows", **facts)(alone)
    monkeypatch.setattr("thresher.scores.table.BLOCK_ROWS", 5)
    score_table([(signals, checkpoints)])
    assert seen == [5, 5, 2, 12]


def test_scores_of_all_runs_are_averaged_by_id_and_the_others_are_those_of_run_0():
    first = random_run(0)[:2]
    further = [other_run(seed, first[0]) for seed in (1, 2)]
    shuffled = [(signals.sample(fraction=1, shuffle=True, seed=5), trained) for signals, trained in further]
    table, about = score_runs([first, *shuffled])
    for name, entry in scores().items():
        if entry.reads == "scores":
            assert table[name].equals(entry.function(table, first[0]))
            continue
        of_each_run = [dict(zip(s["id"], entry.function(s, c), strict=True)) for s, c in [first, *further]]
        used = of_each_run if entry.runs == "all" else of_each_run[:1]
        expected = [sum(run[row] for run in used) / len(used) for row in table["id"]]
        np.testing.assert_allclose(table[name], expected, rtol=1e-12)
        assert about["scores"][name]["runs_used"] == len(used)


@given(run=runs, data=st.data())
def test_the_order_of_the_rows_changes_no_bit_of_the_table(run, data):
    signals, checkpoints, _ = run
    order = data.draw(st.permutations(range(signals.height)))
    assert score_table([(signals[order], checkpoints)]).equals(score_table([(signals, checkpoints)])[order])


def test_signals_in_many_pieces_give_the_same_table():
    signals, checkpoints, _ = random_run(0)
    pieces = pl.concat([signals[i : i + 5] for i in range(0, signals.height, 5)], rechunk=False)
    assert pieces.n_chunks() > 1
    assert score_table([(pieces, checkpoints)]).equals(score_table([(signals, checkpoints)]))


def test_signals_read_back_from_parquet_give_the_same_table(tmp_path):
    signals, checkpoints, _ = random_run(0)
    signals.write_parquet(tmp_path / "part-00000.parquet")
    read = pl.read_parquet(tmp_path / "part-00000.parquet")
    assert score_table([(read, checkpoints)]).equals(score_table([(signals, checkpoints)]))


def test_a_score_without_its_signals_is_left_out_and_the_reason_says_what_would_help():
    signals, checkpoints, _ = random_run(0)
    table, about = score_runs([(signals.drop("null_logits", "correct"), checkpoints)])
    assert "pvi" not in table.columns and "forgetting_class" not in table.columns
    assert about["skipped"] == {
        "forgetting": "no evaluations of the whole set were made during training",
        "pvi": "no model was trained on empty input; the option null=prior does without",
    }
    assert "pvi" in score_table([(signals.drop("null_logits"), checkpoints)], {"pvi": {"null": "prior"}})


@pytest.mark.parametrize(
    ("name", "options"),
    [("ensemble", {"of": ("aum", "hardest_view")}), ("d2", {"by": "hardest_view"})],
)
def test_a_score_made_from_scores_may_be_made_from_one_that_is_too(name: str, options: dict[str, object]):
    signals, checkpoints, _ = random_run(0)
    table, about = score_runs([(signals, checkpoints)], {name: options})
    assert about["skipped"] == {}
    assert table[name].equals(scores()[name].function(table, signals, **options))


def test_scores_that_depend_on_each_other_are_left_out_with_the_reason():
    signals, checkpoints, _ = random_run(0)
    options = {"ensemble": {"of": ("aum", "d2")}, "d2": {"by": "ensemble"}}
    assert score_runs([(signals, checkpoints)], options)[1]["skipped"] == {
        "d2": "it needs ensemble, which was not computed",
        "ensemble": "it needs d2, which was not computed",
    }


def test_a_run_without_the_signals_of_a_score_is_left_out_of_its_average():
    first = random_run(0)[:2]
    second = other_run(1, first[0])
    table, about = score_runs([first, (second[0].drop("null_logits"), second[1])])
    assert (about["scores"]["pvi"]["runs_used"], about["scores"]["el2n"]["runs_used"]) == (1, 2)
    assert table["pvi"].equals(score_table([first])["pvi"])


def test_a_diverged_run_gives_no_score_rather_than_nan():
    signals, checkpoints, _ = random_run(0)
    gram = signals["gradient_gram"].to_numpy().copy()
    gram[[3, 5]] = np.nan
    table, about = score_runs([(signals.with_columns(pl.Series("gradient_gram", gram)), checkpoints)])
    assert "vog" not in table.columns and "el2n" in table.columns
    assert (
        about["skipped"]["vog"] == "not a finite number for 2 rows, first 'row-3'; did the training diverge?"
    )


def test_options_reach_the_scores_and_are_in_the_report():
    signals, checkpoints, _ = random_run(0)
    table, about = score_runs([(signals, checkpoints)], {"vog": {"window": "2,3,4", "reduce": "mean"}})
    expected = scores()["vog"].function(signals, checkpoints, window=(2, 3, 4), reduce="mean")
    assert table["vog"].equals(expected)
    assert about["scores"]["vog"]["options"] == {
        "form": "variance",
        "window": (2, 3, 4),
        "reduce": "mean",
        "tokens": "sum",
    }
    entry = json.loads(json.dumps(about))["scores"]["pvi"]
    assert (entry["hard"], entry["normalise"]) == ("low", "raw")
    assert set(entry) == {"hard", "normalise", "runs_used", "options", "source", "needs", "cost"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda signals: signals.head(5), "signals of run 1 have other rows than those of run 0"),
        (
            lambda signals: signals.with_columns(pl.col("id") + "x"),
            "signals of run 1 have other rows than those of run 0",
        ),
        (
            lambda signals: signals.with_columns(pl.lit(0, pl.Int32).alias("label")),
            "signals of run 1 have other rows than those of run 0",
        ),
    ],
)
def test_runs_of_different_rows_are_refused(change, message):
    signals, checkpoints, _ = random_run(0)
    with pytest.raises(UserError, match=message):
        score_table([(signals, checkpoints), (change(signals), checkpoints)])


def test_what_cannot_be_scored_at_all_is_refused():
    signals, checkpoints, _ = random_run(0)
    with pytest.raises(UserError, match=r"no score can be computed .*vog: 'gradient_gram' was not measured"):
        score_table([(signals.select("id", "label"), checkpoints)])
    with pytest.raises(UserError, match="no signals to score"):
        score_table([])
    with pytest.raises(UserError, match="an id is repeated"):
        score_table([(pl.concat([signals, signals]), checkpoints)])


NEW_SCORE = """
import polars as pl
from thresher.scores.read import array
from thresher.scores.registry import score

@score("tokens", needs=("n_tokens",), hard="high", runs=1, cost="none", source="this test")
def tokens(signals, checkpoints, *, per: float = 1.0) -> pl.Series:
    return pl.Series("tokens", array(signals, "n_tokens") / per)
"""

USE = """
import polars as pl
from thresher.scores import column, parse_options, score_table
signals = pl.DataFrame({"id": ["a", "b"], "label": [0, 0], "n_tokens": [4, 8]})
table = score_table([(signals, pl.DataFrame())], parse_options(["tokens.per=2"]))
print(table.columns, table["tokens"].to_list(), column("tokens", "auto", table.columns))
"""


def test_a_new_score_is_one_new_file_and_nothing_else(tmp_path):
    package = tmp_path / "thresher"
    shutil.copytree(Path(thresher.scores.__file__).parent, package / "scores")
    for module in (thresher.errors, thresher.logits, thresher.options, thresher.registry, thresher.wording):
        shutil.copy(module.__file__, package)
    (package / "__init__.py").touch()
    (package / "scores" / "tokens.py").write_text(NEW_SCORE)
    done = subprocess.run(
        [sys.executable, "-c", USE], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    columns = ["id", "label", "tokens", "tokens_class", "tokens_dataset"]
    assert done.stdout == f"{columns} [2.0, 4.0] ('tokens', 'high')\n"


@pytest.mark.parametrize(
    ("name", "function", "message"),
    [
        ("vog", "def f(signals, checkpoints) -> None: ...", "is defined twice"),
        ("new_class", "def f(signals, checkpoints) -> None: ...", "the name is taken by a column"),
        ("label", "def f(signals, checkpoints) -> None: ...", "the name is taken by a column"),
        ("new", "def f(signals, checkpoints, *, at: int) -> None: ...", "'at' needs a type and a default"),
        ("new", "def f(signals, checkpoints, *, at=1) -> None: ...", "'at' needs a type and a default"),
    ],
)
def test_a_score_file_with_a_mistake_says_so_at_once(name, function, message):
    space: dict[str, object] = {"__name__": "elsewhere"}
    exec(function, space)
    with pytest.raises(ValueError, match=message):
        score(name, needs=(), hard="high", runs=1, cost="none", source="none")(space["f"])
    assert "new" not in scores()

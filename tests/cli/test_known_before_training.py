"""What can be known before a training is refused or said before it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from command_line import Call, training

from thresher.config import DataConfig, RunConfig
from thresher.errors import UserError
from thresher.execution.engines import Place, check_engine
from thresher.pipeline.selection_settings import refuse_unmeasured
from thresher.pipeline.start import warn_of_idle_protection
from thresher.rows import load


def config(**sections: dict[str, Any]) -> RunConfig:
    data = DataConfig(train="train.jsonl", text=("text",), label="label")
    return RunConfig.model_validate({"data": data, **sections})


BY = {name: {"by": name} for name in ("vog", "d2", "word_margin", "held_out_margin", "hardest_view")}


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"select": BY["d2"]}, "score d2 needs features, which is measured with --features; add it"),
        ({"select": BY["word_margin"]}, "which is measured with --words; add it"),
        ({"select": BY["held_out_margin"]}, "which comes from cross-validation; add --folds 5"),
        ({"select": BY["hardest_view"], "train": {"folds": 5}}, "hardest_view needs word_margin"),
        ({"train": {"max_steps": 1}}, "score vog needs gradient_gram, which takes two checkpoints"),
        (
            {"score": {"options": {"el2n": {"epoch": 99}}}},
            "el2n.epoch is 99, and the training ends at epoch 3",
        ),
    ],
)
def test_scores_that_cannot_be_computed_are_refused(sections: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        refuse_unmeasured(config(**sections))


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"select": BY["d2"], "measure": {"features": True}},
        {"select": BY["d2"], "model": {"freeze": True}},
        {"select": BY["hardest_view"], "proxy": {"encoder": "frozen"}},
        {"select": BY["held_out_margin"], "train": {"folds": 2}},
        {"select": {"by": "el2n"}, "train": {"max_steps": 1}},
        {"select": {"by": "d2", "strategy": "random"}},
        {"score": {"options": {"el2n": {"epoch": 2}}}},
    ],
)
def test_scores_that_will_be_computed_are_not(sections: dict[str, Any]) -> None:
    refuse_unmeasured(config(**sections))


def test_a_cluster_without_its_engine_is_refused() -> None:
    with pytest.raises(UserError, match="--address head:6379 is of a Ray cluster; give --engine ray"):
        check_engine(Place("local", "head:6379"))


def test_a_protection_of_no_row_is_said_as_the_run_starts(capsys: pytest.CaptureFixture[str]) -> None:
    rows = load(
        pl.DataFrame({"t": ["a", "b", "c"], "y": ["u", "v", "v"], "g": ["1", "", "3"]}),
        text="t",
        label="y",
        groups="g",
    )
    warn_of_idle_protection(rows, ["g=1", "g=", "y=u", "g=2", "y=x"])
    assert capsys.readouterr().err == (
        "warning: protect 'g=2' matches no row\nwarning: protect 'y=x' matches no row\n"
    )


def test_a_command_refuses_before_it_trains(call: Call, material: Path, tmp_path: Path) -> None:
    told = call("run", *training(material, tmp_path / "R"), "--by", "word_margin")
    assert (
        told.code == 2
        and told.err.startswith("error: score word_margin needs")
        and not (tmp_path / "R").exists()
    )

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
from thresher.pipeline.other_task import refuse_settings_of_labels, refuse_settings_of_texts
from thresher.pipeline.selection_settings import refuse_to_keep_all
from thresher.pipeline.start import warn_of_idle_protection
from thresher.pipeline.unmeasured import refuse_unmeasured
from thresher.rows import load
from thresher.training.language_runs import with_text_defaults


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
        ({"train": {"max_steps": 1}}, "score vog needs gradient_gram, which takes 2 checkpoints"),
        # All rows are one batch.
        ({"train": {"batch_size": 1000, "epochs": 1}}, "training of 1 step has 1; train for more steps"),
        ({"train": {"checkpoint_every": 500}}, r"has 1; save more \(--checkpoints\)"),
        (
            {"train": {"checkpoints": 3}, "score": {"options": {"vog": {"window": "early"}}}},
            "takes 4 checkpoints, and this training of 96 steps has 3",
        ),
        ({"score": {"options": {"vog": {"window": "5,99"}}}}, r"vog\.window names checkpoint 99, and"),
        ({"score": {"options": {"el2n": {"checkpoint": 10}}}}, r"has the checkpoints 0 to 9"),
        (
            {"select": {"by": "vog_class"}, "train": {"max_steps": 1}},
            "score vog_class needs gradient_gram",
        ),
        (
            {"select": {"by": "ensemble"}, "train": {"checkpoint_every": 500}},
            "score ensemble needs gradient_gram",
        ),
        (
            {"select": {"by": "forgetting"}, "train": {"forgetting_evaluations": 1}},
            "takes two evaluations during training, and this one has 1; ask for more",
        ),
        (
            {"select": {"by": "forgetting"}, "train": {"batch_size": 1000, "epochs": 1}},
            "and this one has 1; train for more steps",
        ),
        ({"select": {"by": "vog_online"}}, "is recorded of a Trainer by thresher.watch"),
        ({"select": {"by": "ifd"}}, "is measured of completions"),
        (
            {"score": {"options": {"el2n": {"epoch": 99}}}},
            "el2n.epoch is 99, and the training ends at epoch 3",
        ),
    ],
)
def test_scores_that_cannot_be_computed_are_refused(sections: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        refuse_unmeasured(config(**sections), 1000)


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
        {"score": {"options": {"el2n": {"checkpoint": -1}}}},
        {"select": {"by": "ensemble"}},
        {"train": {"checkpoints": 3}, "score": {"options": {"vog": {"window": "late"}}}},
        {"select": {"by": "el2n"}, "train": {"batch_size": 1000, "epochs": 1}},
    ],
)
def test_scores_that_will_be_computed_are_not(sections: dict[str, Any]) -> None:
    refuse_unmeasured(config(**sections), 1000)


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"select": {"by": "vog"}}, "is measured with --set measure.signals=gradient_gram; add it"),
        ({"select": {"by": "grand"}}, "is measured with --set measure.signals=encoder_sq_norm; add it"),
        ({"select": {"by": "d2"}}, "features, which rows whose target is a text do not have"),
        (
            {"select": {"by": "forgetting"}, "train": {"epochs": 1}},
            "takes two epochs, and this training has one",
        ),
        (
            {
                "select": {"by": "vog"},
                "measure": {"signals": ["gradient_gram"]},
                "train": {"checkpoint_every": 999},
            },
            "takes 2 checkpoints",
        ),
        ({"score": {"options": {"el2n": {"checkpoint": 3}}}}, "has the checkpoints 0 to 2"),
    ],
)
def test_scores_of_completions_that_cannot_be_computed_are_refused(
    sections: dict[str, Any], said: str
) -> None:
    data = DataConfig(train="chat.jsonl", task="generate")
    with pytest.raises(UserError, match=said):
        refuse_unmeasured(with_text_defaults(RunConfig.model_validate({"data": data, **sections})), 1000)
    for by in ("el2n", "loss", "ifd", "forgetting", "end_loss"):
        refuse_unmeasured(
            with_text_defaults(RunConfig.model_validate({"data": data, "select": {"by": by}})), 1000
        )


@pytest.mark.parametrize(
    ("sections", "name"),
    [
        ({"generate": {"lora": 4}}, "--lora"),
        ({"generate": {"lora": 0}}, "--lora"),
        ({"generate": {"lr": 1e-3}}, "--lr"),
        ({"generate": {"template": "chat"}}, "--set generate.template"),
        ({"compare": {"loss_margin": 0.1}}, "--loss-margin"),
    ],
)
def test_settings_of_completions_are_refused_for_labels(sections: dict[str, Any], name: str) -> None:
    with pytest.raises(UserError, match=f"^{name} is for completions"):
        refuse_settings_of_texts(config(**sections))
    refuse_settings_of_texts(config())


@pytest.mark.parametrize(
    ("sections", "name"),
    [
        ({"model": {"freeze": True}}, "--freeze"),
        ({"model": {"head_hidden": [8]}}, "--set model.head_hidden"),
        ({"proxy": {"encoder": "frozen"}}, "--proxy"),
        ({"train": {"runs": 2}}, "--runs"),
        ({"train": {"folds": 5}}, "--folds"),
        ({"train": {"head_lr": 1e-2}}, "--head-lr"),
        ({"measure": {"features": True}}, "--features"),
        ({"measure": {"words": True}}, "--words"),
        ({"how_much": {"margin": 1}}, "--margin"),
    ],
)
def test_settings_of_labels_are_refused_for_completions(sections: dict[str, Any], name: str) -> None:
    with pytest.raises(UserError, match=f"^{name} is for rows with labels"):
        refuse_settings_of_labels(config(**sections))
    refuse_settings_of_labels(config(measure={"features": False, "words": False}, train={"folds": 0}))


def test_columns_of_labels_are_refused_for_completions(call: Call, material: Path, tmp_path: Path) -> None:
    for column in (["--text", "utterance"], ["--label", "room"], ["--skip-unseen-labels"]):
        told = call(
            "run",
            material / "train.jsonl",
            *("--prompt", "utterance", "--completion", "intent"),
            *column,
            "--out",
            tmp_path / "R",
        )
        assert told.code == 2 and told.err.startswith(f"error: {column[0]} is for rows with labels")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ["--diet-option", "r=0.5"],
            "train.diet_options (--diet-option) has no effect without a diet; give one",
        ),
        (["--strategy", "random", "--by", "el2n"], "--by has no effect on --strategy random"),
        (["--strategy", "random", "--end", "hard"], "--end has no effect on --strategy random"),
        (["--freeze", "--encoder-lr", "1e-3"], "--encoder-lr has no effect on a frozen encoder"),
    ],
)
def test_options_without_effect_are_refused(
    options: list[str], said: str, call: Call, material: Path, tmp_path: Path
) -> None:
    told = call("run", *training(material, tmp_path / "R"), *options)
    assert told.code == 2 and told.err.startswith(f"error: {said}")


@pytest.mark.parametrize(
    ("select", "said"),
    [
        ({"prune": 0.01}, "prune 0.01 of 6 rows is less than a row"),
        ({"floor": 3}, "floors and protected rows keep all 6 rows"),
        ({"floor": 2, "floor_group": ["g"]}, "floors and protected rows keep all"),
        ({"protect": ["y=u", "y=v"]}, "floors and protected rows keep all"),
        ({"prune": "auto", "protect": ["g=a", "g=b", "g=c"]}, "floors and protected rows keep all"),
    ],
)
def test_a_selection_that_can_drop_no_row_is_refused(select: dict[str, Any], said: str) -> None:
    frame = pl.DataFrame({"t": list("abcdef"), "y": list("uuuvvv"), "g": list("aabbcc")})
    rows = load(frame, text="t", label="y", groups="g")
    with pytest.raises(UserError, match=said):
        refuse_to_keep_all(config(select=select).select, rows)
    for fine in ({"prune": 0.1}, {"floor": 2}, {"protect": ["y=u", "g=b"]}, {"prune": "auto"}):
        refuse_to_keep_all(config(select=fine).select, rows)


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


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--lora", 3], "--lora is for completions"),
        (["--diet-option", "r=0.5"], "has no effect without a diet"),
    ],
)
def test_a_plan_refuses_what_the_run_would(
    call: Call, material: Path, tmp_path: Path, more: list[object], said: str
) -> None:
    answer = call("run", *training(material, tmp_path / "R"), "--plan", *more)
    assert answer.code == 2 and said in answer.err and answer.err.count("\n") == 1, answer.err

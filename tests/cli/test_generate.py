"""`thresher run --task generate`: from a file of prompts and completions, or chats, to a pruned and proved one."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from command_line import Answer, Call, cells_of

import thresher as th
from thresher.config import DataConfig, RunConfig
from thresher.pipeline.hold_out import held_out_lines, without_held_out
from thresher.rows import load_texts
from tiny_language import language_model, pairs, tokenizer

pytest.importorskip("peft")
QUICK = ["--epochs", 2, "--batch-size", 8, "--threads", 1, "--workers", 1, "--seeds", 2, "--lora", 2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model, and rows of two sources: the completion is the first word of the prompt."""
    found = tmp_path_factory.mktemp("generate")
    language_model("granite").save_pretrained(found / "model")  # type: ignore[operator]
    tokenizer().save_pretrained(found / "model")
    prompts, _ = pairs(60)
    rows = [
        {"id": f"r{n}", "source": "ab"[n % 2], "prompt": prompt, "completion": prompt.split()[0], "more": n}
        for n, prompt in enumerate(prompts)
    ]
    write(found / "train.jsonl", rows[:40])
    write(found / "test.jsonl", rows[40:])
    chats = [
        {
            "messages": [
                {"role": "user", "content": row["prompt"]},
                {"role": "assistant", "content": row["completion"]},
            ]
        }
        for row in rows
    ]
    write(found / "chats.jsonl", chats)
    return found


def write(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def job(folder: Path, out: Path, *more: object) -> list[object]:
    named = ["--id", "id", "--group", "source", "--test", folder / "test.jsonl", "--prune", 0.5]
    return [
        *("run", folder / "train.jsonl", "--task", "generate", "--model", folder / "model"),
        *(*named, *QUICK, *more, "--out", out),
    ]


@pytest.fixture(scope="module")
def done(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from thresher.cli import main

    out = tmp_path_factory.mktemp("run") / "R"
    with pytest.raises(SystemExit) as left:
        main([str(one) for one in job(folder, out, "--json")])
    assert not left.value.code
    return out


def test_the_kept_file_has_the_kept_rows_as_they_came(folder: Path, done: Path) -> None:
    kept, dropped = ((done / f"{name}.jsonl").read_text().splitlines() for name in ("kept", "dropped"))
    lines = (folder / "train.jsonl").read_text().splitlines()
    assert len(kept) == 20 and sorted([*kept, *dropped]) == sorted(lines)
    assert [line for line in lines if line in set(kept)] == kept


def test_the_decision_is_the_same_everywhere(folder: Path, done: Path, call: Call) -> None:
    answer: Answer = call(*job(folder, done, "--json"))
    found = answer.json
    entry = found["compare"]
    assert set(entry["arms"]["full"]) == {"loss", "token_accuracy", "exact", "n_train"}
    assert [entry["arms"][arm]["n_train"] for arm in ("full", "kept", "random")] == [40, 20, 20]
    assert len(entry["arms"]["full"]["loss"]["values"]) == 2
    assert set(entry["groups"]["source"]) == {"a", "b"}
    sentence = found["decision"]["sentence"]
    assert "the held-out loss changes by" in sentence and "accuracy" not in sentence
    assert yaml.safe_load((done / "run.yaml").read_text())["decision"]["sentence"] == sentence
    assert "already done" in answer.err and "compare: already done" in answer.err
    page = (done / "report.html").read_text()
    assert sentence.split(":")[0] in page and "Held-out loss by group" in page and "test accuracy" not in page


def test_scores_of_completions(done: Path) -> None:
    scores = pl.read_parquet(done / ".thresher/score/scores.parquet")
    assert {"loss", "el2n", "forgetting", "entropy", "token_accuracy", "aum"} <= set(scores.columns)
    assert np.isfinite(scores["loss"].to_numpy()).all()
    suspects = pl.read_csv(done / "suspects.csv")
    assert suspects.columns[:4] == ["rank", "id", "prompt", "completion"]


def test_another_share_trains_the_new_arms_alone(folder: Path, done: Path, call: Call) -> None:
    cells = set((done / ".thresher/cells").iterdir())
    answer = call(*job(folder, done, "--prune", 0.25, "--json"))
    assert answer.json["compare"]["arms"]["kept"]["n_train"] == 30
    assert len(set((done / ".thresher/cells").iterdir()) - cells) == 4


def test_chats_without_test_rows(folder: Path, tmp_path: Path, call: Call) -> None:
    """Nothing is proved, which is said; the kept file has whole chats."""
    given = ["run", folder / "chats.jsonl", "--messages", "messages", "--model", folder / "model"]
    answer = call(*given, *QUICK, "--prune", 0.5, "--hold-out", 0, "--out", tmp_path / "R", "--json")
    found = answer.json
    assert found["decision"]["word"] == "not proved" and found["n_kept"] == 30
    lines = (folder / "chats.jsonl").read_text().splitlines()
    assert set((tmp_path / "R" / "kept.jsonl").read_text().splitlines()) <= set(lines)


def test_without_test_rows_some_are_held_out(folder: Path) -> None:
    """At most 500, and a fifth."""
    rows = load_texts(folder / "train.jsonl")
    config = RunConfig(data=DataConfig(train="train.jsonl", task="generate"))
    train, held_out = without_held_out(None, rows, config)
    assert held_out is not None and (len(train), len(held_out)) == (32, 8)
    assert "equal prompts together" in held_out_lines(train, 0.5)[0]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--freeze"], "--freeze is for rows with labels"),
        (["--runs", 2], "--runs is for rows with labels"),
        (["--epochs", 0.5], "do not reach each of the 40 rows once"),
        (["--max-length", 3], "raise --max-length"),
        (["--set", "generate.targets=no_such"], "no_such"),
        (["--model", "minilm"], "takes a causal language model"),
        (["--messages", "m"], "no column 'm'"),
        (["--completion", "answer"], "no column 'answer'"),
    ],
)
def test_refusals_before_anything_is_written(
    folder: Path, tmp_path: Path, call: Call, more: list[object], said: str
) -> None:
    answer = call(*job(folder, tmp_path / "R", *more))
    assert answer.code == 2 and said in answer.err.splitlines()[-1]
    assert not (tmp_path / "R" / "run.yaml").exists()


def test_prompts_are_for_generation(folder: Path, tmp_path: Path, call: Call) -> None:
    answer = call(
        "run",
        folder / "train.jsonl",
        "--task",
        "label",
        "--prompt",
        "prompt",
        "--text",
        "prompt",
        "--label",
        "source",
        "--out",
        tmp_path / "R",
    )
    assert answer.code == 2 and "add --task generate" in answer.err


def test_lost_records_are_made_again(folder: Path, done: Path, tmp_path: Path, call: Call) -> None:
    """The training is repeated: the same scores come out."""
    shutil.copytree(done, tmp_path / "R")
    shutil.rmtree(tmp_path / "R/.thresher/recording")
    assert "what the training recorded is gone" in call("measure", tmp_path / "R", "--force").err
    answer = call(*job(folder, tmp_path / "R", "--prune", 0.5))
    assert answer.code == 0 and "recording: missing; training it again" in answer.err
    scores, former = (
        pl.read_parquet(one / ".thresher/score/scores.parquet") for one in (tmp_path / "R", done)
    )
    assert scores.equals(former)


def test_scores_of_gradients_are_measured_at_the_checkpoints(
    folder: Path, done: Path, tmp_path: Path, call: Call
) -> None:
    """On demand: VoG, GraNd and TracIn; the other scores are then measured there, too."""
    shutil.copytree(done, tmp_path / "R")
    signals = "measure.signals=gradient_gram,classifier_sq_norm,encoder_sq_norm"
    assert call("measure", tmp_path / "R", "--set", signals).code == 0
    assert call("score", tmp_path / "R").code == 0
    scores = pl.read_parquet(tmp_path / "R/.thresher/score/scores.parquet")
    assert {"vog", "grand", "tracin", "pvi", "ifd", "loss"} <= set(scores.columns)
    recorded = pl.read_parquet(done / ".thresher/score/scores.parquet")
    # The losses of the last checkpoint are the same in both.
    np.testing.assert_allclose(scores["pvi"], recorded["pvi"], rtol=1e-4, atol=1e-4)
    assert call("select", tmp_path / "R", "--by", "vog", "--prune", 0.5).code == 0


def test_the_plan_counts_trainings_and_writes_nothing(folder: Path, tmp_path: Path, call: Call) -> None:
    answer = call(*job(folder, tmp_path / "R", "--plan", "--json"))
    stages = {one["name"]: one for one in answer.json["stages"]}
    assert list(stages) == ["score", "proof"] and "LoRA adapters of rank 2" in stages["score"]["what"]
    assert "2 trainings on all rows, on kept and on random ones" in stages["proof"]["what"]
    assert answer.json["half_width"] == 0 and not (tmp_path / "R").exists()
    budget = call(*job(folder, tmp_path / "R", "--plan", "--budget", "0.001s"))
    assert budget.code == 2 and "too small for a proof" in budget.err


def test_tokens_of_a_row(folder: Path, done: Path, tmp_path: Path, call: Call) -> None:
    """Their mean is the row's loss at the last checkpoint, their pieces are the completion, and the page colours them."""
    given = pl.read_ndjson(folder / "train.jsonl")
    found = th.tokens(done, ["r3", "r8"])
    assert found.columns == ["id", "place", "token", "loss", "loss_alone"]
    (signals,) = (pl.read_parquet(path) for path in (done / ".thresher").rglob("part-*.parquet"))
    for id in ("r3", "r8"):
        tokens, row = (table.filter(pl.col("id") == id) for table in (found, signals))
        assert tokens["place"].to_list() == list(range(1, tokens.height + 1))
        assert "".join(tokens["token"]) == given.filter(id=id)["completion"][0]
        assert tokens["token"][-1] == ""  # the end token
        for column, signal in (("loss", "loss_prompted"), ("loss_alone", "loss_alone")):
            assert tokens[column].mean() == pytest.approx(row[signal][0], rel=1e-5)
    answer = call("tokens", done, "--row", "r3", "--out", tmp_path / "tokens.csv", "--json")
    assert answer.json["tokens"] == found.filter(id="r3").to_dicts()
    assert "(end)" in call("tokens", done, "--row", "r3").out
    assert pl.read_csv(tmp_path / "tokens.csv").height == found.filter(id="r3").height
    assert re.search(r'<mark class="loss-\d" title="\d\.\d\d nats; ', (done / "report.html").read_text())
    assert "no row of id 'r99'" in call("tokens", done, "--row", "r99").err
    assert "give the id of a row" in call("tokens", done).err


SEARCH = ["--step", 0.25, "--first-seeds", 2, "--most-seeds", 2, "--validation", 0.3, "--workers", 1]


@pytest.fixture(scope="module")
def asked(done: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the run for questions."""
    return Path(shutil.copytree(done, tmp_path_factory.mktemp("asked") / "R"))


def test_how_much_can_be_dropped(asked: Path, call: Call) -> None:
    """By the loss of completions that are held out of the training rows, within the margin; confirmed on the test rows."""
    wide = call("how-much", asked, *SEARCH, "--loss-margin", 50, "--json").json
    assert wide["metric"] == "loss" and wide["margin"] == 50 and wide["folds"] == 0
    assert wide["fraction"] == 0.75 and wide["confirmed"]["n_test"] == 20
    (inner,) = (asked / ".thresher/how_much").glob("validation-*")
    given, held = (pl.read_parquet(inner / f".thresher/rows/{name}.parquet") for name in ("rows", "test"))
    assert len(given) + len(held) == 40 and not set(given["prompt"]) & set(held["prompt"])
    for one in wide["looks"]:
        assert one["n_full"] == len(given) and one["low"] < one["mean"] < one["high"]
    assert wide["n_validation"] == len(held)
    cells = cells_of(inner).values()
    losses = {
        arm: np.mean([cell["loss"] for cell in cells if cell["n_train"] == n])
        for arm, n in (("full", len(given)), ("kept", wide["looks"][-1]["n_kept"]))
    }
    assert wide["looks"][-1]["mean"] == pytest.approx(losses["full"] - losses["kept"], abs=1e-6)
    assert (
        "nats of loss to all rows on" in wide["sentence"]
        and "50 nats per completion token" in wide["sentence"]
    )
    assert "accuracy" not in wide["sentence"] and "points" not in wide["sentence"]

    trained = set((inner / ".thresher/cells").iterdir())
    narrow = call("how-much", asked, *SEARCH, "--loss-margin", 1e-9)
    assert narrow.code == 0 and "No share of the rows is shown to be free" in narrow.out
    assert "nats of loss per token to all rows" in narrow.out
    assert trained < set((inner / ".thresher/cells").iterdir()), "what was trained before is used again"


def test_select_drops_the_share_that_is_found(asked: Path, call: Call) -> None:
    found = call("how-much", asked, *SEARCH, "--loss-margin", 50, "--json").json
    chosen = th.select(asked, prune="auto")
    assert int(chosen["kept"].sum()) == found["confirmed"]["n_kept"] == 10


def test_a_sweep_compares_the_losses_of_selections(asked: Path, call: Call) -> None:
    """A line has the means of its trainings; its differences are those of the loss, and its groups weigh rows by their tokens."""
    choice = ["--scores", "el2n", "--ends", "easy,hard", "--fractions", 0.5, "--seeds", 2, "--workers", 1]
    found = call("sweep", asked, *choice, "--json").json
    assert found["metric"] == "loss" and set(found["groups"]) == {"source"}
    lines = {(line["score"], line["end"]): line for line in found["table"]}
    assert set(lines) == {(None, "random"), ("el2n", "easy"), ("el2n", "hard")}
    line, random, full = lines["el2n", "easy"], lines[None, "random"], found["full"]
    assert line["n"] == 20 and full["n"] == 40 and set(full) > {"loss", "token_accuracy", "exact"}
    for name, other in (("to_full", full), ("to_random", random)):
        assert line[name]["mean"] == pytest.approx(line["loss"]["mean"] - other["loss"]["mean"], abs=2e-5)
        assert line[name]["low"] < line[name]["mean"] < line[name]["high"]

    sources = pl.read_parquet(asked / ".thresher/rows/test.parquet")["source"]
    of_a = [
        pl.read_parquet(path).filter(sources == "a")
        for path in (asked / ".thresher/cells").iterdir()
        if cells_of(asked)[path.stem]["n_train"] == 40
    ]
    losses = [one["loss"].sum() / one["tokens"].sum() for one in of_a]
    assert len(losses) == 2 and full["groups"]["source"]["loss"][0] == pytest.approx(
        np.mean(losses), abs=1e-4
    )

    shown = call("sweep", asked, *choice).out
    assert "nats of loss per token to all rows" in shown and f"{line['to_full']['mean']:+.3f}" in shown
    assert call("report", asked).code == 0
    page = (asked / "report.html").read_text()
    assert (
        "Held-out loss against the share removed" in page
        and "Loss per completion token of each group" in page
    )
    assert "test accuracy" not in page

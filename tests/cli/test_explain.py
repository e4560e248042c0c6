"""`thresher explain` on a run folder: its list follows from the gradients and is safe to print and to open."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from command_line import Call, commands, training, write_jsonl

import thresher as th
from thresher.training.checkpoints import build_classifier, checkpoint_table, load_weights
from thresher.training.finished import list_checkpoints
from tiny import tiny_model

HOSTILE = '=HYPERLINK("http://x","play") \x1b[31mmusic'


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained run of 40 rows, one of them hostile, with test rows whose ids are given."""
    folder = tmp_path_factory.mktemp("explained")
    rows = [{**row, "n": f"row {i}"} for i, row in enumerate(commands(40, seed=3))]
    rows[5]["utterance"] = HOSTILE
    write_jsonl(folder / "train.jsonl", rows)
    write_jsonl(folder / "test.jsonl", [{**r, "n": f"t{i}"} for i, r in enumerate(commands(6, seed=4))])
    tiny_model("bert", folder / "tiny")
    columns = {"text": "utterance", "label": "intent", "id": "n"}
    config = {"model": str(folder / "tiny"), "epochs": 2, "batch_size": 8, "checkpoints": 3, "workers": 1}
    loaded = th.load(folder / "train.jsonl", **columns)
    test = th.load(folder / "test.jsonl", classes=loaded.classes, **columns)
    return th.train(loaded, out=folder / "RUN", test=test, encoder_lr=0.01, threads=1, **config)


def plain_values(run: Path, text: str, label: str, layer: str) -> dict[str, float]:
    """TracIn of a text with every training row: every gradient formed, one row at a time."""
    model, tokenizer = build_classifier(run / ".thresher/train/model")
    model = model.double().eval().requires_grad_(True)
    where = model.encoder.encoder.layer[-1] if layer == "encoder" else model.head[-1]
    rows = pl.read_parquet(run / ".thresher/rows/rows.parquet")
    classes = sorted(rows["intent"].unique())
    folder = run / ".thresher/train/checkpoints" / "run-0"
    rates = checkpoint_table(folder, 0)["encoder_lr" if layer == "encoder" else "head_lr"]

    def gradient(text: str, label: str) -> torch.Tensor:
        given = tokenizer(text, return_tensors="pt")
        loss = -torch.log_softmax(model(**given).logits[0], 0)[classes.index(label)]
        return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(where.parameters()))])

    values = np.zeros(rows.height)
    for path, rate in zip(list_checkpoints(folder), rates, strict=True):
        model.load_state_dict(load_weights(path))
        target = gradient(text, label)
        for i, (one, its_label) in enumerate(rows.select("utterance", "intent").iter_rows()):
            values[i] += rate * (target @ gradient(one, its_label)).item()
    return dict(zip(rows["id"], values, strict=True))


def test_ids_come_as_one_or_as_any_column_of_them(run):
    import pandas as pd

    expected = th.explain(run, test_rows=["t1"], top=2, layer="classifier")
    for ids in ("t1", pl.Series(["t1"]), pd.Series(["t1"]), np.array(["t1"])):
        assert th.explain(run, test_rows=ids, top=2, layer="classifier").equals(expected)
    with pytest.raises(th.UserError, match="no row of id '3'"):
        th.explain(run, rows=[3])


@pytest.mark.parametrize("layer", ["encoder", "classifier"])
def test_it_lists_the_rows_with_the_largest_and_the_smallest_products(run, layer):
    found = th.explain(run, test_rows=["t1", "t0"], top=5, layer=layer)
    assert found["target"].unique(maintain_order=True).to_list() == ["t1", "t0"]
    for target in ("t0", "t1"):
        one = found.filter(pl.col("target") == target)
        values = plain_values(run, one["target_text"][0], one["target_label"][0], layer)
        ranked = sorted(values, key=values.get)
        for side, expected in (("proponent", ranked[:-6:-1]), ("opponent", ranked[:5])):
            listed = one.filter(pl.col("side") == side)
            assert listed["id"].to_list() == expected
            assert listed["rank"].to_list() == [1, 2, 3, 4, 5]
            assert listed["value"].to_list() == pytest.approx([values[id] for id in expected], rel=1e-3)


def test_a_side_holds_only_values_of_its_sign(run):
    found = th.explain(run, test_rows=["t2"], top=1000)
    sides = found.partition_by("side", as_dict=True)
    assert (sides["proponent",]["value"] > 0).all() and (sides["opponent",]["value"] < 0).all()
    assert found.height == len(set(found["id"])) == 40


def test_a_training_row_is_not_listed_for_itself_and_an_equal_text_counts_as_the_row(run):
    rows = pl.read_parquet(run / ".thresher/rows/rows.parquet").filter(pl.col("id") == "row 7")
    of_row = th.explain(run, rows=["row 7"], top=1000)
    given = th.explain(run, text=rows["utterance"][0], label=rows["intent"][0], top=1000)
    assert "row 7" not in of_row["id"].to_list()
    rest = given.filter(pl.col("id") != "row 7")
    assert of_row["id"].to_list() == rest["id"].to_list()
    assert of_row["value"].to_list() == pytest.approx(rest["value"].to_list(), rel=1e-4)


def test_many_small_jobs_on_several_processes_find_the_same(run, monkeypatch):
    from thresher.signals import influence

    whole = th.explain(run, test_rows=["t0", "t1", "t2"], top=7)
    monkeypatch.setattr(influence, "JOB_ROWS", (7, 7))
    monkeypatch.setattr(influence, "TARGET_TOKENS", 1)
    parts = th.explain(run, test_rows=["t0", "t1", "t2"], top=7, workers=2)
    assert parts.drop("value").equals(whole.drop("value"))
    assert parts["value"].to_list() == pytest.approx(whole["value"].to_list(), rel=1e-4)


def test_the_command_prints_no_control_characters_and_no_cell_is_a_formula(run, tmp_path, call: Call):
    csv = tmp_path / "found.csv"
    shown = call("explain", run, "--row", "row 5", "--row", "row 6", "--top", 100, "--out", csv)
    assert shown.code == 0 and "\x1b" not in shown.out
    assert "train row row 6" in shown.out and "HYPERLINK" in shown.out
    table = pl.read_csv(csv)
    assert table.height == 2 * 39
    texts = [*table["text"], *table["target_text"]]
    assert "'" + HOSTILE in texts and not any(text.startswith("=") for text in texts)


def test_json_and_files_hold_the_same_rows(run, tmp_path, call: Call):
    found = call(
        "explain", run, "--test-row", "t3", "--top", 3, "--json", "--out", tmp_path / "a.parquet"
    ).json
    (target,) = found["targets"]
    listed = [*target["proponents"], *target["opponents"]]
    table = pl.read_parquet(tmp_path / "a.parquet")
    assert table["id"].to_list() == [row["id"] for row in listed]
    assert table["value"].to_list() == [row["value"] for row in listed]
    assert [[text] for text in table["text"]] == [row["text"] for row in listed]
    call("explain", run, "--test-row", "t3", "--top", 3, "--out", tmp_path / "a.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == table["id"].to_list()


@pytest.mark.parametrize(
    "given, message",
    [
        ((), "nothing to explain; give --test-row ID"),
        (("--test-row", "t9"), "no row of id 't9'; ids are like t0, t1, t2"),
        (("--row", "\x1b[2J9"), "no row of id '[2J9'; ids are like row 0, row 1, row 2"),
        (("--text", "play music"), "--label is missing"),
        (("--text", "play music", "--label", "musik"), "no class 'musik'; did you mean 'music'?"),
        (("--text", "a", "--text", "b", "--label", "music"), "2 text(s) given, the rows have 1 (utterance)"),
        (("--label", "music"), "give both or neither"),
        (("--test-row", "t1", "--layer", "middle"), "unknown layer 'middle'"),
        (("--test-row", "t1", "--top", "0"), "top 0"),
        (("--test-row", "t1", "--out", "found.xls"), "found.xls: tables are written as .csv"),
    ],
)
def test_a_mistake_is_one_line(run, call: Call, given, message):
    answer = call("explain", run, *given)
    assert answer.code == 2 and answer.out == ""
    assert message in answer.err and answer.err.count("\n") == 1


def test_a_run_without_the_needed_files_is_refused_in_one_line(run, material, tmp_path, call: Call):
    assert "run.yaml" in call("explain", tmp_path, "--row", "x").err
    untested = call("train", *training(material, tmp_path / "untested"))
    assert untested.code == 0
    answer = call("explain", tmp_path / "untested", "--test-row", "x")
    assert answer.code == 2 and "it has no test rows" in answer.err
    for folder in (tmp_path / "untested" / ".thresher/train/checkpoints" / "run-0").glob("step-*"):
        (folder / "model.safetensors").unlink()
    id = pl.read_parquet(tmp_path / "untested" / ".thresher/rows/rows.parquet")["id"][0]
    answer = call("explain", tmp_path / "untested", "--row", id)
    assert answer.code == 2 and "no model.safetensors" in answer.err

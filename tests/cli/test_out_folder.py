"""Files that exist in the folder of a run before it starts, and the files of earlier selections."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest
from command_line import Call, comparisons, contents, training

from thresher import api

SCORED = ["--prune", 0.3, "--by", "el2n"]


@pytest.fixture(scope="module")
def made(material: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scored and selected run; it is copied, not written to."""
    from thresher.api import load, measure, score, select, train

    folder = tmp_path_factory.mktemp("selected") / "RUN"
    rows = load(material / "train.jsonl", text="utterance", label="intent", groups=["room"])
    quick = {"epochs": 2, "batch_size": 8, "checkpoints": 3, "threads": 1, "workers": 1}
    train(rows, out=folder, model=str(material / "tiny"), **quick)
    measure(folder)
    score(folder)
    select(folder, prune=0.3, by="el2n")
    return folder


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "RUN"))


@pytest.mark.parametrize("name", ["kept.jsonl", "dropped/a.csv", "report.html"])
def test_a_folder_with_files_that_a_run_would_overwrite_is_refused(
    call: Call, material: Path, tmp_path: Path, name: str
) -> None:
    mine = tmp_path / "mine" / name
    mine.parent.mkdir(parents=True)
    mine.write_text("mine", encoding="utf-8")
    before = contents(tmp_path / "mine")
    for force in ([], ["--force"]):
        answer = call("train", *training(material, tmp_path / "mine"), *force)
        assert answer.code == 2 and answer.err.count("\n") == 1, answer.err
        assert f"is not a run (no run.yaml) and holds '{name.split('/')[0]}'" in answer.err
    assert contents(tmp_path / "mine") == before


def test_other_files_in_the_folder_are_kept_and_do_not_matter(
    call: Call, material: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine", encoding="utf-8")
    for force in ([], ["--force"]):
        assert call("train", *training(material, tmp_path / "mine"), *force).code == 0
    assert (tmp_path / "mine" / "notes.txt").read_text(encoding="utf-8") == "mine"


def test_a_run_that_was_killed_as_it_started_resumes(call: Call, material: Path, run: Path) -> None:
    for path in [*run.iterdir(), *(run / ".thresher").iterdir()]:
        if path.name not in (".thresher", "lock", "rows"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    answer = call("train", *training(material, run))
    assert answer.code == 0, answer.err


def test_rows_in_files_that_the_run_would_overwrite_are_refused_and_kept(
    call: Call, material: Path, run: Path
) -> None:
    kept = (run / "kept.jsonl").read_bytes()
    again = ["--text", "utterance", "--label", "intent", "--model", material / "tiny", "--out", run]
    answer = call("train", run / "kept.jsonl", *again, "--force")
    assert answer.code == 2 and "kept.jsonl: is where a run in" in answer.err, answer.err
    answer = call(
        "train", material / "train.jsonl", *again, "--test", run / "kept.jsonl", "--group", "room", "--force"
    )
    assert answer.code == 2 and "kept.jsonl: is where" in answer.err, answer.err
    assert (run / "kept.jsonl").read_bytes() == kept


def test_rows_of_another_format_replace_the_files_of_the_former_selection(
    call: Call, material: Path, run: Path
) -> None:
    table = pl.read_ndjson(material / "train.jsonl")
    table.write_csv(run.parent / "train.csv")
    asked = ["--text", "utterance", "--label", "intent", "--group", "room", "--model", material / "tiny"]
    quick = ["--epochs", 2, "--batch-size", 8, "--checkpoints", 3, "--threads", 1, "--workers", 1]
    answer = call(
        "run", run.parent / "train.csv", *asked, *quick, "--out", run, "--prune", 0.5, "--by", "el2n"
    )
    assert answer.code == 0 and "train: already done" in answer.err, answer.err
    assert sorted(path.name for path in run.glob("kept*")) == ["kept.csv"]
    assert sorted(path.name for path in run.glob("dropped*")) == ["dropped.csv"]


def test_kept_rows_that_were_cut_short_are_written_again(call: Call, run: Path) -> None:
    whole = (run / "kept.jsonl").read_bytes()
    answer = call("select", run, *SCORED)
    assert "already done" in answer.err
    (run / "kept.jsonl").write_bytes(whole[:100])
    answer = call("select", run, *SCORED)
    assert answer.code == 0 and "is not as it was written; doing it again" in answer.err, answer.err
    assert (run / "kept.jsonl").read_bytes() == whole
    (run / "dropped.jsonl").unlink()
    assert call("select", run, *SCORED).code == 0
    assert (run / "dropped.jsonl").is_file()


def test_a_selection_from_a_table_never_overwrites_the_table(call: Call, run: Path) -> None:
    table = run.parent / "S.parquet"
    shutil.copy(run / ".thresher/score/scores.parquet", table)
    before = table.read_bytes()
    answer = call("select", table, "--by", "el2n", "--prune", 0.5, "--out", table)
    assert answer.code == 2 and "is the table itself and would be overwritten" in answer.err, answer.err
    answer = call(
        "select", run.parent / "S*.parquet", "--by", "el2n", "--prune", 0.5, "--out", run.parent / "k.csv"
    )
    assert answer.code == 2 and "written as .parquet" in answer.err, answer.err
    assert table.read_bytes() == before
    answer = call("select", table, "--by", "aum", "--prune", 0.5, "--out", run.parent / "k.parquet")
    assert answer.code == 0 and "cutoff by aum (low is hard), easy end pruned" in answer.out, answer.out


def test_a_shard_of_the_table_is_not_overwritten(call: Call, run: Path) -> None:
    folder = run.parent / "shards"
    folder.mkdir()
    for number, part in enumerate(pl.read_parquet(run / ".thresher/score/scores.parquet").iter_slices(20)):
        part.write_parquet(folder / f"part-{number}.parquet")
    before = contents(folder)
    options = ["--by", "el2n", "--prune", 0.5, "--json"]
    answer = call("select", folder, *options, "--out", folder / "part-1.parquet")
    assert answer.code == 2 and "is the table itself and would be overwritten" in answer.err, answer.err
    assert contents(folder) == before
    for _ in range(2):
        answer = call("select", folder, *options, "--out", folder / "kept.parquet")
        assert answer.code == 0 and answer.json["n_rows"] == 60, answer.err


@pytest.mark.parametrize("option", [["--hard", "low"], ["--id", "key"]])
def test_options_for_a_table_are_refused_for_a_run(call: Call, run: Path, option: list[str]) -> None:
    answer = call("select", run, "--by", "el2n", *option)
    assert answer.code == 2 and f"{option[0]} is for a table of scores" in answer.err, answer.err


def test_a_selection_by_outdated_scores_is_neither_compared_nor_shown(call: Call, run: Path) -> None:
    answer = call("score", run, "--score-option", "el2n.epoch=1")
    assert answer.code == 0 and "kept.jsonl and dropped.jsonl were selected by earlier scores" in answer.err
    answer = call("compare", run)
    assert answer.code == 2 and "run `thresher select" in answer.err and answer.err.count("\n") == 1, (
        answer.err
    )
    assert call("report", run).code == 0
    assert "thresher select" in (run / "report.html").read_text(encoding="utf-8")


def test_a_selection_by_a_column_of_any_name_stays_in_its_folder(call: Call, run: Path) -> None:
    path = run / ".thresher/score/scores.parquet"
    pl.read_parquet(path).with_columns(pl.col("el2n").alias("../../evil")).write_parquet(path)
    before = {one.name for one in run.parent.iterdir()}
    assert call("select", run, "--by", "../../evil", "--prune", 0.3).code == 0
    assert {one.name for one in run.parent.iterdir()} == before
    assert len(list((run / ".thresher/select").glob("*evil*"))) == 2


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        (["--prune", "45"], "for 45% give 0.45"),
        (["--prune", "45%"], "for 45% give 0.45"),
        (["--by", "vogg"], "did you mean 'vog'?"),
        (["--by", "EL2N"], "did you mean 'el2n'?"),
        (["--protect", "kind=query"], "column 'kind' was not loaded with the rows; add --group kind"),
        (["--floor", "2", "--floor-group", "kind"], "add --group kind"),
    ],
)
def test_a_mistake_is_reported_with_its_remedy(
    call: Call, material: Path, tmp_path: Path, asked: list[str], named: str
) -> None:
    answer = call("run", *training(material, tmp_path / "RUN"), *asked)
    assert answer.code == 2 and named in answer.err and answer.err.count("\n") == 1, answer.err
    assert "_dataset" not in answer.err


def test_a_run_of_other_columns_is_refused(call: Call, material: Path, run: Path) -> None:
    asked = ["--text", "utterance", "--label", "intent", "--model", material / "tiny", "--out", run]
    answer = call("train", material / "train.jsonl", *asked)
    assert answer.code == 2
    assert "other columns (utterance, intent, room; now utterance, intent)" in answer.err, answer.err
    answer = call("select", run, "--protect", "kind=query")
    assert answer.code == 2 and "start a run with --group kind" in answer.err, answer.err


def test_a_test_set_that_is_the_training_set_is_warned_of_even_when_quiet(
    call: Call, material: Path, tmp_path: Path
) -> None:
    asked = training(material, tmp_path / "RUN")
    answer = call("train", *asked, "--test", material / "train.jsonl", "--quiet")
    assert answer.code == 0, answer.err
    assert "100% of the test texts also occur in the training rows" in answer.err


def test_frames_serve_as_test_rows_and_training_rows_are_loaded_first(material: Path, tmp_path: Path) -> None:
    from thresher import UserError
    from thresher.api import load, run, train

    rows = load(material / "train.jsonl", text="utterance", label="intent", groups=["room"])
    test = pl.read_ndjson(material / "test.jsonl")
    quick = {"model": str(material / "tiny"), "epochs": 1, "batch_size": 8, "threads": 1, "workers": 1}
    folder = train(rows, out=tmp_path / "RUN", test=test, **quick)
    assert pl.read_parquet(folder.test_file).height == test.height
    for unloaded in (test, str(material / "train.jsonl")):
        for call in (train, run):
            with pytest.raises(UserError, match=r"load them first: thresher\.load"):
                call(unloaded, out=tmp_path / "OTHER", **quick)


def test_suspects_come_back_without_a_file_and_a_damaged_table_is_named(call: Call, run: Path) -> None:
    from thresher import suspects

    listed = suspects(run)
    assert listed.columns[:2] == ["rank", "id"]
    (run / ".thresher/score/scores.parquet").write_bytes(b"PAR1")
    answer = call("suspects", run, "--out", run.parent / "s.csv")
    assert answer.code == 2 and "scores.parquet" in answer.err and answer.err.count("\n") == 1, answer.err


def test_a_model_that_has_not_learned_the_task_is_reported(
    call: Call, material: Path, tmp_path: Path
) -> None:
    asked = [*training(material, tmp_path / "RUN"), "--test", material / "test.jsonl", "--prune", 0.3]
    still = ["--encoder-lr", 1e-12, "--head-lr", 1e-12, "--by", "el2n", "--seeds", 2]
    answer = call("run", *asked, *still)
    assert answer.code == 0, answer.err
    assert "has not learned the task" in answer.out
    assert "has not learned the task" in (tmp_path / "RUN" / "report.html").read_text(encoding="utf-8")
    (entry,) = comparisons(tmp_path / "RUN").values()
    assert entry["caution"]


def test_test_rows_that_were_loaded_alone_are_tested_in_the_classes_of_the_training_rows(
    material: Path, tmp_path: Path
) -> None:
    from thresher import UserError
    from thresher.api import load, train
    from thresher.rows import read_rows

    rows = load(material / "train.jsonl", text="utterance", label="intent")
    table = pl.read_ndjson(material / "test.jsonl")
    some = load(table.filter(pl.col("intent") != "light"), text="utterance", label="intent")
    assert some.classes != rows.classes
    quick = {"model": str(material / "tiny"), "epochs": 1, "batch_size": 8, "threads": 1, "workers": 1}
    folder = train(rows, out=tmp_path / "RUN", test=some, **quick)
    tested = read_rows(folder.test_file)
    assert [rows.classes[one] for one in tested.labels()] == some.table["intent"].to_list()
    strange = load(table.with_columns(intent=pl.col("intent") + "!"), text="utterance", label="intent")
    with pytest.raises(UserError, match="3 labels never seen in the training rows"):
        train(rows, out=tmp_path / "OTHER", test=strange, **quick)


def test_a_comparison_counts_only_for_its_own_selection(call: Call, material: Path, run: Path) -> None:
    def chosen(temperature: float) -> str:
        option = f"temperature={temperature}"
        answer = call("select", run, *SCORED, "--strategy", "softmax", "--strategy-option", option, "--json")
        assert answer.code == 0, answer.err
        return str(answer.json["selection"])

    first = chosen(0.1)
    assert call("compare", run, "--test", material / "test.jsonl", "--seeds", 2).code == 0
    second = chosen(100)
    assert first != second
    assert call("select", run, *SCORED).code == 0
    assert call("compare", run, "--seeds", 2).code == 0
    from thresher.report.read import read_run
    from thresher.run import Run

    shown = read_run(Run.open(run)).compared
    assert first in shown and len(shown) == 2
    # The same selection by other scores.
    early = ("--score-option", "el2n.epoch=0.5")
    assert call("score", run, *early).code == 0
    assert call("select", run, *SCORED).code == 0
    assert "were selected" not in call("score", run, *early, "--force").err
    assert call("report", run).code == 0
    assert read_run(Run.open(run)).compared == {}


def test_a_run_whose_new_test_rows_were_half_written_has_none(
    call: Call, material: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from thresher.pipeline import test_rows
    from thresher.run import Run

    assert call("compare", run, "--test", material / "test.jsonl", "--seeds", 2).code == 0

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    other = run.parent / "other.jsonl"
    other.write_text("".join((material / "test.jsonl").read_text().splitlines(keepends=True)[:20]))
    monkeypatch.setattr(test_rows, "save_rows", killed)
    with pytest.raises(KeyboardInterrupt):  # from Python: the command ends its process by the signal
        api.compare(run, test=other, seeds=2)
    monkeypatch.undo()
    answer = call("sweep", run, "--fractions", 0.5, "--seeds", 2, "--workers", 1)
    assert answer.code == 2 and "no test rows" in answer.err, answer.err
    assert call("compare", run, "--test", other, "--seeds", 2).code == 0
    assert Run.open(run).manifest.n_test == 20


def test_a_group_may_not_have_the_name_of_a_score(call: Call, material: Path, tmp_path: Path) -> None:
    table = pl.read_ndjson(material / "train.jsonl").rename({"room": "loss"})
    table.write_csv(tmp_path / "train.csv")
    asked = ["--text", "utterance", "--label", "intent", "--group", "loss", "--model", material / "tiny"]
    answer = call("train", tmp_path / "train.csv", *asked, "--out", tmp_path / "RUN")
    assert answer.code == 2 and "group column 'loss' has the name of a column" in answer.err, answer.err
    assert not (tmp_path / "RUN").exists()


def test_rows_of_one_split_and_test_rows_with_known_labels_can_be_requested(
    call: Call, material: Path, tmp_path: Path
) -> None:
    rows = pl.read_ndjson(material / "train.jsonl").with_columns(
        split=pl.Series(["train"] * 50 + ["dev"] * 10)
    )
    rows.write_ndjson(tmp_path / "all.jsonl")
    test = pl.read_ndjson(material / "test.jsonl")
    test.with_columns(intent=pl.Series(["unheard of", *test["intent"][1:]])).write_ndjson(
        tmp_path / "test.jsonl"
    )
    asked = [
        tmp_path / "all.jsonl",
        *training(material, tmp_path / "RUN")[1:],
        "--test",
        tmp_path / "test.jsonl",
    ]
    refused = call("train", *asked)
    assert refused.code == 2 and "--where" in refused.err, refused.err
    refused = call("train", *asked, "--where", "split=train")
    assert refused.code == 2 and "unheard of" in refused.err, refused.err
    trained = call("train", *asked, "--where", "split=train", "--skip-unseen-labels", "--json")
    assert trained.code == 0, trained.err
    assert trained.json["n_rows"] == 50
    from thresher.run import Run

    assert Run.open(tmp_path / "RUN").manifest.n_test == 23

"""`thresher select` on tables of scores that other tools write."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from thresher.cli import main

QUALITY = pl.DataFrame({"is_label_issue": [True, False, False, True], "label_quality": [0.1, 0.9, 0.8, 0.2]})


def select(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["select", *map(str, arguments)])
    captured = capfd.readouterr()
    return int(ended.value.code or 0), captured.out, captured.err


def test_json_lines_of_cartography_keep_their_records(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lines = [json.dumps({"guid": 100 + n, "confidence": n / 4, "variability": 0.1}) for n in range(4)]
    (tmp_path / "td_metrics.jsonl").write_text("\n".join(lines))
    out = tmp_path / "kept.jsonl"
    options = ["--id", "guid", "--by", "confidence", "--prune", 0.5, "--out", out]
    code, said, _ = select(capfd, tmp_path / "td_metrics.jsonl", *options)
    assert code == 0 and "confidence (low is hard)" in said
    assert [json.loads(line) for line in out.read_text().splitlines()] == list(map(json.loads, lines[:2]))


@pytest.mark.parametrize("name", ["issues.csv", "issues.parquet", "issues.tsv"])
def test_a_frame_of_cleanlab_is_selected_by_row_number(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    if name.endswith("parquet"):
        QUALITY.write_parquet(tmp_path / name)
    else:
        QUALITY.write_csv(tmp_path / name, separator="\t" if name.endswith("tsv") else ",")
    out = tmp_path / "kept.csv"
    code, said, told = select(
        capfd, tmp_path / name, "--by", "label_quality", "--end", "hard", "--prune", 0.5, "--out", out
    )
    assert code == 0 and "label_quality (low is hard), hard end pruned" in said
    assert "no column 'id'; rows are named by their number from 0, in column 'row'" in told
    assert out.read_text().splitlines()[1:] == ["1,false,0.9", "2,false,0.8"]


def test_what_looks_like_a_number_is_written_back_as_it_stood(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lines = ["id,zip,big,flag,score,empty", "007,01234,12345678901234567890,True,0.5,", "7,1,2,False,0.25,"]
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n")
    code, _, told = select(
        capfd, tmp_path / "a.csv", "--by", "score", "--prune", 0.5, "--out", tmp_path / "k.csv"
    )
    assert code == 0, told
    assert (tmp_path / "k.csv").read_text().splitlines() == lines[:2]


def test_mistakes_name_the_table_that_was_given(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.csv").write_text("id;s\n1;0.5\n2;0.25\n")
    (tmp_path / "b.csv").write_text("id,s\n1,2,3\n")
    (tmp_path / "c.csv").write_text("id,s\n")
    for arguments, says in (
        (["a.csv", "--by", "s", "--id", "key", "--out", "k.csv"], "a.csv: no column 'key'; it has id, s"),
        (["a.csv", "--by", "s", "--out", "a.csv"], "a.csv is the table itself"),
        (["a.csv", "--by", "s", "--out", "k.txt"], "k.txt: kept rows are written as .parquet, .csv"),
        (["a.csv", "--by", "s"], "a.csv: --out is missing"),
        (["b.csv", "--by", "s", "--out", "k.csv"], "b.csv: not a readable table"),
        (["c.csv", "--by", "s", "--out", "k.csv"], "c.csv: no rows"),
    ):
        placed = [tmp_path / one if "." in one else one for one in arguments]
        code, _, told = select(capfd, *placed, "--prune", 0.5)
        assert code == 2 and says in told and told.count("\n") == 1, told
    assert not (tmp_path / "k.csv").exists()


def test_a_table_without_a_named_score_is_selected_by_the_best_that_it_has(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = range(40)
    own = pl.DataFrame(
        {
            "id": [f"r{n}" for n in rows],
            "label": [str(n % 2) for n in rows],
            "aum": [n / 40 for n in rows],
            "el2n": [1 - n / 40 for n in rows],
            "correctness": [1.0 for _ in rows],
        }
    )
    out, own_file = tmp_path / "kept.parquet", tmp_path / "scores.parquet"
    own.write_parquet(own_file)
    code, said, _ = select(capfd, own_file, "--prune", 0.5, "--out", out)
    assert code == 0 and "recommended by aum (low is hard), correctness (low is hard)" in said
    kept = set(pl.read_parquet(out)["id"])
    select(capfd, own_file, "--prune", 0.5, "--strategy", "recommended", "--stratify", "label", "--out", out)
    assert set(pl.read_parquet(out)["id"]) == kept
    own.select("id", "el2n").write_csv(tmp_path / "scores.csv")
    code, said, _ = select(capfd, tmp_path / "scores.csv", "--prune", 0.5, "--out", out)
    assert code == 0 and "cutoff by el2n (high is hard)" in said
    assert set(pl.read_parquet(out)["id"]) == {f"r{n}" for n in range(20)}
    code, said, _ = select(capfd, own_file, "--prune", 0.5, "--strategy", "random", "--out", out)
    assert code == 0 and "random rows" in said and pl.read_parquet(out).height == 20
    QUALITY.write_csv(tmp_path / "issues.csv")
    code, _, error = select(capfd, tmp_path / "issues.csv", "--prune", 0.5, "--out", out)
    assert code == 2 and "give --by COLUMN, one of is_label_issue, label_quality" in error

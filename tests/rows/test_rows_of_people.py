"""Files as they occur in practice: splits in one folder, missing labels spelled as text, spreadsheets, compression."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from thresher.errors import UserError
from thresher.rows import Rows, audit, audit_lines, load, read_rows, save_rows, write_back
from thresher.rows.read.raw import compressed

GOOD = '{"t": "a", "y": "0"}\n{"t": "b", "y": "1"}\n'
SPLIT = [
    {"t": "play", "y": "music", "partition": "train"},
    {"t": "nine", "y": "alarm", "partition": "train"},
    {"t": "halt", "y": "music", "partition": "train"},
    {"t": "stop", "y": "music", "partition": "test"},
    {"t": "ten", "y": "alarm", "partition": "dev"},
]


def jsonl(path: Path, records: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in records))
    return path


def texts(rows: Rows) -> list[str]:
    return rows.table["t"].to_list()


# Splits are not training rows.


@pytest.mark.parametrize(
    ("train", "held_out"),
    [
        ("snli_1.0_train.jsonl", "snli_1.0_dev.jsonl"),
        ("banking_train.csv", "banking_test.csv"),
        ("x.train.jsonl", "x.valid.jsonl"),
        ("Train-0.jsonl", "Validation-0.jsonl"),
        ("train/0.jsonl", "test/0.jsonl"),
        ("hwu_trainset.csv", "hwu_testset.csv"),
        ("trainData.csv", "testData.csv"),
        ("eng.train.jsonl", "eng.testb.jsonl"),
        ("x_train.csv", "x_hold-out.csv"),
        ("train.jsonl", "evaluation.jsonl"),
        ("banking.csv", "banking_test.csv"),
    ],
)
def test_splits_are_recognised_by_a_word_anywhere_in_the_name(
    train: str, held_out: str, tmp_path: Path
) -> None:
    for name in (train, held_out):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(GOOD if name.endswith("jsonl") else "t,y\na,0\nb,1\nc,1\n")
    flat = "/" not in train
    sources = [str(tmp_path / f"**/*{Path(train).suffix}"), *([tmp_path] if flat else [])]
    for source in sources:
        with pytest.raises(UserError) as caught:
            load(source, text="t", label="y")
        assert f"contains splits ({train}, {held_out}), not shards of one set" in str(caught.value)


@pytest.mark.parametrize(
    "names",
    [
        ("trainer-0.jsonl", "latest-1.jsonl", "contest-2.jsonl"),
        ("train-0.jsonl", "train-1.jsonl", "more.jsonl"),
        ("devel.jsonl", "test.jsonl"),
    ],
)
def test_files_without_a_mix_of_training_and_held_out_rows_are_shards(
    names: tuple[str, ...], tmp_path: Path
) -> None:
    for name in names:
        (tmp_path / name).write_text(GOOD)
    assert len(load(tmp_path, text="t", label="y", classes=["0", "1"])) == 2 * len(names)


SPLIT_SOURCES = {
    "jsonl": lambda folder: jsonl(folder / "a.jsonl", SPLIT),
    "csv": lambda folder: (pl.DataFrame(SPLIT).write_csv(folder / "a.csv"), folder / "a.csv")[1],
    "parquet": lambda folder: (pl.DataFrame(SPLIT).write_parquet(folder / "a.parquet"), folder / "a.parquet")[1],
    "pandas": lambda folder: pd.DataFrame(SPLIT),
    "polars": lambda folder: pl.DataFrame(SPLIT),
    "arrow": lambda folder: pa.Table.from_pylist(SPLIT),
    "dataset": lambda folder: datasets.Dataset.from_list(SPLIT),
    "dataset folder": lambda folder: (datasets.Dataset.from_list(SPLIT).save_to_disk(str(folder / "s")), folder / "s")[1],
}  # fmt: skip


@pytest.mark.parametrize("kind", SPLIT_SOURCES)
def test_a_column_of_splits_is_refused_and_where_chooses_one(kind: str, tmp_path: Path) -> None:
    source = SPLIT_SOURCES[kind](tmp_path)
    with pytest.raises(UserError) as caught:
        load(source, text="t", label="y")
    assert str(caught.value).endswith(
        "column 'partition' has training and held-out rows (train 3, test 1, dev 1); choose with --where"
        " partition=train, or load them all with --group partition"
    )
    rows = load(source, text="t", label="y", where="partition=train")
    assert rows.table.columns == ["id", "t", "y"]
    assert texts(rows) == ["play", "nine", "halt"]
    test = load(source, text="t", label="y", where=["partition!=train", "y=music"], classes=rows.classes)
    assert texts(test) == ["stop"]
    assert len(load(source, text="t", label="y", groups="partition")) == 5


@pytest.mark.parametrize("column", ["Split", "data_split", "subset", "Usage"])
@pytest.mark.parametrize(
    ("train", "held_out"),
    [("Training", "PublicTest"), ("train_set", "test_set"), ("train", "held-out")],
)
@pytest.mark.parametrize("kind", ["csv", "jsonl", "pandas", "parquet"])
def test_other_names_of_split_columns_and_of_splits(
    column: str, train: str, held_out: str, kind: str, tmp_path: Path
) -> None:
    frame = pl.DataFrame({"t": list("abcd"), "y": list("pqqp"), column: [train, train, train, held_out]})
    path = tmp_path / f"a.{kind}"
    write = {"csv": frame.write_csv, "jsonl": frame.write_ndjson, "parquet": frame.write_parquet}
    source = frame.to_pandas() if kind == "pandas" else (write[kind](path), path)[1]
    with pytest.raises(
        UserError, match=f"'{column}' has training and held-out rows .*--where {column}={train}"
    ):
        load(source, text="t", label="y")
    assert texts(load(source, text="t", label="y", where=f"{column}={train}")) == ["a", "b", "c"]
    with pytest.raises(UserError, match="of test rows, write one split to a file of its own"):
        load(source, text="t", label="y", classes=["p", "q"])


def test_a_column_with_the_name_of_split_columns_may_hold_anything_else() -> None:
    frame = pl.DataFrame(
        {"t": list("abcd"), "y": list("pqqp"), "set": ["train", "bus", "tram", "bus"], "fold": [0, 1, 2, 0]}
    )
    assert len(load(frame, text="t", label="y")) == 4


@pytest.mark.parametrize("kind", SPLIT_SOURCES)
@pytest.mark.parametrize("through_run_folder", [False, True])
def test_rows_that_where_left_out_are_in_neither_file(
    kind: str, through_run_folder: bool, tmp_path: Path
) -> None:
    rows = load(
        SPLIT_SOURCES[kind](tmp_path),
        text="t",
        label="y",
        groups="partition",
        classes=("alarm", "music"),
        where="y=music",
    )
    if through_run_folder:
        save_rows(rows, tmp_path / "run" / "rows.parquet")
        again = read_rows(tmp_path / "run" / "rows.parquet")
        assert again.table.equals(rows.table) and again.hash() == rows.hash()
        rows = again
    assert texts(rows) == ["play", "halt", "stop"]
    kept, dropped = write_back(rows, np.array([False, True, True]), tmp_path / "kept")
    expect = {kept: ["halt", "stop"], dropped: ["play"]}
    for path, wanted in expect.items():
        found = load(path, text="t", label="y", groups="partition", classes=rows.classes)
        assert texts(found) == wanted
        assert set(found.table["y"]) == {"music"}


def test_where_over_shards_keeps_lines_and_places(tmp_path: Path) -> None:
    jsonl(tmp_path / "a.jsonl", [{"t": "a", "y": "-"}, {"t": "b", "y": "0"}])
    jsonl(tmp_path / "b.jsonl", [{"t": "c", "y": "-"}, {"t": "d", "y": "1"}, {"t": "e", "y": "1"}])
    rows = load(tmp_path, text="t", label="y", where="y!=-")
    assert (texts(rows), rows.classes) == (["b", "d", "e"], ("0", "1"))
    kept, _ = write_back(rows, [True, False, True], tmp_path / "kept")
    assert {path.name: path.read_text() for path in kept.iterdir()} == {
        "a.jsonl": '{"t": "b", "y": "0"}\n',
        "b.jsonl": '{"t": "e", "y": "1"}\n',
    }
    with pytest.raises(UserError, match=r"b\.jsonl line 2: 1 label not in the training rows: 1"):
        load(tmp_path, text="t", label="y", where="y!=-", classes=["0", "x"])
    frame = pl.DataFrame({"t": ["a", "b", None], "y": ["-", "0", "1"]})
    with pytest.raises(UserError, match="the frame row 3: no text"):
        load(frame, text="t", label="y", where="y!=-")


def test_a_missing_value_is_the_empty_string_to_where() -> None:
    frame = pl.DataFrame({"t": list("abcd"), "y": ["0", None, "1", "1"]})
    assert texts(load(frame, text="t", label="y", where="y!=")) == ["a", "c", "d"]


def test_conditions_that_make_no_sense_get_one_line() -> None:
    frame = pl.DataFrame({"t": list("abc"), "y": ["0", "1", "1"]})
    with pytest.raises(UserError, match="where: 'y' is not a condition; write COLUMN=VALUE or COLUMN!=VALUE"):
        load(frame, text="t", label="y", where="y")
    with pytest.raises(UserError, match="no column 'z'"):
        load(frame, text="t", label="y", where="z=1")
    with pytest.raises(UserError, match="no row matches y=7 and t!=a; check the values"):
        load(frame, text="t", label="y", where=["y=7", "t!=a"])


def test_a_condition_that_excludes_a_value_of_no_row_is_warned_of(capfd: pytest.CaptureFixture[str]) -> None:
    frame = pl.DataFrame({"t": list("abcd"), "y": ["0", "1", "-", "1"]})
    assert len(load(frame, text="t", label="y", where=["y!=-", "y!=2"])) == 3
    assert capfd.readouterr().err == "warning: the frame: where: y!=2 leaves no row out: no y is '2'\n"


# "No label" is not a class.


@pytest.mark.parametrize(
    "spelled",
    [
        "-",
        "-1",
        "-100",
        "?",
        "N/A",
        "NaN",
        "null",
        "_",
        "–",
        "...",
        "<unk>",
        "No_Label",
        "#REF!",
        "not annotated",
        "-999",
    ],
)
def test_a_label_that_may_mean_none_is_reported_with_the_filter_that_drops_it(
    spelled: str, tmp_path: Path
) -> None:
    source = tmp_path / "a.csv"
    pl.DataFrame({"t": list("abcd"), "gold": ["0", "1", spelled, "1"]}).write_csv(source)
    rows = load(source, text="t", label="gold")
    assert audit(rows)["unlabelled"] == {spelled: 1}
    assert (
        f"1 row has the label {spelled}, which may mean that there is none; drop such rows with --where"
        f" 'gold!={spelled}'"
    ) in audit_lines(audit(rows))
    left = load(source, text="t", label="gold", where=f"gold!={spelled}")
    assert left.classes == ("0", "1") and audit(left)["unlabelled"] == {}


def test_a_filter_finds_a_label_that_pandas_wrote_as_a_decimal(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("t,y\na,-1.0\nb,0.0\nc,1.0\nd,1.0\n")
    assert audit(load(tmp_path / "a.csv", text="t", label="y"))["unlabelled"] == {"-1": 1}
    for chosen in ("y!=-1", "y!=-1.0"):
        assert load(tmp_path / "a.csv", text="t", label="y", where=chosen).classes == ("0", "1")


CLASSES = datasets.Features({"t": datasets.Value("string"), "y": datasets.ClassLabel(names=["no", "yes"])})
MISSING = {
    "class label": datasets.Dataset.from_dict({"t": list("abcde"), "y": [0, -1, 1, -1, 1]}, features=CLASSES),
    "polars": pl.DataFrame({"t": list("abcde"), "y": ["no", None, "yes", None, "yes"]}),
    "pandas": pd.DataFrame({"t": list("abcde"), "y": [0, np.nan, 1, np.nan, 1]}),
}


@pytest.mark.parametrize("kind", MISSING)
def test_rows_without_a_label_are_refused_with_their_number_and_the_filter_that_drops_them(kind: str) -> None:
    with pytest.raises(UserError, match=r"row 2: no label .*drop the 2 rows like it with --where 'y!='$"):
        load(MISSING[kind], text="t", label="y")
    assert texts(load(MISSING[kind], text="t", label="y", where="y!=")) == ["a", "c", "e"]


def test_empty_labels_of_a_sheet_are_refused_with_the_filter_that_drops_them(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("t,y\na,\nb,no\nc,yes\nd,yes\n")
    with pytest.raises(UserError, match=r"line 2: empty label .*drop the row with --where 'y!='$"):
        load(tmp_path / "a.csv", text="t", label="y")
    assert texts(load(tmp_path / "a.csv", text="t", label="y", where="y!=")) == ["b", "c", "d"]


# A Json column holds JSON source text: datasets makes one where a column has values of several types.


@pytest.mark.parametrize("kind", ["dataset", "folder", "file", "table"])
def test_a_json_column_is_decoded(kind: str, tmp_path: Path) -> None:
    records = zip(["it", "on", 7, "up", "off"], ["b", "a", "b", 0, "a"], strict=True)
    dataset = datasets.Dataset.from_list([{"t": t, "y": y} for t, y in records], on_mixed_types="use_json")
    dataset.to_parquet(str(tmp_path / "a.parquet"))
    dataset.save_to_disk(str(tmp_path / "saved"))
    source = {
        "dataset": dataset,
        "folder": tmp_path / "saved",
        "file": tmp_path / "a.parquet",
        "table": dataset.with_format("arrow")[:],
    }[kind]
    with pytest.raises(UserError, match=r"row 3: column 't' contains an integer \(7\), not text"):
        load(source, text="t", label="y")
    with pytest.raises(UserError, match=r"row 4: label 0 .* is an integer, the labels before it are strings"):
        load(source, text="t", label="y", where="t!=7")
    rows = load(source, text="t", label="y", where=["t!=7", "y!=0"])
    assert (texts(rows), rows.classes) == (["it", "on", "off"], ("a", "b"))


# Spreadsheets.


@pytest.mark.parametrize(
    "content",
    [
        "t,y\na,1.0\nb,0.0\nc,1.0\n",
        "t,y\na,1.0\nb,0\nc,1\n",
        "t, y\na, 1\nb, 0\nc,1\n",
        "t,y\na,1\nb,0\nc,1\n,\n,\n",
        "t;y\na;1\nb;0\nc;1\n",
        "t\ty\na\t1\nb\t0\nc\t1\n",
        "t|y\na|1\nb|0\nc|1\n",
        " t ,y\na,1\nb,0\nc,1\n",
        "t,y\na,1\nb,0\nc,1\n , \n",
        "t^y\na^1\nb^0\nc^1\n",
        "t\x01y\na\x011\nb\x010\nc\x011\n",
    ],
)
def test_a_sheet_gives_two_integer_classes_and_comes_back_byte_for_byte(content: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(content)
    rows = load(tmp_path / "a.csv", text="t", label="y")
    assert (texts(rows), rows.table["y"].to_list(), rows.classes) == (
        ["a", "b", "c"],
        ["1", "0", "1"],
        ("0", "1"),
    )
    assert rows.integer_labels
    head, *lines = content.splitlines(keepends=True)
    kept, dropped = write_back(rows, [True, False, True], tmp_path / "kept")
    assert (kept.read_text(), dropped.read_text()) == (head + lines[0] + lines[2], head + lines[1])


def test_whole_numbers_of_a_frame_are_integers() -> None:
    for frame in (pd.DataFrame, pl.DataFrame):
        rows = load(frame({"t": list("abc"), "y": [1.0, 0.0, 1.0]}), text="t", label="y")
        assert rows.classes == ("0", "1") and rows.integer_labels


def test_a_comma_inside_a_quoted_header_drops_no_blanks(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('"t, spoken",y\n a,1\nb,0\nc,1\n')
    assert load(tmp_path / "a.csv", text="t, spoken", label="y").table["t, spoken"].to_list() == [
        " a",
        "b",
        "c",
    ]


def test_the_line_that_names_the_delimiter_for_excel_is_no_header(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"sep=;\r\nt, spoken;y\r\na;1\r\nb;0\r\nc;1\r\n")
    rows = load(tmp_path / "a.csv", text="t, spoken", label="y")
    assert rows.table["t, spoken"].to_list() == ["a", "b", "c"]
    kept, _ = write_back(rows, [True, False, True], tmp_path / "kept")
    assert kept.read_bytes() == b"sep=;\r\nt, spoken;y\r\na;1\r\nc;1\r\n"
    with pytest.raises(UserError, match=r"a\.csv line 4: 1 label not"):
        load(tmp_path / "a.csv", text="t, spoken", label="y", classes=["1", "2"])


# Compression.


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst", "a.jsonl"])
def test_compressed_files_are_read_and_written_back_compressed(name: str, tmp_path: Path) -> None:
    lines = [f'{{"t": "text {n}", "y": {n % 2}}}\n' for n in range(5)]
    raw = "".join(lines).encode()
    like = b"\x28\xb5\x2f\xfd" if name.endswith("zst") else b"\x1f\x8b"
    (tmp_path / name).write_bytes(gzip.compress(raw) if like[0] == 0x1F else compressed(raw, like))
    rows = load(tmp_path / name, text="t", label="y")
    assert len(rows) == 5
    kept, _ = write_back(rows, [True, False, False, False, True], tmp_path / "kept")
    assert kept.name == name.replace("a.", "kept.")
    assert texts(load(kept, text="t", label="y", classes=rows.classes)) == ["text 0", "text 4"]
    assert kept.read_bytes().startswith(like)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"PK\x03\x04" + bytes(2000), "a ZIP or Excel file; unpack it"),
        (bz2.compress(GOOD.encode() * 99), "a bzip2 file; unpack it"),
        (lzma.compress(GOOD.encode() * 99), "an xz file; unpack it"),
        (b"/annex/objects/SHA256E-s39--aa.csv\n", "a git-annex pointer.*`git annex get`"),
    ],
)
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json"])
def test_archives_and_pointers_under_another_name_are_named(
    content: bytes, says: str, name: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=f"{name}: {says}"):
        load(tmp_path / name, text="t", label="y")


def test_compressed_shards_of_a_folder_are_found(tmp_path: Path) -> None:
    for shard in ("part-1.jsonl.gz", "part-0.jsonl.gz"):
        (tmp_path / shard).write_bytes(gzip.compress(GOOD.replace('"a"', f'"{shard}"').encode()))
    rows = load(tmp_path, text="t", label="y")
    assert texts(rows) == ["part-0.jsonl.gz", "b", "part-1.jsonl.gz", "b"]


# Test rows with labels that training does not have.


def test_unseen_labels_are_skipped_and_counted(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "test.csv").write_text("k,t,y\n1,a,play\n2,b,musik\n3,c,alrm\n4,d,music\n")
    test = load(
        tmp_path / "test.csv", text="t", label="y", id="k", classes=["music", "play"], skip_unseen=True
    )
    assert test.table["id"].to_list() == ["1", "4"]
    assert test.labels().tolist() == [1, 0]
    assert (
        "test.csv: 2 of 4 rows are skipped, because their labels are not in the training rows: alrm, musik"
        in capfd.readouterr().err
    )
    with pytest.raises(UserError, match="no row has a label of the training rows"):
        load(tmp_path / "test.csv", text="t", label="y", classes=["x", "z"], skip_unseen=True)


@pytest.mark.parametrize("name", ["nlu.yml", "rows.conll", "a.iob.gz"])
def test_annotated_utterances_are_told_the_commands_that_read_them(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("nlu: []\n")
    for source in (tmp_path / name, tmp_path, f"{tmp_path}/*"):
        with pytest.raises(UserError, match=f"{name}: annotated utterances.*`thresher nlu score`.*convert"):
            load(source, text="t", label="y")

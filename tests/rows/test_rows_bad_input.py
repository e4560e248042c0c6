"""Bad rows give one line that names file, line or column and the remedy."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from thresher.errors import UserError
from thresher.nlu.rows import load_utterances
from thresher.rows import audit, audit_lines, load

GOOD = '{"t": "a", "y": "0"}\n{"t": "b", "y": "1"}\n'


def refusal(source: Any, **columns: Any) -> str:
    """The one line that a source gets."""
    with pytest.raises(UserError) as caught:
        load(source, **({"text": "t", "label": "y"} | columns))
    message = str(caught.value)
    assert message
    assert message.isprintable(), "one line, nothing that moves a terminal's cursor"
    return message


FILES: dict[str, tuple[str, bytes | str, list[str]]] = {
    # what is wrong: (file name, content, what the line must say)
    "empty": ("a.jsonl", b"", ["a.jsonl: no rows"]),
    "blank lines only": ("a.jsonl", b"\n \n", ["a.jsonl: no rows"]),
    "byte order mark only": ("a.csv", b"\xef\xbb\xbf", ["a.csv: no rows"]),
    "header only": ("a.csv", b"t,y\n", ["a.csv: no rows"]),
    "empty array": ("a.json", b"[]", ["a.json: no rows"]),
    "empty parquet": ("a.parquet", b"", ["a.parquet: no rows"]),
    "broken JSON": ("a.jsonl", GOOD + '{"t": "c", "y": \n', ["a.jsonl line 3", "broken JSON", "column 16"]),
    "JSON cut in a string": ("a.jsonl", GOOD + '{"t": "c', ["a.jsonl line 3", "broken JSON", "column 7"]),
    "broken JSON after blank lines": ("a.jsonl", GOOD + "\n\n{]\n", ["a.jsonl line 5", "broken JSON"]),
    "two objects on a line": ("a.jsonl", GOOD + '{"t": "c", "y": "1"} {"t": "d", "y": "1"}', ["line 3", "extra data"]),
    "no object": ("a.jsonl", GOOD + '["c", "1"]\n', ["a.jsonl line 3", "not a JSON object"]),
    "nested too deep": ("a.jsonl", GOOD + "[" * 100_000, ["a.jsonl line 3", "broken JSON", "nested too deep"]),
    "endless number": ("a.jsonl", GOOD + '{"t": "c", "y": ' + "1" * 5000 + "}", ["line 3", "too many digits"]),
    "broken array": ("a.json", '[\n{"t": "a", "y": "0"},\n{"t": "b" "y": "1"}\n]', ["a.json line 3", "broken JSON"]),
    "array not closed": ("a.json", '[\n{"t": "a", "y": "0"}\n', ["a.json line 3", "broken JSON"]),
    "array with a comma too many": ("a.json", '[{"t": "a", "y": "0"},\n]', ["a.json line 2", "broken JSON"]),
    "text after the array": ("a.json", '[{"t": "a", "y": "0"}]\nx', ["a.json line 2", "extra data"]),
    "element that is no object": ("a.json", '[{"t": "a", "y": "0"},\n 7]', ["a.json line 2", "7 is not a JSON object"]),
    "one object": ("a.json", '{\n"t": ["a"]\n}', ["a.json: not an array of objects", ".jsonl"]),
    "one string": ("a.json", '"hello"', ["a.json: not an array of objects"]),
    "ragged": ("a.csv", "t,y\na,0\nb,1,2\n", ["a.csv line 3", "3 fields", "header has 2", "comma"]),
    "short": ("a.csv", "t,y\na,0\nb\n", ["a.csv line 3", "1 field", "header has 2"]),
    "ragged after a text of three lines": ("a.csv", 't,y\n"a\nb\nc",0\nb,1,2\n', ["a.csv line 5", "3 fields"]),
    "ragged TSV": ("a.tsv", "t\ty\na\t0\nb\t1\t2\n", ["a.tsv line 3", "3 fields", "tab"]),
    "quote never closed": ("a.csv", 't,y\na,0\n"b,1\nc,1\n', ["a.csv line 3", "never closed"]),
    "text after a quote": ("a.csv", 't,y\na,0\n"b"c,1\n', ["a.csv line 3", "closing quote"]),
    "bare carriage return": ("a.csv", "t,y\na,0\nb\rc,1\n", ["a.csv line 3", "carriage return"]),
    "classic Mac line ends": ("a.csv", "t,y\ra,0\rb,1\r", ["a.csv line 1", "carriage return"]),
    "Git LFS pointer": ("a.csv", "version https://git-lfs.github.com/spec/v1\n", ["a.csv: a Git LFS pointer", "git lfs pull"]),
    "damaged gzip": ("a.csv.gz", b"\x1f\x8b\x08\x00broken", ["a.csv.gz: damaged gzip data"]),
    "compressed parquet": ("a.parquet.gz", b"PAR1", ["a.parquet.gz: unknown file extension '.gz'"]),
    "no header": ("a.csv", "hello,0\nbye,1\n", ["a.csv: no column 't'", "it has hello, 0", "first line"]),
    "column twice": ("a.csv", "t,y,t\na,0,b\nb,1,c\n", ["a.csv: 2 columns are called 't'"]),
    "Latin-1 JSONL": ("a.jsonl", GOOD.encode() + b'{"t": "caf\xe9", "y": "1"}\n', ["line 3", "not UTF-8", "0xe9", "byte 11"]),
    "Latin-1 JSON": ("a.json", b'[{"t": "a", "y": "0"},\n{"t": "caf\xe9", "y": "1"}]', ["a.json line 2", "not UTF-8", "byte 11"]),
    "Latin-1 CSV": ("a.csv", b"t,y\na,0\ncaf\xe9,1\n", ["a.csv line 3", "not UTF-8", "0xe9", "byte 4", "iconv -f CP1252"]),
    "Latin-1 TSV": ("a.tsv", b't\ty\n"a"\t0\ncaf\xe9\t1\n', ["a.tsv line 3", "not UTF-8"]),
    "UTF-16": ("a.csv", "t,y\na,0\n".encode("utf-16"), ["a.csv: UTF-16", "iconv"]),
    "half a surrogate pair": ("a.jsonl", GOOD + r'{"t": "\ud83d", "y": "1"}', ["a.jsonl line 3", "'t'", "surrogate"]),
    "null text": ("a.jsonl", GOOD + '{"t": null, "y": "1"}', ["a.jsonl line 3", "no text", "'t'"]),
    "absent text": ("a.jsonl", GOOD + '{"y": "1"}', ["a.jsonl line 3", "no text", "'t'"]),
    "NaN text": ("a.jsonl", GOOD + '{"t": NaN, "y": "1"}', ["a.jsonl line 3", "no text", "'t'"]),
    "null label": ("a.jsonl", GOOD + '\n{"t": "c", "y": null}', ["a.jsonl line 4", "no label", "'y'"]),
    "NaN label": ("a.jsonl", GOOD + '{"t": "c", "y": NaN}', ["a.jsonl line 3", "no label", "'y'"]),
    "every label null": ("a.jsonl", '{"t": "c", "y": null}\n', ["a.jsonl line 1", "no label", "'y'"]),
    "empty label": ("a.csv", "t,y\na,0\nb,\n", ["a.csv line 3", "empty label", "'y'"]),
    "blank label": ("a.jsonl", GOOD + '{"t": "c", "y": " "}', ["a.jsonl line 3", "empty label", "'y'"]),
    "number as text": ("a.jsonl", GOOD + '{"t": 5, "y": "1"}', ["a.jsonl line 3", "'t'", "an integer (5), not text"]),
    "list as text": ("a.jsonl", GOOD + '{"t": ["a"], "y": "1"}', ["a.jsonl line 3", "'t'", "a list"]),
    "decimal label": ("a.jsonl", '{"t": "a", "y": 1}\n{"t": "b", "y": 1.5}', ["a.jsonl line 2", "1.5", "a decimal number"]),
    "decimal labels in CSV": ("a.csv", "t,y\na,1\nb,2.5\nc,1\n", ["a.csv line 3", "2.5", "decimal number"]),
    "list as label": ("a.jsonl", '{"t": "a", "y": ["x"]}\n', ["a.jsonl line 1", "label", "a list"]),
    "mixed labels": ("a.jsonl", GOOD + '{"t": "c", "y": 1}', ["a.jsonl line 3", "an integer", "strings"]),
    "boolean among integers": ("a.jsonl", '{"t": "a", "y": 1}\n{"t": "c", "y": true}', ["line 2", "a boolean", "integers"]),
    "one class": ("a.csv", "t,y\na,0\nb,0\n", ["a.csv: every label is '0'", "'y'", "two"]),
    "one row": ("a.csv", "t,y\na,0\n", ["a.csv: every label is '0'"]),
    "as many classes as rows": ("a.csv", "t,y\na,0\nb,1\nc,2\n", ["a.csv: each of the 3 rows", "'y'", "regression"]),
    "not a Parquet file": ("a.parquet", GOOD, ["a.parquet: not a readable Parquet file"]),
    "unknown ending": ("a.xlsx", b"PK", ["a.xlsx", "'.xlsx'", ".csv", ".parquet"]),
    "terminal escapes in a label": ("a.csv", "t,y\na,\x1b[2J\u202e\nb,\x1b[2J\u202e\n", ["a.csv: every label is '[2J'"]),
}  # fmt: skip


@pytest.mark.parametrize("wrong", FILES)
def test_a_bad_file_gets_one_line_with_the_place_and_the_remedy(wrong: str, tmp_path: Path) -> None:
    name, content, said = FILES[wrong]
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    message = refusal(tmp_path / name)
    for words in said:
        assert words in message
    assert ";" in message, "what is wrong; what to do"


def test_a_missing_file_names_its_nearest_neighbour(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text(GOOD)
    assert (
        refusal(tmp_path / "trian.jsonl")
        == f"{tmp_path}/trian.jsonl: no such file; did you mean 'train.jsonl'?"
    )
    assert refusal(tmp_path / "nowhere" / "a.csv").endswith("nowhere/a.csv: no such file; check the path")
    assert "no file matches" in refusal(tmp_path / "*.csv")
    assert "no .jsonl" in refusal(tmp_path.parent)


def test_a_missing_column_lists_what_there_is(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"utterance": "a", "label": "0"}\n{"utterance": "b", "label": "1"}\n')
    message = refusal(tmp_path / "a.jsonl", text="utterance", label="lable")
    assert message == f"{tmp_path}/a.jsonl: no column 'lable'; it has utterance, label; did you mean 'label'?"
    for source in (
        pl.DataFrame({"text": ["a"], "label": [1]}),
        pd.DataFrame({"text": ["a"], "label": [1]}),
        pa.table({"text": ["a"], "label": [1]}),
        datasets.Dataset.from_dict({"text": ["a"], "label": [1]}),
    ):
        assert "no column 'Text'; it has text, label; did you mean 'text'?" in refusal(
            source, text="Text", label="label"
        )
    assert "no column 'g'" in refusal(tmp_path / "a.jsonl", text="utterance", label="label", groups=["g"])
    assert "no column 'k'" in refusal(tmp_path / "a.jsonl", text="utterance", label="label", id="k")


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"text": None}, "0 text columns given"),
        ({"text": 0}, "text is 0, of type int; give the name of a column"),
        ({"groups": 5}, "groups is 5, of type int"),
        ({"text": [0]}, "a column is given as 0, of type int; give its name as a string, '0'"),
        ({"label": ["y"]}, "of type list; give its name as a string"),
        ({"label": None}, "a column is given as None, of type NoneType"),
        ({"id": True}, "a column is given as True, of type bool"),
    ],
)
def test_columns_that_are_not_names_get_one_line(columns: dict[str, Any], says: str) -> None:
    assert says in refusal(pl.DataFrame({"t": ["a", "b", "c"], "y": ["0", "1", "1"]}), **columns)


def test_names_come_in_any_collection_and_none_means_no_group() -> None:
    frame = pd.DataFrame({"t": ["a", "b", "c"], "y": ["0", "1", "1"], "g": ["x", "x", "z"]})
    assert load(frame, text="t", label="y", groups=None).groups == ()
    assert load(frame, text=frame.columns[:1], label="y", groups=frame.columns[2:]).groups == ("g",)


def test_a_lazy_frame_that_cannot_be_collected_and_a_frame_that_cannot_be_stored_get_one_line() -> None:
    assert "the lazy frame: cannot be collected" in refusal(pl.scan_csv("nope.csv"))
    assert "the lazy frame: cannot be collected" in refusal(pl.LazyFrame({"t": ["a"]}).select("u"))
    cut = pd.DataFrame({"t": ["a", "bb", "ccc"], "y": ["0", "1", "1"]})
    cut["length"] = pd.cut(cut["t"].str.len(), 2)
    assert "the frame: cannot be stored as Parquet" in refusal(cut)


def test_a_line_in_a_shard_is_named_by_the_shard_and_its_own_line(tmp_path: Path) -> None:
    (tmp_path / "part-2.jsonl").write_text(GOOD)
    (tmp_path / "part-10.jsonl").write_text("\n" + GOOD + '{"t": "c", "y": null}\n')
    assert f"{tmp_path}/part-10.jsonl line 4: no label" in refusal(tmp_path)
    (tmp_path / "part-10.jsonl").write_text('{"t": "c", "y": 1}\n')
    message = refusal(tmp_path)
    assert f"{tmp_path}/part-10.jsonl line 1" in message
    assert "part-2.jsonl" in message
    (tmp_path / "part-10.jsonl").write_text('{"text": "c", "y": "1"}\n')
    assert f"{tmp_path}/part-10.jsonl: no column 't'" in refusal(tmp_path)


def test_decimal_labels_of_a_csv_shard_are_named_by_the_shard(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("t,y\na,0\nb,1\n")
    (tmp_path / "b.csv").write_text("t,y\nc,1\n\nd,0.5\n")
    assert f"{tmp_path}/b.csv line 4: label 0.5" in refusal(tmp_path)


def test_shards_of_several_formats_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("t,y\na,0\n")
    (tmp_path / "b.jsonl").write_text(GOOD)
    message = refusal(tmp_path)
    assert "several formats" in message
    assert "a.csv" in message
    assert "b.jsonl" in message


def test_ids_given_twice_name_both_places(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("k,t,y\n1,a,0\n2,b,1\n")
    (tmp_path / "b.csv").write_text("k,t,y\n3,c,0\n1,d,1\n")
    message = refusal(tmp_path, id="k")
    assert f"{tmp_path}/b.csv line 3: duplicate id '1' (first at {tmp_path}/a.csv line 2)" in message


@pytest.mark.parametrize(("value", "said"), [(None, "no id"), ("", "empty id"), (1.5, "a decimal number")])
def test_ids_are_strings_or_integers(value: Any, said: str) -> None:
    data = pd.DataFrame({"k": ["a", "b", value], "t": ["x", "y", "z"], "y": [0, 1, 1]}).astype(object)
    message = refusal(data, id="k")
    assert "the frame row 3" in message
    assert said in message


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, pd.NaT])
def test_every_kind_of_missing_value_in_a_frame_is_named_by_its_row(missing: Any) -> None:
    texts = pd.DataFrame({"t": pd.Series(["a", missing, "c"], dtype=object), "y": [0, 1, 1]})
    labels = pd.DataFrame({"t": ["a", "b", "c"], "y": pd.Series(["0", "1", missing], dtype=object)})
    assert "the frame row 2: no text (column 't'" in refusal(texts)
    assert "the frame row 3: no label (column 'y'" in refusal(labels)


def test_pandas_integers_with_a_gap_are_a_missing_label() -> None:
    assert "the frame row 2: no label" in refusal(pd.DataFrame({"t": ["a", "b", "c"], "y": [0, None, 1]}))


def test_decimal_columns_are_not_labels() -> None:
    for source in (
        pl.DataFrame({"t": ["a", "b"], "y": [1.0, 2.5]}),
        pd.DataFrame({"t": ["a", "b"], "y": [1.0, 2.5]}),
    ):
        assert "the frame row 1: label 1.0 (column 'y') is a decimal number" in refusal(source)


def test_numbers_in_a_text_column_are_refused() -> None:
    assert "row 1: column 't' contains an integer (1), not text" in refusal(
        pl.DataFrame({"t": [1, 2], "y": [0, 1]})
    )


def test_parquet_rows_are_counted_from_one(tmp_path: Path) -> None:
    pq.write_table(pa.table({"t": ["a", None, "c"], "y": ["0", "1", "1"]}), tmp_path / "a.parquet")
    assert f"{tmp_path}/a.parquet row 2: no text" in refusal(tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:-20])
    assert "b.parquet: not a readable Parquet file" in refusal(tmp_path / "b.parquet")


def test_a_dataset_without_a_label_is_a_missing_label() -> None:
    features = datasets.Features({"t": datasets.Value("string"), "y": datasets.ClassLabel(names=["n", "p"])})
    dataset = datasets.Dataset.from_dict({"t": ["a", "b", "c"], "y": [1, 0, -1]}, features=features)
    assert "the dataset row 3: no label" in refusal(dataset)


def test_splits_are_named(tmp_path: Path) -> None:
    splits = datasets.DatasetDict({"train": datasets.Dataset.from_dict({"t": ["a"], "y": [0]})})
    splits["dev"] = splits["train"]
    splits.save_to_disk(str(tmp_path / "saved"))
    message = refusal(tmp_path / "saved")
    assert "contains the splits train, dev" in message
    assert f"{tmp_path}/saved/train" in message
    assert "contains the splits train, dev" in refusal(splits)


def test_labels_of_test_rows_that_training_never_saw_are_named(tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text("t,y\na,play\nb,musik\nc,alrm\n")
    message = refusal(tmp_path / "test.csv", classes=["music", "play"])
    assert f"{tmp_path}/test.csv line 3: 2 labels not in the training rows: alrm, musik" in message


def test_the_columns_asked_for_must_make_sense() -> None:
    data = pl.DataFrame({"id": ["a"], "t": ["b"], "y": [0]})
    assert "'id' cannot be text" in refusal(data, text="id")
    assert "'t' is given twice" in refusal(data, text=("t", "t"))
    assert "'y' is given twice" in refusal(data, groups="y")
    assert "results are reported by label anyway" in refusal(data, groups="y")
    assert "is given both as id and as text, label or group" in refusal(data, id="t")
    assert "3 text columns" in refusal(data, text=("t", "y", "id"))
    assert "0 text columns" in refusal(data, text=())


def test_groups_are_single_values() -> None:
    data = pl.DataFrame({"t": ["a", "b"], "y": [0, 1], "g": [["x"], ["y"]]})
    assert "the frame row 1: group 'g' is a list" in refusal(data, groups="g")


def test_an_object_that_is_not_a_source_is_refused() -> None:
    assert "rows cannot be read from an object of type dict" in refusal({"t": ["a"]})
    assert "rows cannot be read from an object of type list" in refusal(
        [json.loads(line) for line in GOOD.splitlines()]
    )


def test_training_and_held_out_files_in_one_folder_are_not_shards(tmp_path: Path) -> None:
    for name in ("train-0.jsonl", "train-1.jsonl", "test.jsonl"):
        (tmp_path / name).write_text(GOOD)
    message = refusal(tmp_path)
    assert "contains splits (train-0.jsonl, test.jsonl), not shards of one set" in message
    assert len(load(str(tmp_path / "train-*.jsonl"), text="t", label="y")) == 4


def test_an_array_named_jsonl_is_refused_with_the_right_extension(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('[\n{"t": "a", "y": "0"}\n]')
    assert refusal(tmp_path / "a.jsonl").endswith("a JSON array belongs in a .json file")


def test_a_text_instead_of_a_path_is_reported_as_a_missing_file() -> None:
    assert "cannot be read" in refusal("x" * 5000)
    assert "no such file" in refusal("wake me\x1b\nat nine")


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(GOOD)
    path.chmod(0)
    if os.access(path, os.R_OK):
        path.unlink()
        path.symlink_to("/proc/self/mem")
    assert "a.jsonl: cannot be read" in refusal(path)


def test_python_objects_in_a_polars_frame_are_refused() -> None:
    data = pl.DataFrame({"t": list("abc"), "y": [0, 1, 1], "o": pl.Series([object()] * 3, dtype=pl.Object)})
    assert "the frame: column 'o' contains Python objects" in refusal(data)


UNSTORABLE = {
    "empty struct": pa.table({"t": list("abc"), "y": [0, 1, 1], "z": pa.array([{}] * 3, pa.struct([]))}),
    "interval": pa.table({"t": list("abc"), "y": [0, 1, 1], "z": pa.array([pa.MonthDayNano([1, 2, 3])] * 3)}),
    "wide integer": pl.DataFrame(
        {"t": list("abc"), "y": [0, 1, 1], "z": pl.Series([1, 2, 3], dtype=pl.Int128)}
    ),
}


@pytest.mark.parametrize("kind", sorted(UNSTORABLE))
def test_a_frame_that_parquet_cannot_store_is_refused_before_anything_is_trained(kind: str) -> None:
    assert "the frame: cannot be stored as Parquet" in refusal(UNSTORABLE[kind])


def test_strings_of_a_parquet_file_that_are_not_utf8_are_reported_by_column(tmp_path: Path) -> None:
    latin = pa.array([b"caf\xe9", b"a", b"b"]).view(pa.string())
    pq.write_table(pa.table({"t": latin, "y": ["0", "1", "1"]}), tmp_path / "a.parquet")
    assert "column 't' contains strings that are not UTF-8" in refusal(tmp_path / "a.parquet")


NAMELESS = '{"info": {"features": {"y": {"_type": "ClassLabel"}}}}'


@pytest.mark.parametrize("metadata", ['{"info": null}', "[1]", "not json", NAMELESS])
def test_metadata_of_another_form_is_ignored(metadata: str, tmp_path: Path) -> None:
    table = pa.table({"t": list("abc"), "y": [0, 1, 1]}).replace_schema_metadata({"huggingface": metadata})
    pq.write_table(table, tmp_path / "a.parquet")
    assert load(tmp_path / "a.parquet", text="t", label="y").classes == ("0", "1")


def test_a_label_of_very_many_digits_is_a_name(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"t,y\na,{'7' * 5000}\nb,1\nc,1\n")
    rows = load(tmp_path / "a.csv", text="t", label="y")
    assert not rows.integer_labels and rows.classes == ("1", "7" * 5000)


def test_classes_given_twice_are_refused() -> None:
    frame = pl.DataFrame({"t": list("abc"), "y": ["u", "v", "v"]})
    assert "class 'v' is given twice" in refusal(frame, classes=["u", "v", "v"])


def test_what_is_no_local_file_says_so(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    for source, says in (
        (tmp_path / "pipe.jsonl", "not a file; rows are read more than once"),
        ("https://example.org/a.csv", "a URL; rows are read from local files"),
        (Path("hf://datasets/a.csv"), "a URL; rows are read from local files"),
        ("~nobody-of-this-name/a.csv", "there is no such user"),
        ("x" * 300 + ".csv", "cannot be read"),
    ):
        assert says in refusal(source)
        with pytest.raises(UserError, match=says):
            load_utterances(source)


@pytest.mark.parametrize("form", ["utf-16", "utf-32"])
def test_a_wide_encoding_with_a_mark_is_named(form: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("t,y\na,0\nb,1\n".encode(form))
    assert f"iconv -f {form.upper()} -t UTF-8" in refusal(tmp_path / "a.csv")


@pytest.mark.parametrize("form", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_mark_is_named(form: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("t,y\na,0\nb,1\n".encode(form))
    assert f"iconv -f {form.upper().replace('-16-', '-16')} -t UTF-8" in refusal(tmp_path / "a.csv")


def test_a_label_in_another_unicode_form_is_told_apart() -> None:
    composed, apart = "caf\u00e9", "cafe\u0301"
    frame = pl.DataFrame({"t": ["a", "b", "c"], "y": [composed, apart, "tea"]})
    assert "is a class in another Unicode form" in refusal(frame, classes=[composed, "tea"])
    found = audit_lines(audit(load(frame, text="t", label="y", classes=[composed, apart, "tea"])))
    assert any("differ only in case, white space or Unicode form" in line for line in found)


@pytest.mark.parametrize("name", ["dataset_info.json", "state.json"])
@pytest.mark.parametrize("content", ["[]", "{", "null", None])
def test_a_saved_dataset_with_a_broken_description_is_named(
    content: str | None, name: str, tmp_path: Path
) -> None:
    datasets.Dataset.from_dict({"t": ["a", "b"], "y": [0, 1]}).save_to_disk(str(tmp_path / "saved"))
    if content is None:
        (tmp_path / "saved" / name).unlink()
    else:
        (tmp_path / "saved" / name).write_text(content)
    assert f"{tmp_path}/saved: not a readable dataset folder" in refusal(tmp_path / "saved")


def test_a_saved_dataset_without_rows_is_named(tmp_path: Path) -> None:
    rows = datasets.Dataset.from_dict({"t": ["a", "b"], "y": [0, 1]})
    rows.select([]).save_to_disk(str(tmp_path / "saved"))
    assert f"{tmp_path}/saved: no rows" in refusal(tmp_path / "saved")

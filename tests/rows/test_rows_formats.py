"""Every kind of source gives the same rows."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from thresher.rows import Rows, load

RECORDS: list[dict[str, Any]] = [
    {"utterance": "wake me at nine", "intent": "alarm", "source": "live", "n": 1},
    {"utterance": "おはよう 👩‍👩‍👧 zürich", "intent": "greet", "source": "synthetic", "n": 2},
    {"utterance": "شغّل الموسيقى", "intent": "music", "source": "live", "n": 3},
    {"utterance": 'say "hi", then\nstop\t!', "intent": "greet", "source": "", "n": 4},
    {"utterance": "x" * 200_000, "intent": "music", "source": "live", "n": 5},
    {"utterance": "", "intent": "alarm", "source": "live", "n": 6},
]


def write_jsonl(path: Path, records: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in records), encoding="utf-8")
    return path


def write_delimited(path: Path, records: list[dict[str, Any]], delimiter: str) -> Path:
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, list(records[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(records)
    return path


def made(kind: str, folder: Path) -> Any:
    """The records as one kind of source."""
    match kind:
        case "jsonl" | "ndjson":
            return write_jsonl(folder / f"a.{kind}", RECORDS)
        case "json":
            path = folder / "a.json"
            path.write_text(json.dumps(RECORDS, indent=2))
            return path
        case "json of lines":
            return write_jsonl(folder / "a.json", RECORDS)
        case "csv":
            return write_delimited(folder / "a.CSV", RECORDS, ",")
        case "tsv":
            return write_delimited(folder / "a.tsv", RECORDS, "\t")
        case "parquet":
            pq.write_table(pa.Table.from_pylist(RECORDS), folder / "a.parquet", row_group_size=2)
            return folder / "a.parquet"
        case "parquet of categories":
            table = pa.Table.from_pylist(RECORDS)
            coded = table.set_column(1, "intent", table["intent"].dictionary_encode())
            pq.write_table(coded, folder / "a.parquet")
            return folder / "a.parquet"
        case "folder" | "glob":
            for shard, start in (("part-10.jsonl", 4), ("part-9.jsonl", 2), ("part-0.jsonl", 0)):
                write_jsonl(folder / shard, RECORDS[start : start + 2])
            (folder / "_SUCCESS").touch()
            (folder / ".part-0.jsonl.crc").touch()
            (folder / "part-5.jsonl").touch()
            return folder if kind == "folder" else str(folder / "part-*.jsonl")
        case "pandas":
            return pd.DataFrame(RECORDS)
        case "pandas objects":
            return pd.DataFrame(RECORDS).astype(object)
        case "pandas categories":
            return pd.DataFrame(RECORDS).astype({"intent": "category"})
        case "polars":
            return pl.DataFrame(RECORDS)
        case "lazy":
            return pl.LazyFrame(RECORDS)
        case "arrow":
            return pa.Table.from_pylist(RECORDS)
        case "dataset":
            return datasets.Dataset.from_list(RECORDS)
        case "dataset folder":
            datasets.Dataset.from_list(RECORDS).save_to_disk(str(folder / "saved"))
            return folder / "saved"
    raise AssertionError(kind)


KINDS = [
    "jsonl", "ndjson", "json", "json of lines", "csv", "tsv", "parquet", "parquet of categories", "folder", "glob",
    "pandas", "pandas objects", "pandas categories", "polars", "lazy", "arrow", "dataset", "dataset folder",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_source_gives_the_same_rows(kind: str, tmp_path: Path) -> None:
    rows = load(made(kind, tmp_path), text="utterance", label="intent", groups="source")
    assert rows.table.columns == ["id", "utterance", "intent", "source"]
    assert set(rows.table.dtypes) == {pl.String}
    for column in ("utterance", "intent", "source"):
        assert rows.table[column].to_list() == [one[column] for one in RECORDS]
    assert rows.classes == ("alarm", "greet", "music")
    assert rows.labels().tolist() == [0, 1, 2, 1, 2, 0]
    assert rows.labels().dtype == np.int64
    assert not rows.integer_labels
    assert len(rows) == 6
    reference = load(pl.DataFrame(RECORDS), text="utterance", label="intent", groups="source")
    assert rows.table["id"].to_list() == reference.table["id"].to_list()
    assert rows.hash() == reference.hash()


def frame(**columns: Any) -> Rows:
    return load(pl.DataFrame(columns), text="t", label="y")


def test_integer_labels_are_sorted_as_numbers_in_files_with_and_without_types(tmp_path: Path) -> None:
    records = [{"t": f"text {n}", "y": n} for n in (10, 9, -1, 10)]
    for path in (
        write_jsonl(tmp_path / "a.jsonl", records),
        write_delimited(tmp_path / "a.csv", records, ","),
    ):
        rows = load(path, text="t", label="y")
        assert rows.classes == ("-1", "9", "10")
        assert rows.labels().tolist() == [2, 1, 0, 2]
        assert rows.integer_labels


def test_labels_with_a_leading_zero_are_names_not_numbers(tmp_path: Path) -> None:
    records = [{"t": "a", "y": "007"}, {"t": "b", "y": "7"}, {"t": "c", "y": "7"}]
    rows = load(write_delimited(tmp_path / "a.csv", records, ","), text="t", label="y")
    assert rows.classes == ("007", "7")
    assert not rows.integer_labels


def test_boolean_labels_are_two_classes() -> None:
    rows = frame(t=["a", "b", "c"], y=[True, False, True])
    assert rows.classes == ("false", "true")
    assert not rows.integer_labels


def test_class_labels_of_datasets_become_their_names_also_through_parquet(tmp_path: Path) -> None:
    features = datasets.Features(
        {"t": datasets.Value("string"), "y": datasets.ClassLabel(names=["neg", "pos"])}
    )
    dataset = datasets.Dataset.from_dict({"t": ["a", "b", "c"], "y": [1, 0, 1]}, features=features)
    dataset.to_parquet(str(tmp_path / "a.parquet"))
    for source in (dataset, tmp_path / "a.parquet"):
        rows = load(source, text="t", label="y")
        assert rows.table["y"].to_list() == ["pos", "neg", "pos"]


def test_a_dataset_that_was_filtered_and_shuffled_is_read_as_it_is() -> None:
    dataset = datasets.Dataset.from_dict({"t": list("abcdef"), "y": [0, 1, 0, 1, 0, 1]}).select([5, 0, 3])
    assert load(dataset, text="t", label="y").table["t"].to_list() == ["f", "a", "d"]


def test_two_text_columns() -> None:
    data = pl.DataFrame({"p": ["a", "b", "c"], "h": ["x", "y", "z"], "l": ["e", "n", "e"]})
    rows = load(data, text=("p", "h"), label="l")
    assert rows.text == ("p", "h")
    assert rows.table.columns == ["id", "p", "h", "l"]


def test_given_ids_are_kept_and_integers_become_strings(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [{"id": n, "t": "same", "y": n % 2} for n in (30, 7, 5)])
    assert load(path, text="t", label="y", id="id").table["id"].to_list() == ["30", "7", "5"]


def test_ids_made_from_content_do_not_depend_on_order_format_or_column_names() -> None:
    texts, labels = ["a", "b", "a", "a"], ["0", "1", "1", "0"]
    ids = frame(t=texts, y=labels).table["id"].to_list()
    turned = frame(t=texts[::-1], y=labels[::-1]).table["id"].to_list()
    renamed = load(pl.DataFrame({"u": texts, "z": labels}), text="u", label="z").table["id"].to_list()
    assert len(set(ids)) == 4
    assert sorted(ids) == sorted(turned)
    assert ids == renamed
    assert ids[3] == f"{ids[0]}-2"
    assert ids[2] != ids[0]


def test_the_hash_sees_every_cell_and_the_order() -> None:
    base = {"t": ["ab", "c", "d"], "y": ["0", "1", "1"], "g": ["x", "y", "z"], "k": ["1", "2", "3"]}
    variants = [
        base,
        base | {"t": ["a", "bc", "d"]},
        base | {"y": ["1", "0", "1"]},
        base | {"g": ["x", "y", "y"]},
        base | {"k": ["1", "2", "4"]},
        {name: values[::-1] for name, values in base.items()},
    ]
    hashes = {load(pl.DataFrame(one), text="t", label="y", groups=["g"], id="k").hash() for one in variants}
    assert len(hashes) == len(variants)


def test_missing_groups_are_empty_and_numbers_are_spelled_without_a_point() -> None:
    data = pd.DataFrame({"t": ["a", "b", "c"], "y": [0, 1, 1], "g": [1, None, 2], "h": [True, False, True]})
    rows = load(data, text="t", label="y", groups=("g", "h"))
    assert rows.table["g"].to_list() == ["1", "", "2"]
    assert rows.table["h"].to_list() == ["true", "false", "true"]


def test_byte_order_mark_and_windows_line_ends_are_not_part_of_the_values(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbft,y\r\none,0\r\n\r\ntwo,1\r\nthree,1")
    (tmp_path / "a.jsonl").write_bytes(
        b'\xef\xbb\xbf{"t": "one", "y": "0"}\r\n{"t": "two", "y": "1"}\r\n\n{"t": "three", "y": "1"}'
    )
    for name in ("a.csv", "a.jsonl"):
        rows = load(tmp_path / name, text="t", label="y")
        assert rows.table["t"].to_list() == ["one", "two", "three"]
        assert rows.table["y"].to_list() == ["0", "1", "1"]


def test_quotes_in_a_tsv_that_nothing_closes_are_plain_characters(tmp_path: Path) -> None:
    path = tmp_path / "glue.tsv"
    path.write_text('t\ty\n"a fine film\t1\nhe said "no" twice\t0\nthe end"\t1\n')
    assert load(path, text="t", label="y").table["t"].to_list() == [
        '"a fine film',
        'he said "no" twice',
        'the end"',
    ]


def test_quotes_in_a_tsv_that_quote_are_taken_off(tmp_path: Path) -> None:
    path = tmp_path / "pandas.tsv"
    texts = ['say "hi"', "a\ttab", "two\nlines"]
    pd.DataFrame({"t": texts, "y": [0, 1, 1]}).to_csv(path, sep="\t", index=False)
    assert load(path, text="t", label="y").table["t"].to_list() == texts


def test_a_quote_inside_an_unquoted_csv_field_is_a_character(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('t,y\n5" pipe,0\nplain,1\nother,1\n')
    assert load(path, text="t", label="y").table["t"].to_list() == ['5" pipe', "plain", "other"]


def test_classes_given_are_kept_in_their_order_for_test_rows() -> None:
    train = frame(t=["a", "b", "c"], y=["x", "y", "x"])
    test = load(pl.DataFrame({"t": ["d"], "y": ["y"]}), text="t", label="y", classes=train.classes)
    assert test.classes == ("x", "y")
    assert test.labels().tolist() == [1]


def test_reading_a_file_needs_neither_torch_nor_pandas_nor_datasets(tmp_path: Path) -> None:
    import subprocess
    import sys

    path = write_jsonl(tmp_path / "a.jsonl", RECORDS)
    code = (
        "import sys, thresher.rows as r\n"
        f"r.load({str(path)!r}, text='utterance', label='intent')\n"
        "print(sorted({'torch', 'pandas', 'datasets'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_columns_of_a_headless_pandas_frame_are_called_by_number() -> None:
    data = pd.DataFrame([["a", 0], ["b", 1], ["c", 1]])
    assert load(data, text="0", label="1").table["0"].to_list() == ["a", "b", "c"]


def test_class_numbers_that_were_turned_into_names_are_not_looked_up_again(tmp_path: Path) -> None:
    features = datasets.Features(
        {"t": datasets.Value("string"), "y": datasets.ClassLabel(names=["neg", "pos"])}
    )
    schema = features.arrow_schema
    named = pa.table({"t": ["a", "b", "c"], "y": ["neg", "pos", "pos"]}).replace_schema_metadata(
        schema.metadata
    )
    assert load(named, text="t", label="y").classes == ("neg", "pos")

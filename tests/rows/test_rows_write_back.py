"""Kept and dropped rows come back in the format, columns, order and bytes of the input."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thresher.errors import UserError
from thresher.rows import Rows, load, read_rows, save_rows, write_back

KEEP = [True, False, False, True, False]

# Any text Unicode allows; only halves of surrogate pairs are no text.
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@st.composite
def tables(draw: st.DrawFn) -> list[dict[str, Any]]:
    texts = draw(st.lists(words, min_size=3, max_size=12))
    labels = [
        "one",
        "two",
        *draw(st.lists(st.sampled_from(["one", "two"]), min_size=len(texts) - 2, max_size=len(texts) - 2)),
    ]
    extra = draw(st.lists(words, min_size=len(texts), max_size=len(texts)))
    return [{"t": t, "y": y, "extra": e} for t, y, e in zip(texts, labels, extra, strict=True)]


def both(rows: Rows, keep: Any, stem: Path) -> tuple[bytes, bytes]:
    kept, dropped = write_back(rows, keep, stem)
    return kept.read_bytes(), dropped.read_bytes()


def merged(kept: list[Any], dropped: list[Any], keep: list[bool]) -> list[Any]:
    """Kept and dropped records put together again in input order."""
    one, other = iter(kept), iter(dropped)
    return [next(one) if chosen else next(other) for chosen in keep]


@settings(max_examples=60, deadline=None)
@given(
    records=tables(),
    ascii_only=st.booleans(),
    end=st.sampled_from(["\n", "\r\n"]),
    last=st.booleans(),
    data=st.data(),
)
def test_json_lines_come_back_byte_for_byte(
    records: list[dict[str, Any]],
    ascii_only: bool,
    end: str,
    last: bool,
    data: st.DataObject,
    tmp_path_factory: Any,
) -> None:
    folder = tmp_path_factory.mktemp("jsonl")
    lines = [json.dumps(one, ensure_ascii=ascii_only).encode() + end.encode() for one in records]
    if not last:
        lines[-1] = lines[-1].removesuffix(end.encode())
    (folder / "a.jsonl").write_bytes(b"".join(lines))
    rows = load(folder / "a.jsonl", text="t", label="y")
    assert rows.table["t"].to_list() == [one["t"] for one in records]
    keep = data.draw(st.lists(st.booleans(), min_size=len(lines), max_size=len(lines)))
    kept, dropped = both(rows, keep, folder / "kept")
    assert kept == b"".join(line for line, chosen in zip(lines, keep, strict=True) if chosen)
    assert dropped == b"".join(line for line, chosen in zip(lines, keep, strict=True) if not chosen)
    assert both(rows, [True] * len(rows), folder / "kept") == (b"".join(lines), b"")


@settings(max_examples=60, deadline=None)
@given(records=tables(), indent=st.sampled_from([None, 0, 2]), mark=st.booleans(), data=st.data())
def test_json_arrays_come_back_as_arrays_of_the_same_bytes(
    records: list[dict[str, Any]], indent: int | None, mark: bool, data: st.DataObject, tmp_path_factory: Any
) -> None:
    folder = tmp_path_factory.mktemp("json")
    raw = b"\xef\xbb\xbf" * mark + json.dumps(records, indent=indent, ensure_ascii=False).encode() + b"\n"
    (folder / "a.json").write_bytes(raw)
    rows = load(folder / "a.json", text="t", label="y")
    assert rows.table["t"].to_list() == [one["t"] for one in records]
    keep = data.draw(st.lists(st.booleans(), min_size=len(records), max_size=len(records)))
    kept, dropped = (json.loads(one.decode("utf-8-sig")) for one in both(rows, keep, folder / "kept"))
    assert merged(kept, dropped, keep) == records
    everything, nothing = both(rows, [True] * len(rows), folder / "kept")
    assert everything == raw
    assert json.loads(nothing.decode("utf-8-sig")) == []


@settings(max_examples=100, deadline=None)
@given(
    records=tables(),
    end=st.sampled_from(["\n", "\r\n"]),
    form=st.sampled_from(["csv", "tsv"]),
    data=st.data(),
)
def test_delimited_files_come_back_with_header_and_the_same_bytes(
    records: list[dict[str, Any]], end: str, form: str, data: st.DataObject, tmp_path_factory: Any
) -> None:
    folder = tmp_path_factory.mktemp("delimited")
    delimiter = "," if form == "csv" else "\t"

    def spelled(cells: list[str]) -> bytes:
        buffer = io.StringIO(newline="")
        csv.writer(buffer, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL).writerow(cells)
        return buffer.getvalue().encode()

    header = spelled(["extra", "y", "t"])
    lines = [spelled([one["extra"], one["y"], one["t"]]) for one in records]
    (folder / f"a.{form}").write_bytes(header + b"".join(lines))
    rows = load(folder / f"a.{form}", text="t", label="y", groups="extra")
    assert rows.table["t"].to_list() == [one["t"] for one in records]
    assert rows.table["extra"].to_list() == [one["extra"] for one in records]
    keep = data.draw(st.lists(st.booleans(), min_size=len(lines), max_size=len(lines)))
    kept, dropped = both(rows, keep, folder / "kept")
    assert kept == header + b"".join(line for line, chosen in zip(lines, keep, strict=True) if chosen)
    assert dropped == header + b"".join(line for line, chosen in zip(lines, keep, strict=True) if not chosen)


@settings(max_examples=40, deadline=None)
@given(records=tables(), data=st.data())
def test_what_pandas_and_polars_write_as_csv_is_read_as_they_read_it(
    records: list[dict[str, Any]], data: st.DataObject, tmp_path_factory: Any
) -> None:
    folder = tmp_path_factory.mktemp("frames")
    # The csv writer below pandas leaves a carriage return unquoted, which nothing can then tell from a line end.
    frame = pl.DataFrame(records).with_columns(pl.all().str.replace_all("\r", ""))
    frame.write_csv(folder / "polars.csv")
    pd.DataFrame(frame.to_dicts()).to_csv(folder / "pandas.csv", index=False)
    for name in ("polars.csv", "pandas.csv"):
        rows = load(folder / name, text="t", label="y")
        assert rows.table["t"].to_list() == frame["t"].to_list()
        raw = (folder / name).read_bytes()
        assert both(rows, [True] * len(rows), folder / "kept")[0] == raw


@settings(max_examples=25, deadline=None)
@given(
    records=tables(),
    group=st.integers(1, 5),
    codec=st.sampled_from(["snappy", "zstd", "lz4", "gzip", "none"]),
    data=st.data(),
)
def test_parquet_keeps_schema_columns_metadata_and_compression(
    records: list[dict[str, Any]], group: int, codec: str, data: st.DataObject, tmp_path_factory: Any
) -> None:
    folder = tmp_path_factory.mktemp("parquet")
    schema = pa.schema(
        [pa.field("t", pa.large_string()), pa.field("y", pa.string(), nullable=False), pa.field("extra", pa.string()),
         pa.field("deep", pa.list_(pa.struct([("a", pa.int8())])))],
        metadata={b"who": b"me"},
    )  # fmt: skip
    table = pa.Table.from_pylist([one | {"deep": [{"a": 1}, {"a": None}]} for one in records], schema=schema)
    pq.write_table(table, folder / "a.parquet", row_group_size=group, compression=codec)
    table = pq.read_table(folder / "a.parquet")
    rows = load(folder / "a.parquet", text="t", label="y")
    keep = data.draw(st.lists(st.booleans(), min_size=len(records), max_size=len(records)))
    for path, mask in zip(
        write_back(rows, keep, folder / "kept"), (np.array(keep), ~np.array(keep)), strict=True
    ):
        found = pq.read_table(path)
        assert found.schema.equals(table.schema, check_metadata=True)
        assert found.equals(table.filter(pa.array(mask)))
        if found.num_rows:
            assert pq.ParquetFile(path).metadata.row_group(0).column(0).compression == codec.upper().replace(
                "NONE", "UNCOMPRESSED"
            )


RECORDS = [{"t": f"text {n}", "y": n % 2, "nested": {"n": [n]}} for n in range(5)]


def test_blank_lines_are_dropped_and_the_spelling_of_records_is_kept(tmp_path: Path) -> None:
    raw = b'\xef\xbb\xbf\n  {"y":0,\t"t" : "\\u0061"}  \r\n\n{"t":"b","y":1}\n   \n{"t":"c","y":1,"y":0}'
    (tmp_path / "a.ndjson").write_bytes(raw)
    rows = load(tmp_path / "a.ndjson", text="t", label="y")
    assert rows.table["t"].to_list() == ["a", "b", "c"]
    kept, dropped = write_back(rows, [True, False, True], tmp_path / "out" / "kept")
    assert (kept.name, dropped.name) == ("kept.ndjson", "dropped.ndjson")
    assert kept.read_bytes() == b'\xef\xbb\xbf  {"y":0,\t"t" : "\\u0061"}  \r\n{"t":"c","y":1,"y":0}'
    assert dropped.read_bytes() == b'\xef\xbb\xbf{"t":"b","y":1}\n'


def test_a_tsv_of_plain_quotes_comes_back_as_it_was(tmp_path: Path) -> None:
    raw = b't\ty\n"a fine film\t1\nhe said "no"\t0\nthe end"\t1\n'
    (tmp_path / "a.tsv").write_bytes(raw)
    rows = load(tmp_path / "a.tsv", text="t", label="y")
    assert both(rows, [True, False, True], tmp_path / "kept")[0] == b't\ty\n"a fine film\t1\nthe end"\t1\n'


def test_rows_are_chosen_by_id_too_and_unknown_ids_are_refused(tmp_path: Path) -> None:
    lines = [json.dumps(one) + "\n" for one in RECORDS]
    (tmp_path / "a.jsonl").write_text("".join(lines))
    rows = load(tmp_path / "a.jsonl", text="t", label="y")
    chosen = set(rows.table["id"].to_list()[3:])
    assert both(rows, chosen, tmp_path / "kept")[0].decode() == "".join(lines[3:])
    mask = pl.Series(KEEP)
    assert both(rows, mask, tmp_path / "kept")[0].decode() == lines[0] + lines[3]
    with pytest.raises(UserError, match="no rows with the ids nobody"):
        write_back(rows, {"nobody"}, tmp_path / "kept")
    for wrong in ([True], [1, 0, 0, 0, 1]):
        with pytest.raises(UserError, match="give one boolean for each of the 5 rows"):
            write_back(rows, np.array(wrong), tmp_path / "kept")


def test_names_beside_each_other(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(one) + "\n" for one in RECORDS))
    rows = load(tmp_path / "a.jsonl", text="t", label="y")
    names = [
        tuple(path.name for path in write_back(rows, KEEP, tmp_path / stem))
        for stem in ("kept", "x.kept.1", "small")
    ]
    assert names == [
        ("kept.jsonl", "dropped.jsonl"),
        ("x.kept.1.jsonl", "x.dropped.1.jsonl"),
        ("small.jsonl", "small-dropped.jsonl"),
    ]


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_shards_come_back_as_shards_of_the_same_names(form: str, tmp_path: Path) -> None:
    for name, start, stop in (("b/part-10", 3, 5), ("b/part-2", 1, 3), ("a/part-2", 0, 1)):
        path = tmp_path / "in" / f"{name}.{form}"
        path.parent.mkdir(parents=True, exist_ok=True)
        frame = pl.DataFrame(RECORDS[start:stop]).drop("nested")
        {"jsonl": frame.write_ndjson, "csv": frame.write_csv, "parquet": frame.write_parquet}[form](path)
    rows = load(tmp_path / "in" / "**" / f"*.{form}", text="t", label="y")
    assert rows.table["t"].to_list() == [one["t"] for one in RECORDS]
    kept, dropped = write_back(rows, KEEP, tmp_path / "kept")
    assert sorted(path.relative_to(kept).as_posix() for path in kept.rglob("*.*")) == [
        f"a/part-2.{form}", f"b/part-10.{form}", f"b/part-2.{form}",
    ]  # fmt: skip
    again = load(kept / "**" / f"*.{form}", text="t", label="y", classes=rows.classes)
    assert again.table["t"].to_list() == ["text 0", "text 3"]
    rest = load(dropped / "**" / f"*.{form}", text="t", label="y", classes=rows.classes)
    assert rest.table["t"].to_list() == ["text 1", "text 2", "text 4"]


def test_a_dataset_comes_back_as_a_saved_dataset(tmp_path: Path) -> None:
    features = datasets.Features({"t": datasets.Value("string"), "y": datasets.ClassLabel(names=["n", "p"])})
    dataset = datasets.Dataset.from_list(
        [{"t": one["t"], "y": one["y"]} for one in RECORDS], features=features
    )
    turned = dataset.select(range(4, -1, -1))
    turned.save_to_disk(str(tmp_path / "saved"))
    from_folder = load(tmp_path / "saved", text="t", label="y")
    save_rows(load(turned, text="t", label="y"), tmp_path / "run" / "rows.parquet")
    cases = {"memory": load(turned, text="t", label="y"), "folder": from_folder}
    cases["run folder"] = read_rows(tmp_path / "run" / "rows.parquet")
    for name, rows in cases.items():
        kept, dropped = write_back(rows, KEEP, tmp_path / name / "kept")
        found = datasets.load_from_disk(str(kept))
        assert found.features == features
        assert found["t"][:] == ["text 4", "text 1"]
        assert datasets.load_from_disk(str(dropped))["t"][:] == ["text 3", "text 2", "text 0"]


def frames() -> dict[str, Any]:
    pandas = pd.DataFrame(RECORDS, index=pd.Index(list("vwxyz"), name="k"))
    return {
        "pandas": pandas,
        "polars": pl.DataFrame(RECORDS),
        "lazy": pl.LazyFrame(RECORDS),
        "arrow": pa.Table.from_pylist(RECORDS),
    }


@pytest.mark.parametrize("kind", ["pandas", "polars", "lazy", "arrow"])
@pytest.mark.parametrize("through_run_folder", [False, True])
def test_a_frame_comes_back_as_parquet_of_all_its_columns(
    kind: str, through_run_folder: bool, tmp_path: Path
) -> None:
    frame = frames()[kind]
    rows = load(frame, text="t", label="y")
    if kind == "pandas":
        frame.loc["v", "t"] = "changed behind our back"
    if through_run_folder:
        save_rows(rows, tmp_path / "old" / "rows.parquet")
        (tmp_path / "old").rename(tmp_path / "moved")
        rows = read_rows(tmp_path / "moved" / "rows.parquet")
    kept, dropped = write_back(rows, KEEP, tmp_path / "kept")
    assert kept.name == "kept.parquet"
    expected = frames()[kind]
    if kind == "pandas":
        pd.testing.assert_frame_equal(pd.read_parquet(kept)[["t", "y"]], expected.iloc[[0, 3]][["t", "y"]])
        assert pd.read_parquet(dropped).index.tolist() == ["w", "x", "z"]
    else:
        assert pl.read_parquet(kept).to_dicts() == [RECORDS[0], RECORDS[3]]
        assert pl.read_parquet(dropped).to_dicts() == [RECORDS[1], RECORDS[2], RECORDS[4]]


def test_a_pandas_column_of_mixed_types_cannot_be_written_and_says_so() -> None:
    mixed = pd.DataFrame({"t": ["a", "b", "c"], "y": [0, 1, 1], "z": pd.Series([1, "x", [2]], dtype=object)})
    with pytest.raises(
        UserError, match=r"the frame: cannot be stored as Parquet .*'z'|column z.*; give the column one type"
    ):
        load(mixed, text="t", label="y")


@pytest.mark.parametrize("change", ["longer", "same length", "gone"])
@pytest.mark.parametrize("through_run_folder", [False, True])
def test_a_source_that_changed_is_refused_and_nothing_is_written(
    change: str, through_run_folder: bool, tmp_path: Path
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in RECORDS))
    rows = load(path, text="t", label="y")
    if through_run_folder:
        save_rows(rows, tmp_path / "rows.parquet")
        rows = read_rows(tmp_path / "rows.parquet")
    match change:
        case "longer":
            path.write_bytes(path.read_bytes() + b'{"t": "new", "y": 1}\n')
        case "same length":
            path.write_bytes(path.read_bytes().replace(b"text 3", b"text X"))
        case "gone":
            path.unlink()
    with pytest.raises(UserError, match=r"a\.jsonl: (changed|missing) since its rows were read; restore it"):
        write_back(rows, KEEP, tmp_path / "kept")
    assert not list(tmp_path.glob("*kept*"))


def test_the_source_is_never_overwritten(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    for shard in (0, 1):
        (folder / f"{shard}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in RECORDS))
    keep = np.array(KEEP)
    one = load(folder / "0.jsonl", text="t", label="y")
    two = load(folder, text="t", label="y")
    with pytest.raises(UserError, match="would overwrite the source of the rows"):
        write_back(one, keep, folder / "0")
    with pytest.raises(UserError, match="would overwrite the source of the rows"):
        write_back(two, np.tile(keep, 2), tmp_path / "kept")
    assert sorted(path.name for path in folder.iterdir()) == ["0.jsonl", "1.jsonl"]


def test_an_integer_id_column_and_labels_of_a_run_folder_come_back_equal(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    pl.DataFrame(
        {"k": [3, 1, 2], "p": ["a", "b", "c"], "h": ["d", "e", "f"], "y": [10, 9, 9], "g": ["x", "", "x"]}
    ).write_csv(path)
    rows = load(path, text=("p", "h"), label="y", id="k", groups="g")
    save_rows(rows, tmp_path / "rows.parquet")
    again = read_rows(tmp_path / "rows.parquet")
    assert again.table.equals(rows.table)
    assert (again.text, again.label, again.groups, again.classes) == (("p", "h"), "y", ("g",), ("9", "10"))
    assert again.integer_labels
    assert again.source == rows.source
    assert again.hash() == rows.hash()


def test_rows_of_a_relative_path_are_written_back_from_another_folder(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(one) + "\n" for one in RECORDS))
    (tmp_path / "elsewhere").mkdir()
    save = "from thresher.rows import *; save_rows(load('a.jsonl', text='t', label='y'), 'run/rows.parquet')"
    back = "from thresher.rows import *; write_back(read_rows('../run/rows.parquet'), [True] * 5, 'kept')"
    subprocess.run([sys.executable, "-c", save], check=True, cwd=tmp_path)
    subprocess.run([sys.executable, "-c", back], check=True, cwd=tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere" / "kept.jsonl").read_bytes() == (tmp_path / "a.jsonl").read_bytes()


def test_what_is_not_saved_rows_is_refused(tmp_path: Path) -> None:
    pl.DataFrame({"t": ["a"]}).write_parquet(tmp_path / "other.parquet")
    (tmp_path / "text.parquet").write_text("hello")
    with pytest.raises(
        UserError, match=r"none\.parquet: missing; rerun the `thresher run` or `thresher train` command"
    ):
        read_rows(tmp_path / "none.parquet")
    no_checksum = r"damaged \(it has no checksum: another program wrote it\)"
    for name, said in (("other.parquet", no_checksum), ("text.parquet", "damaged")):
        with pytest.raises(UserError, match=rf"{name}: {said}"):
            read_rows(tmp_path / name)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(one) + "\n" for one in RECORDS))
    (tmp_path / "file").write_text("a file, not a folder")
    rows = load(tmp_path / "a.jsonl", text="t", label="y")
    with pytest.raises(UserError, match="cannot be written"):
        write_back(rows, KEEP, tmp_path / "file" / "kept")


def test_a_linked_file_keeps_its_own_name_and_ending(tmp_path: Path) -> None:
    (tmp_path / "blob").write_text("".join(json.dumps(one) + "\n" for one in RECORDS))
    (tmp_path / "train.jsonl").symlink_to(tmp_path / "blob")
    rows = load(tmp_path / "train.jsonl", text="t", label="y")
    kept, _ = write_back(rows, [True] * 5, tmp_path / "kept")
    assert kept.name == "kept.jsonl"
    assert kept.read_bytes() == (tmp_path / "blob").read_bytes()
    with pytest.raises(UserError, match="would overwrite"):
        write_back(rows, KEEP, tmp_path / "train")


def test_saving_a_dataset_draws_no_bars(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rows = load(
        datasets.Dataset.from_list([{"t": one["t"], "y": one["y"]} for one in RECORDS]), text="t", label="y"
    )
    save_rows(rows, tmp_path / "rows.parquet")
    write_back(rows, KEEP, tmp_path / "kept")
    assert capfd.readouterr() == ("", "")


def test_views_of_text_come_back_as_they_were(tmp_path: Path) -> None:
    texts = [f"text {i}" for i in range(5)]
    views = pa.array(texts, pa.string_view())
    columns = {
        "t": views,
        "y": pa.array(["a", "b", "a", "b", "a"]),
        "turns": pa.ListArray.from_arrays([0, 1, 1, 2, 3, 5], views),
        "said": pa.StructArray.from_arrays([views], ["by"]),
    }
    table = pa.table(columns)
    pq.write_table(table, tmp_path / "rows.parquet")
    for source in (table, tmp_path / "rows.parquet"):
        kept, _ = write_back(load(source, text="t", label="y"), np.array(KEEP), tmp_path / "kept")
        found = pq.read_table(kept)
        assert found.schema.equals(table.schema)
        assert found.to_pylist() == [one for one, keep in zip(table.to_pylist(), KEEP, strict=True) if keep]


def test_cache_files_of_a_saved_dataset_are_ignored(tmp_path: Path) -> None:
    datasets.Dataset.from_list(RECORDS).save_to_disk(tmp_path / "set")
    (tmp_path / "set" / "cache-0123.arrow").write_bytes(b"what a map made")
    rows = load(tmp_path / "set", text="t", label="y")
    (tmp_path / "set" / "cache-0123.arrow").unlink()
    kept, _ = write_back(rows, KEEP, tmp_path / "kept")
    assert datasets.load_from_disk(str(kept)).to_list() == [RECORDS[0], RECORDS[3]]


@pytest.mark.parametrize("of", ["shards", "dataset"])
def test_a_folder_with_other_files_is_left_unchanged(of: str, tmp_path: Path) -> None:
    if of == "shards":
        (tmp_path / "rows").mkdir()
        for name in "ab":
            pl.DataFrame({"t": [f"text {name} {n}" for n in "12"], "y": ["x", "y"]}).write_parquet(
                tmp_path / f"rows/{name}.parquet"
            )
    else:
        datasets.Dataset.from_list([{"t": f"text {n}", "y": n % 2} for n in range(4)]).save_to_disk(
            tmp_path / "rows"
        )
    rows = load(tmp_path / "rows", text="t", label="y")
    for _ in range(2):  # what was written before may be written over, with what a map or a desktop left in it
        kept, dropped = write_back(rows, [True, False, False, True], tmp_path / "kept")
        (kept / ".DS_Store").touch()
        (kept / "cache-12ab.arrow").touch() if of == "dataset" else None
    before = kept.stat().st_mtime_ns
    (dropped / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match=r"contains 'thesis.txt', which is not a file of these rows"):
        write_back(rows, [True, False, False, True], tmp_path / "kept")
    assert (dropped / "thesis.txt").read_text() == "years of work"
    assert kept.stat().st_mtime_ns == before

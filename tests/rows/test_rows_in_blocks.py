"""Rows are read, numbered and audited in blocks: what is found is what plain Python finds of the whole."""

from __future__ import annotations

import hashlib
import json
import tracemalloc
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thresher.errors import UserError
from thresher.rows import audit, content_ids, load, normalised, save_rows, write_back
from thresher.rows.normalise import normalised_column
from thresher.rows.read import arrow, json_lines
from thresher.rows.read.raw import Lines

BLANKS = st.sampled_from(
    ["\t", "\n", "\v", "\f", "\r", "\x1c", "\x1d", "\x1e", "\x1f", " ", "  ", "\x85", "\xa0", "\u2003"]
)
TEXTS = st.lists(st.one_of(BLANKS, st.text(max_size=4), st.sampled_from(["Play", "ẞ", "ＪＡＺＺ", "İ"]))).map(
    "".join
)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of few rows, so that a short file has several."""
    for place in ("read.sheet.BLOCK_ROWS", "read.arrow.BLOCK_ROWS", "normalise.BLOCK_ROWS"):
        monkeypatch.setattr(f"thresher.rows.{place}", 4)
    for place in (
        "read.sheet.PARSED_ROWS",
        "read.json_lines.PARSED_ROWS",
        "ids.BLOCK_ROWS",
        "table.BLOCK_ROWS",
    ):
        monkeypatch.setattr(f"thresher.rows.{place}", 3)


@given(st.lists(TEXTS, max_size=8))
def test_a_column_is_normalised_as_each_text_is(texts: list[str]) -> None:
    assert normalised_column(pl.Series(texts, dtype=pl.String)).to_list() == list(map(normalised, texts))


@given(st.lists(st.tuples(st.sampled_from(["a", "b", 'é"\\', ""]), st.sampled_from("xy")), max_size=9))
def test_ids_are_the_digests_of_the_content_with_the_number_of_a_repetition(
    rows: list[tuple[str, str]],
) -> None:
    seen: dict[str, int] = {}
    expected = []
    for text, label in rows:
        content = json.dumps([[text], label], ensure_ascii=False).encode()
        name = hashlib.blake2b(content, digest_size=8).hexdigest()
        seen[name] = seen.get(name, 0) + 1
        expected.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("thresher.rows.ids.NAMED_ROWS", 2)
        assert content_ids([(text,) for text, _ in rows], [label for _, label in rows]) == expected


LINES = [
    b'{"text": "a", "label": 1}\n',
    b'\t{"text": "b", "label": 2, "more": null} \r\n',
    b" \r\n",
    b'{"text": "\\u00e9", "label": 1, "more": "x"}\n',
    b'{"text": "d", "label": 1, "text": "e"}\n',
    b'{"text": "f", "label": 2, "more": [1]}\n',
    b'{"label": 2, "text": "g"}',
]


def test_lines_are_read_as_each_of_them_whatever_their_blocks(small_blocks: None, tmp_path: Path) -> None:
    for count in range(1, len(LINES) + 1):
        raw = b"\xef\xbb\xbf" + b"".join(LINES[:count])
        sheet = json_lines.read(raw, "a.jsonl", ["text", "label"]).as_lists()
        whole = [(number, json.loads(line)) for number, line in enumerate(LINES[:count], 1) if line.strip()]
        for column in ("text", "label"):
            assert sheet.columns[column] == [record.get(column) for _, record in whole]
        assert list(sheet.lines or ()) == [number for number, _ in whole]


def test_a_column_that_only_later_rows_have_is_empty_in_the_earlier_ones(small_blocks: None) -> None:
    raw = b'{"text": "a"}\n' * 5 + b'{"text": "a", "split": "test"}\n' + b'{"text": "a"}\n' * 6
    sheet = json_lines.read(raw, "a.jsonl", ["text"]).as_lists()
    assert sheet.columns["split"] == [None] * 5 + ["test"] + [None] * 6


@pytest.mark.parametrize("line", [b'{"text": "a"} {}', b"[1]", b"{", b'{"text": "\xff"}', b"1", b"nul"])
def test_a_wrong_line_is_named_in_any_block(small_blocks: None, line: bytes) -> None:
    raw = b'{"text": "a"}\n' * 7 + line + b'\n{"text": "a"}\n'
    with pytest.raises(UserError, match=r"a\.jsonl line 8: "):
        json_lines.read(raw, "a.jsonl", ["text"])


def test_a_file_read_by_lines_has_the_size_and_the_digest_of_its_bytes(tmp_path: Path) -> None:
    raw = b"\xef\xbb\xbf" + b'{"text": "a"}\r\n' * 200
    (tmp_path / "a.jsonl").write_bytes(raw)
    lines = Lines.of(tmp_path / "a.jsonl", "a.jsonl")
    assert lines is not None
    with lines:
        assert b"".join(lines) == raw[3:]
    assert (lines.size, lines.digest) == (len(raw), hashlib.blake2b(raw, digest_size=12).hexdigest())


def test_a_parquet_file_gives_the_same_rows_as_lines(small_blocks: None, tmp_path: Path) -> None:
    table = pl.DataFrame(
        {"text": [f"Text {i % 7}" for i in range(30)], "label": ["a", "b"] * 15, "n": [1.5] * 30}
    )
    table.write_ndjson(tmp_path / "a.jsonl")
    for name, schema in (("plain", None), ("large", [("text", pa.large_string()), ("label", pa.string())])):
        written = (
            table.to_arrow()
            if schema is None
            else table.select("text", "label").to_arrow().cast(pa.schema(schema))
        )
        pq.write_table(written, tmp_path / f"{name}.parquet", row_group_size=11)
    rows = [
        load(tmp_path / name, text="text", label="label")
        for name in ("a.jsonl", "plain.parquet", "large.parquet")
    ]
    assert len({one.hash() for one in rows}) == 1
    assert rows[0].table.equals(rows[1].table) and rows[0].table.equals(rows[2].table)


def test_strings_that_are_not_utf_8_are_refused_by_name(tmp_path: Path) -> None:
    broken = pa.StringArray.from_buffers(
        1, pa.array([0, 2], pa.int32()).buffers()[1], pa.py_buffer(b"\xff\xfe")
    )
    pq.write_table(pa.table({"text": broken, "label": ["a"]}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match="column 'text' contains strings that are not UTF-8"):
        arrow.read_parquet_file(tmp_path / "a.parquet", "a.parquet", ["text", "label"])


def test_the_audit_is_exact_where_hashes_of_different_texts_are_equal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    draw = np.random.default_rng(0)
    texts = [["Stop", "stop!", " stop ", "go", "", "Go  on", "go on"][i] for i in draw.integers(0, 7, 60)]
    table = pl.DataFrame({"text": texts, "label": draw.integers(0, 3, 60)})
    rows, test = (load(one, text="text", label="label") for one in (table[:45], table[40:]))
    expected = audit(rows, test)
    hashed = pl.Series.hash
    monkeypatch.setattr(pl.Series, "hash", lambda one: hashed(one) % 2)
    assert audit(rows, test) == expected
    assert expected["duplicates"]["rows"] > 0 and expected["conflicting"]["texts"] > 0


def test_the_kept_lines_of_a_long_file_are_written_without_reading_it_whole(tmp_path: Path) -> None:
    lines = [b'{"text": "%s", "label": %d}\n' % (b"x" * 1000, i % 2) for i in range(2000)]
    (tmp_path / "a.jsonl").write_bytes(b"\xef\xbb\xbf" + b"\n".join(lines))
    rows = load(tmp_path / "a.jsonl", text="text", label="label")
    keep = np.arange(len(rows)) % 3 > 0
    tracemalloc.start()
    kept, dropped = write_back(rows, keep, tmp_path / "kept")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert kept.read_bytes() == b"\xef\xbb\xbf" + b"".join(np.array(lines, object)[keep])
    assert dropped.read_bytes() == b"\xef\xbb\xbf" + b"".join(np.array(lines, object)[~keep])
    assert peak < kept.stat().st_size / 2


def test_few_python_objects_are_held_while_rows_are_taken_in(tmp_path: Path) -> None:
    """As Python strings the texts and labels of these rows would take 300 bytes each, and their keys 150 more."""
    path = tmp_path / "a.jsonl"
    path.write_text(
        "".join(
            f'{{"text": "This is the text of row {i}", "label": "class {i % 7}"}}\n' for i in range(40_000)
        )
    )
    load(path, text="text", label="label")
    tracemalloc.start()
    rows = load(path, text="text", label="label")
    audit(rows)
    save_rows(rows, tmp_path / "rows.parquet")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200 * len(rows), peak

"""Selection from parquet shards: that of `select` for any sharding, and no partial files."""

from __future__ import annotations

import math
import resource
import subprocess
import sys
import warnings
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_selection import plain_select
from selection_tables import columns_for, frame, quietly, requests, tables

from thresher.errors import UserError
from thresher.selection import find, from_table, select, select_from_table, shards, strategies


@settings(max_examples=40, deadline=None)
@given(tables(), requests(), st.data())
def test_any_order_and_any_shards_give_the_selection_of_select(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[dict[str, Any]],
    request: dict[str, Any],
    data: st.DataObject,
) -> None:
    folder = tmp_path_factory.mktemp("table")
    mixed = data.draw(st.permutations(rows))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=4)))
    for number, (start, stop) in enumerate(zip([0, *cuts], [*cuts, len(rows)], strict=True)):
        size = data.draw(st.integers(1, 9))
        frame(mixed[start:stop]).write_parquet(folder / f"{number:03d}.parquet", row_group_size=size)
    expected = plain_select(rows, **request)
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        patch.setattr(shards, "_BATCH", data.draw(st.integers(1, 9)))
        out = folder / "kept" / "kept.parquet"
        if not expected:
            with pytest.raises(UserError, match="keeps nothing"):
                select_from_table(folder, out=out, **request)
            return
        counts = select_from_table(folder, out=out, **request)
    kept = pl.read_parquet(out)
    # In the order of the input, with every column.
    in_memory = quietly(frame(mixed), **request)
    assert kept.equals(frame(mixed).filter(in_memory["kept"]))
    assert set(kept["id"]) == expected
    assert counts == {
        "n_rows": len(rows),
        "n_target": round((1 - request["prune"]) * len(rows)),
        "n_kept": len(expected),
        "n_raised": int((in_memory["key"] == math.inf).sum()),
    }


@pytest.fixture(scope="module")
def large() -> pl.DataFrame:
    """More rows than one batch and than one piece, half of them tied."""
    generator = np.random.default_rng(0)
    rows = 300_000
    score = generator.normal(size=rows)
    score[::2] = 0.0
    return pl.DataFrame(
        {
            "row": generator.permutation(rows),
            "forgetting": score,
            "domain": pl.Series(generator.geometric(0.2, rows)).cast(pl.String),
            "text": [f"utterance {i}" for i in range(rows)],
        }
    )


@pytest.mark.parametrize("strategy", strategies())
def test_a_table_of_many_batches(tmp_path: Path, large: pl.DataFrame, strategy: str) -> None:
    request: dict[str, Any] = {
        "by": columns_for(strategy, "forgetting"),
        "prune": 0.45,
        "strategy": strategy,
        "stratify": "domain" if find(strategy).needs_stratify else None,
        "floor": 5,
        "floor_group": ("domain",),
    }
    large[:170_001].write_parquet(tmp_path / "a.parquet")
    large[170_001:].write_parquet(tmp_path / "b.parquet", row_group_size=50_000)
    counts = select_from_table(tmp_path, id="row", out=tmp_path / "out" / "kept.parquet", **request)
    expected = select(large.rename({"row": "id"}), **request)
    assert counts["n_kept"] == 165_000 == expected["kept"].sum()
    assert pl.read_parquet(tmp_path / "out" / "kept.parquet").equals(large.filter(expected["kept"]))
    smallest = large.group_by("domain").len().filter(pl.col("len") <= 5)["domain"]
    assert (
        len(smallest)
        and large.filter(pl.col("domain").is_in(smallest.implode()) & ~expected["kept"]).is_empty()
    )


SMALL = pl.DataFrame(
    {
        "id": ["a", "b", "c", "d", "e", "f"],
        "vog.late": [0.1, 0.6, 0.3, 0.4, 0.5, 0.2],
        "vog": [{"late": 1}] * 6,
        "tags": [["x"], [], None, ["y", "z"], ["é"], ["🙂"]],
        "when": [date(2024, 1, 1)] * 6,
        "source": pl.Series(["live", "synthetic"] * 3).cast(pl.Categorical),
    }
)


def test_a_file_a_folder_and_a_glob(tmp_path: Path) -> None:
    (tmp_path / "shards" / "deep").mkdir(parents=True)
    SMALL[:2].write_parquet(tmp_path / "shards" / "0.parquet")
    SMALL[2:].write_parquet(tmp_path / "shards" / "deep" / "1.parquet")
    SMALL.write_parquet(tmp_path / "all.parquet")
    (tmp_path / "shards" / "_SUCCESS").write_text("")
    (tmp_path / "shards" / ".part.parquet").write_text("a hidden half-written file")
    for path in ("all.parquet", "shards", "shards/**/*.parquet"):
        select_from_table(tmp_path / path, by="vog.late", prune=0.5, out=tmp_path / "kept.parquet")
        # Every column comes back as it was, also nested ones and one whose name has a dot.
        assert pl.read_parquet(tmp_path / "kept.parquet").equals(SMALL[[1, 3, 4]])


def test_a_result_next_to_the_shards_is_not_read_as_a_shard(tmp_path: Path) -> None:
    SMALL.write_parquet(tmp_path / "all.parquet")
    for _ in range(2):
        counts = select_from_table(tmp_path, by="vog.late", prune=0.5, out=tmp_path / "kept.parquet")
        assert counts["n_rows"] == 6
    assert sorted(file.name for file in tmp_path.iterdir()) == ["all.parquet", "kept.parquet"]


def test_hard_end_protection_and_another_id(tmp_path: Path) -> None:
    SMALL.rename({"id": "uid"}).write_parquet(tmp_path / "all.parquet")
    counts = select_from_table(
        tmp_path / "all.parquet",
        by="vog.late",
        prune=0.5,
        hard="low",
        protect=("source=synthetic",),
        id="uid",
        out=tmp_path / "deep" / "er" / "kept.parquet",
    )
    assert counts == {"n_rows": 6, "n_target": 3, "n_kept": 3, "n_raised": 3}
    assert pl.read_parquet(tmp_path / "deep/er/kept.parquet")["uid"].to_list() == ["b", "d", "f"]


def test_shards_of_compatible_types_are_one_table(tmp_path: Path) -> None:
    pl.DataFrame({"id": ["a", "b"], "s": [1, 2]}).write_parquet(tmp_path / "0.parquet")
    pl.DataFrame({"s": [2.5, 0.5], "id": ["c", "d"]}).write_parquet(tmp_path / "1.parquet")
    select_from_table(tmp_path, by="s", prune=0.5, out=tmp_path / "out" / "kept.parquet")
    assert pl.read_parquet(tmp_path / "out/kept.parquet").to_dict(as_series=False) == {
        "id": ["b", "c"],
        "s": [2.0, 2.5],
    }


def refused(path: Path, out: Path, **request: Any) -> str:
    before = sorted(out.parent.parent.rglob("*"))
    with pytest.raises(UserError) as caught:
        select_from_table(path, **{"by": "s", "prune": 0.5, "out": out, **request})
    left = [
        file for file in sorted(out.parent.parent.rglob("*")) if file not in before and file != out.parent
    ]
    assert left == [], "something half written is left"
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_columns_of_any_parquet_type_are_preserved(tmp_path: Path) -> None:
    views = pa.array(list("abcd"), pa.string_view())
    table = pa.table(
        {
            "id": [1, 2, 3, 4],
            "vog": [0.3, 0.1, 0.9, 0.5],
            "lists of views": pa.ListArray.from_arrays([0, 1, 3, 3, 4], views),
            "views in a struct": pa.StructArray.from_arrays([views], ["of"]),
            "a view of lists": pa.ListViewArray.from_arrays([0, 1, 3, 0], [1, 2, 1, 2], views.cast("string")),
        }
    )
    pq.write_table(table, tmp_path / "all.parquet")
    select_from_table(tmp_path / "all.parquet", by="vog", prune=0.5, out=tmp_path / "kept.parquet")
    found = pq.read_table(tmp_path / "kept.parquet")
    assert found.schema.equals(table.schema)
    assert found.to_pylist() == table.to_pylist()[2:]
    with pytest.raises(UserError, match="column 'a view of lists' is Object, not a number"):
        select_from_table(
            tmp_path / "all.parquet", by="a view of lists", prune=0.5, out=tmp_path / "kept.parquet"
        )


def test_mistakes_get_one_line_and_leave_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out" / "kept.parquet"
    good = pl.DataFrame({"id": ["a", "b", "c"], "s": [1.0, 2.0, 3.0]})
    table = tmp_path / "s.parquet"
    good.write_parquet(table)

    assert refused(tmp_path / "x.parquet", out).endswith(
        "x.parquet: no such file, folder or glob of parquet files"
    )
    assert refused(table, out, by="vog") == f"{table}: no column 'vog'; it has id, s"
    assert refused(table, out, id="uid") == f"{table}: no column 'uid'; it has id, s; did you mean 'id'?"
    assert refused(table, out, prune=0.9).endswith("prune 0.9 of 3 rows keeps nothing; prune less")
    assert refused(table, out, strategy="softmax", options={"temperature": 0}).endswith("it must be above 0")
    assert refused(table, tmp_path / "s.parquet" / "kept.parquet").endswith("choose another --out")

    good.with_columns(s=pl.Series([1.0, None, float("nan")])).write_parquet(table)
    assert "is missing, NaN or infinite in 2 rows, the first with id 'b'" in refused(table, out)
    good.clear().write_parquet(table)
    assert refused(table, out) == f"{table}: no rows; give a table with at least one"
    table.write_bytes(b"PAR1 this is no parquet file")
    assert f"{table}: not a readable parquet file" in refused(table, out)


def test_shards_that_do_not_fit_are_named(tmp_path: Path) -> None:
    out, folder = tmp_path / "out" / "kept.parquet", tmp_path / "shards"
    folder.mkdir()
    pl.DataFrame({"id": ["a", "b"], "s": [1.0, 2.0]}).write_parquet(folder / "0.parquet")
    pl.DataFrame({"id": ["b", "c"], "s": [2.0, 3.0]}).write_parquet(folder / "1.parquet")
    assert refused(folder, out) == f"{folder}: id 'b' is in 2 rows; the ids in column 'id' must be unique"
    pl.DataFrame({"id": ["c", "d"], "score": [2.0, 3.0]}).write_parquet(folder / "1.parquet")
    assert refused(folder, out).startswith(f"{folder / '1.parquet'}: column 's' is not in every shard")
    pl.DataFrame({"id": [3, 4], "s": [2.0, 3.0]}).write_parquet(folder / "1.parquet")
    assert refused(folder, out).startswith(f"{folder}: shards have different types")


def test_a_shard_damaged_in_the_middle_is_named(tmp_path: Path) -> None:
    table = tmp_path / "s.parquet"
    pq.write_table(
        pa.table({"id": [f"r{i}" for i in range(50_000)], "s": np.random.default_rng(0).normal(size=50_000)}),
        table,
        write_page_checksum=True,
    )
    damaged = bytearray(table.read_bytes())
    damaged[len(damaged) // 4 : len(damaged) // 4 + 4000] = b"\xff" * 4000
    table.write_bytes(damaged)
    assert refused(table, tmp_path / "out" / "kept.parquet").startswith(f"{table}: cannot be read")


@pytest.mark.parametrize("rows", [3, 5])
def test_a_shard_that_changes_meanwhile_is_detected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    def table(count: int) -> pl.DataFrame:
        return pl.DataFrame({"id": range(count), "s": [float(i) for i in range(count)]})

    table(4).write_parquet(tmp_path / "s.parquet")
    # Between the reading and the writing pass.
    decide = from_table.decide

    def decide_and_change(*given: Any) -> Any:
        table(rows).write_parquet(tmp_path / "s.parquet")
        return decide(*given)

    monkeypatch.setattr(from_table, "decide", decide_and_change)
    message = refused(tmp_path / "s.parquet", tmp_path / "out" / "kept.parquet")
    assert message == f"{tmp_path}: the shards changed while they were read; run it again"


def test_a_write_that_fails_leaves_the_old_result(tmp_path: Path) -> None:
    # A real process with a limit on the size of the files it may write stands for a disk that fills up.
    table, out = tmp_path / "s.parquet", tmp_path / "kept.parquet"
    text = [np.random.default_rng(i).bytes(50).hex() for i in range(20_000)]
    pl.DataFrame({"id": range(20_000), "s": [float(i) for i in range(20_000)], "text": text}).write_parquet(
        table
    )
    select_from_table(table, by="s", prune=0.5, out=out)
    before = out.read_bytes()
    program = (
        "import sys; from thresher.selection import select_from_table; from thresher.errors import UserError\n"
        "try: select_from_table(sys.argv[1], by='s', prune=0.1, out=sys.argv[2])\n"
        "except UserError as error: print(error)\n"
    )
    for limit in (100, 100_000, 600_000):  # nothing fits, then a part of the result
        done = subprocess.run(
            [sys.executable, "-c", program, str(table), str(out)],
            preexec_fn=lambda limit=limit: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
            capture_output=True,
            text=True,
        )
        assert done.stdout.startswith(f"{out}: cannot be written"), (done.stdout, done.stderr)
        assert done.stdout.count("\n") == 1
        assert out.read_bytes() == before
        assert sorted(file.name for file in tmp_path.iterdir()) == ["kept.parquet", "s.parquet"]

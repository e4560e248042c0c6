"""Part files: a damaged, incomplete or foreign one is told apart, and never mixed in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from thresher.config import SIGNALS, MeasureConfig
from thresher.signals.plan import Plan, make_plan, part_fault, read_part, write_part


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return Plan(
        tmp_path,
        "run-0",
        n_rows=25,
        chunk_rows=10,
        batch_tokens=64,
        dtype="float32",
        gradients=True,
        hash="a1",
    )


def table(rows: int) -> pl.DataFrame:
    gram = np.arange(rows * 9, dtype=np.float64).reshape(rows, 3, 3)
    logits = np.arange(rows * 6, dtype=np.float32).reshape(rows, 3, 2)
    return pl.DataFrame({"id": [f"row {i}" for i in range(rows)], "gradient_gram": gram, "logits": logits})


def test_chunks_cover_every_row_once(plan):
    assert [plan.rows_of(chunk) for chunk in range(plan.chunks)] == [(0, 10), (10, 10), (20, 5)]


def test_a_part_comes_back_as_it_was_written(plan):
    write_part(plan, 0, table(10))
    assert part_fault(plan, 0) is None
    assert read_part(plan.part(0)).equals(table(10))
    assert read_part(plan.part(0)).schema == table(10).schema


def test_a_missing_an_incomplete_and_a_foreign_part_are_told_apart(plan):
    assert part_fault(plan, 1) == "absent"
    write_part(plan, 1, table(7))
    assert part_fault(plan, 1) == "incomplete"
    write_part(replace(plan, hash="b2"), 1, table(10))
    assert part_fault(plan, 1) == "made with other rows, model or settings"


def test_any_damaged_byte_of_the_data_is_noticed(plan):
    write_part(plan, 0, table(10))
    whole = plan.part(0).read_bytes()
    columns = pq.ParquetFile(plan.part(0)).metadata.row_group(0)
    end = max(columns.column(i).data_page_offset + columns.column(i).total_compressed_size for i in range(3))
    for place in np.random.default_rng(0).integers(4, min(end, len(whole) - 8), 40):
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        plan.part(0).write_bytes(damaged)
        fault = part_fault(plan, 0)
        assert fault is not None or read_part(plan.part(0)).equals(table(10)), place


def test_a_cut_file_is_noticed(plan):
    write_part(plan, 0, table(10))
    plan.part(0).write_bytes(plan.part(0).read_bytes()[:-20])
    assert str(part_fault(plan, 0)).startswith("damaged")


def test_a_part_is_another_one_where_other_signals_are_wanted(tmp_path):
    manifest = {"rows_hash": "r", "n_rows": 5, "config": {"model": {}, "data": {"text": ["t"]}}}

    def plan_for(**settings):
        measure = MeasureConfig(**settings).model_dump()
        config = {**manifest["config"], "measure": measure}
        return make_plan(tmp_path, "run-0", {**manifest, "config": config}, gradients=True)

    assert plan_for(signals=("gradient_gram",)).hash != plan_for().hash
    assert plan_for(signals=tuple(reversed(SIGNALS))).hash == plan_for().hash
    assert plan_for(batch_tokens=7, workers=3).hash == plan_for().hash
    assert plan_for(dtype="bfloat16").hash != plan_for().hash

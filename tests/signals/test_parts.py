"""Part files: damaged, incomplete, swapped or foreign ones are detected and never used."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bare_run import CONFIG, bare_run
from thresher.config import SIGNALS, MeasureConfig, ModelConfig
from thresher.errors import UserError
from thresher.run import FIRST
from thresher.run.integrity import read_table, table_problem, write_table
from thresher.run.layout import Layout
from thresher.signals.plan import (
    Plan,
    make_plan,
    part_problem,
    read_part,
    read_parts,
    signals_problem,
    write_part,
    write_plan,
)

NOT_OF_THIS_RUN = "made with other rows, model or settings"


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return Plan(
        Layout(tmp_path),
        FIRST,
        n_rows=25,
        chunk_rows=10,
        batch_tokens=64,
        dtype="float32",
        signals=SIGNALS,
        hash="a1",
    )


def table(rows: int, first: int = 0) -> pl.DataFrame:
    gram = first + np.arange(rows * 9, dtype=np.float64).reshape(rows, 3, 3)
    logits = np.arange(rows * 6, dtype=np.float32).reshape(rows, 3, 2)
    ids = [f"row {first + i}" for i in range(rows)]
    return pl.DataFrame({"id": ids, "gradient_gram": gram, "logits": logits})


def test_chunks_cover_every_row_once(plan):
    assert [plan.rows_of(chunk) for chunk in range(plan.chunks)] == [(0, 10), (10, 10), (20, 5)]


def test_a_part_comes_back_as_it_was_written(plan):
    write_part(plan, 0, table(10))
    assert part_problem(plan, 0) is None
    assert read_part(plan, 0).equals(table(10))
    assert read_part(plan, 0).schema == table(10).schema


def test_missing_incomplete_and_foreign_parts_are_distinguished(plan):
    assert part_problem(plan, 1) == "missing"
    write_part(plan, 1, table(7))
    assert part_problem(plan, 1) == "incomplete"
    write_part(replace(plan, hash="b2"), 1, table(10))
    assert part_problem(plan, 1) == NOT_OF_THIS_RUN
    table(10).write_parquet(plan.part(1))  # by nobody of ours
    assert part_problem(plan, 1) == NOT_OF_THIS_RUN


def test_swapped_parts_of_equal_length_are_detected(plan):
    for chunk in (0, 1):
        write_part(plan, chunk, table(10, first=10 * chunk))
    other = plan.part(0).with_name("other")
    plan.part(0).rename(other)
    plan.part(1).rename(plan.part(0))
    other.rename(plan.part(1))
    assert [part_problem(plan, chunk) for chunk in (0, 1)] == ["holds the rows of another part"] * 2


@pytest.mark.slow
def test_any_single_damaged_byte_is_noticed(plan):
    """In the pages, the footer, the metadata, the checksum itself and the length at the end."""
    write_part(plan, 0, table(10))
    whole = plan.part(0).read_bytes()
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        plan.part(0).write_bytes(damaged)
        assert part_problem(plan, 0) is not None, place
    with pytest.raises(
        UserError, match=r"part-00000.parquet: damaged .*; `thresher measure .*` measures it again"
    ):
        read_part(plan, 0)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_cut_or_overwritten_file_is_noticed(plan, data):
    write_part(plan, 0, table(10))
    whole = plan.part(0).read_bytes()
    first, last = sorted(data.draw(st.tuples(*[st.integers(0, len(whole))] * 2)))
    filling = data.draw(st.sampled_from([b"", b"\0", b"\xff"])) * (last - first)
    damaged = whole[:first] + filling + whole[last:]
    plan.part(0).write_bytes(damaged)
    assert (part_problem(plan, 0) is None) == (damaged == whole)


def test_a_finished_measurement_is_read_only_when_all_of_it_is_intact(plan):
    def measured() -> None:
        for chunk in range(plan.chunks):
            first, rows = plan.rows_of(chunk)
            write_part(plan, chunk, table(rows, first))
        write_table(plan.folder / "checkpoints.parquet", pl.DataFrame({"step": [4, 9]}))
        write_plan(plan, [0.5, -0.5])

    measured()
    rows, null_logits, checkpoints = read_parts(plan.run, plan.training)
    assert rows["id"].to_list() == [f"row {i}" for i in range(25)]
    assert (null_logits, checkpoints["step"].to_list()) == ([0.5, -0.5], [4, 9])
    assert signals_problem(plan.run, plan.training) is None
    for path in sorted(plan.folder.iterdir()):
        whole = path.read_bytes()
        for change in (None, whole[:-9], bytes([*whole[:90], whole[90] ^ 1, *whole[91:]])):
            if change is None:
                path.unlink()
            else:
                path.write_bytes(change)
            problem = signals_problem(plan.run, plan.training)
            assert problem is not None and (
                path.name in problem or (path.name == "plan.json" and "no signals" in problem)
            )
            with pytest.raises(UserError, match=f"thresher measure {plan.run.folder}"):
                read_parts(plan.run, plan.training)
        path.write_bytes(whole)


def test_a_table_without_a_checksum_is_damaged_unless_somebody_else_may_write_it(tmp_path):
    table(10).write_parquet(tmp_path / "scores.parquet")
    assert table_problem(tmp_path / "scores.parquet", sealed=False) is None
    with pytest.raises(UserError, match=r"scores\.parquet: damaged \(it has no checksum.*; make it again"):
        read_table(tmp_path / "scores.parquet", "make it again")


def test_the_hash_of_a_plan_depends_on_all_that_changes_a_part(tmp_path):
    def hash_for(gradients: bool = True, manifest: dict[str, object] | None = None, **settings) -> str:
        run = bare_run(tmp_path, **manifest or {})
        return make_plan(run, FIRST, MeasureConfig(**settings), gradients=gradients).hash

    assert hash_for(signals=("gradient_gram",)) != hash_for()
    assert hash_for(signals=tuple(reversed(SIGNALS))) == hash_for()
    assert hash_for(batch_tokens=7, workers=3) == hash_for()
    assert hash_for(dtype="bfloat16") != hash_for()
    assert hash_for(chunk_rows=7) != hash_for()
    assert hash_for(gradients=False) == hash_for(signals=()) != hash_for()
    model = CONFIG.model_copy(update={"model": ModelConfig(name="other")})
    for changed in ({"rows_hash": "s"}, {"config": model}):
        assert hash_for(manifest=changed) != hash_for()

"""The table of engines; every engine measures the same bytes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_run import train_tiny

import thresher as th
from thresher.errors import UserError
from thresher.execution import engines
from thresher.run import FIRST, Run
from thresher.signals.plan import make_plan


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_tiny(tmp_path_factory.mktemp("run"), n_rows=10, chunk_rows=3)


def test_a_new_engine_is_one_function_and_changes_no_byte(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(engines, "_ENGINES", dict(engines._ENGINES))

    @engines.engine("backwards")
    def backwards(function, tasks, workers, threads, place):
        for i in reversed(range(len(tasks))):
            yield i, function(*tasks[i])

    measured = {}
    for name in ("local", "backwards"):
        run = shutil.copytree(trained, tmp_path / name)
        th.measure(run, engine=name, workers=1)
        measured[name] = {path.name: path.read_bytes() for path in Run.open(run).signals(FIRST).iterdir()}
    assert len(measured["local"]) > 4
    assert measured["backwards"] == measured["local"]


def test_no_setting_of_an_engine_is_in_the_hash_of_a_plan(trained):
    run = Run.open(trained)
    measure = run.config.measure
    before = make_plan(run, FIRST, measure, gradients=True).hash
    engine = {"engine": "ray", "address": "a:1", "store": "s3://b", "cores": 3, "workers": 7}
    others = measure.model_copy(update={**engine, "batch_tokens": 5})
    assert make_plan(run, FIRST, others, gradients=True).hash == before
    precise = measure.model_copy(update={"dtype": "float64"})
    assert make_plan(run, FIRST, precise, gradients=True).hash != before


def test_an_engine_that_cannot_start_is_refused_before_anything_is_trained(tmp_path):
    (tmp_path / "rows.csv").write_text("text,label\nplay,a\nstop,b\ngo,a\n")
    rows = th.load(tmp_path / "rows.csv", text="text", label="label")
    with pytest.raises(UserError, match=r"^unknown engine 'spark'; known engines: local, ray$"):
        th.run(rows, out=tmp_path / "R", engine="spark")
    assert not (tmp_path / "R").exists()


def test_checking_an_engine_imports_neither_ray_nor_torch():
    code = (
        "import sys, thresher.api; from thresher.execution.engines import LOCAL, check_engine; check_engine(LOCAL); "
        "sys.exit(bool({'ray', 'torch'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0

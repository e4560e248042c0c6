"""The registry of engines, and that no engine can change what is measured."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tiny_run import train_tiny

import thresher as th
from thresher.errors import UserError
from thresher.run_folder import read_manifest
from thresher.signals import engines
from thresher.signals.chunk import measure_chunk
from thresher.signals.engines import registry
from thresher.signals.plan import make_plan


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_tiny(tmp_path_factory.mktemp("run"), n_rows=10, chunk_rows=3)


def test_every_file_of_the_folder_is_an_engine():
    files = {path.stem for path in Path(engines.__file__).parent.glob("*.py")} - {"__init__", "registry"}
    assert set(engines.engines()) == files


def test_a_new_engine_is_one_function_and_changes_no_byte(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(registry.ENGINES, "table", dict(registry.ENGINES.table))

    @engines.engine("backwards")
    def backwards(plan, chunks, settings, say):
        for chunk in reversed(chunks):
            yield measure_chunk(plan, chunk)

    measured = {}
    for name in ("local", "backwards"):
        run = shutil.copytree(trained, tmp_path / name)
        th.measure(run, engine=name, workers=1)
        measured[name] = {path.name: path.read_bytes() for path in (run / "signals" / "run-0").iterdir()}
    assert len(measured["local"]) > 4
    assert measured["backwards"] == measured["local"]


def test_no_setting_of_an_engine_is_in_the_hash_of_a_plan(trained):
    manifest = read_manifest(trained)
    before = make_plan(trained, "run-0", manifest, gradients=True).hash
    others = {
        "engine": "ray",
        "address": "a:1",
        "store": "s3://b",
        "cores": 3,
        "workers": 7,
        "batch_tokens": 5,
    }
    manifest["config"]["measure"] |= others
    assert make_plan(trained, "run-0", manifest, gradients=True).hash == before
    manifest["config"]["measure"]["dtype"] = "float64"
    assert make_plan(trained, "run-0", manifest, gradients=True).hash != before


def test_an_engine_that_cannot_start_is_refused_before_anything_is_trained(tmp_path):
    (tmp_path / "rows.csv").write_text("text,label\nplay,a\nstop,b\ngo,a\n")
    rows = th.load(tmp_path / "rows.csv", text="text", label="label")
    with pytest.raises(UserError, match=r"^unknown engine 'spark'; known engines: local, ray$"):
        th.run(rows, out=tmp_path / "R", engine="spark")
    assert not (tmp_path / "R").exists()

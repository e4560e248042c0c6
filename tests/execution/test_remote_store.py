"""Rows and weights through a remote store, and the part file back, in one process: the same bytes as `local`."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_run import train_tiny

import thresher as th
from thresher.errors import UserError
from thresher.execution import remote_folder
from thresher.execution import remote_store as store
from thresher.run import FIRST, Run
from thresher.signals.distribute import RemoteChunks, measure_remotely
from thresher.signals.plan import Plan, make_plan

N_ROWS, CHUNK_ROWS = 17, 3


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """The plan of a run that `local` has measured."""
    run = Run.open(train_tiny(tmp_path_factory.mktemp("run"), N_ROWS, CHUNK_ROWS))
    th.measure(run, workers=1)
    return make_plan(run, FIRST, run.config.measure, gradients=True)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is fetched stays with the test."""
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setattr(remote_folder, "cache_folder", lambda: folder)
    remote_folder.local_copy.cache_clear()
    return folder


def tasks_of(plan: Plan, address: str | None) -> RemoteChunks:
    return RemoteChunks(plan, range(plan.chunks), address)


def objects(folder: Path) -> dict[str, tuple[int, int]]:
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.iterdir()}


@pytest.mark.parametrize("with_store", [False, True], ids=["shared", "store"])
def test_parts_come_back_as_local_wrote_them(plan, tmp_path, monkeypatch, with_store):
    monkeypatch.setattr(
        remote_folder, "SLAB_CHUNKS", 2
    )  # three slabs, the last chunk shorter than the others
    address = f"file://{tmp_path}/store" if with_store else None
    if address:
        store.check_store(address)
    tasks = tasks_of(plan, address)
    for chunk in (5, 0, 3, 2, 1, 4):  # in no order, as after a loss
        assert measure_remotely(*tasks[chunk]) == plan.part(chunk).read_bytes(), chunk
    copy = remote_folder.local_copy(tasks.folder)
    assert (copy == plan.run.folder) != with_store
    if with_store:
        files = {str(path.relative_to(copy)) for path in copy.rglob("*") if path.is_file()}
        assert files == {place for place, _ in tasks.folder.files}


def test_a_copy_that_a_killed_worker_left_incomplete_is_completed(plan, tmp_path):
    store.check_store(f"file://{tmp_path}/store")
    folder = tasks_of(plan, f"file://{tmp_path}/store").folder
    first, *others = (remote_folder.local_copy(folder) / place for place, _ in folder.files)
    for path in others:
        path.unlink()
    remote_folder.local_copy.cache_clear()
    assert {remote_folder.local_copy(folder) / place for place, _ in folder.files} == {first, *others}
    assert all(path.is_file() for path in others)


def test_an_object_of_the_store_is_not_sent_again_and_a_truncated_one_is(plan, tmp_path):
    address = f"file://{tmp_path}/store"
    store.check_store(address)

    def upload() -> tuple[dict[str, str], str | None]:
        _, folder, _, slab = tasks_of(plan, address)[0]
        return dict(folder.files), slab

    first = upload()
    before = objects(tmp_path / "store")
    assert len(before) == len({*first[0].values(), first[1]})
    assert upload() == first
    assert objects(tmp_path / "store") == before
    place = next(place for place in first[0] if place.endswith("checkpoint.json"))
    cut = tmp_path / "store" / first[0][place]
    cut.write_bytes(cut.read_bytes()[:-5])
    upload()
    assert cut.read_bytes() == (plan.run.folder / place).read_bytes()
    assert {name for name, seen in objects(tmp_path / "store").items() if seen != before[name]} == {cut.name}


def test_a_damaged_object_is_named_and_a_damaged_copy_fetched_again(tmp_path, cache):
    store.check_store(f"file://{tmp_path}/store")
    opened = store.open_store(f"file://{tmp_path}/store")
    digest = store.put(opened, b"weights")
    here = store.fetch(opened, digest, cache)
    here.write_bytes(b"weighty")
    assert store.fetch(opened, digest, cache).read_bytes() == b"weights"
    there = tmp_path / "store" / digest
    there.write_bytes(b"weighty")
    assert store.fetch(opened, digest, cache).read_bytes() == b"weights"  # the copy is whole
    here.unlink()
    with pytest.raises(OSError, match=f"{digest}: damaged"):
        store.fetch(opened, digest, cache)
    assert not here.exists()


def test_damaged_rows_are_noticed(plan, tmp_path):
    address = f"file://{tmp_path}/store"
    store.check_store(address)
    slab = tasks_of(plan, address)[0][3]
    there = tmp_path / "store" / slab
    content = bytearray(there.read_bytes())
    content[40] ^= 0xFF
    there.write_bytes(content)
    with pytest.raises(OSError, match="CRC checksum verification failed"):
        remote_folder.fetch_rows(address, slab, 0)


def test_a_machine_without_the_same_run_folder_is_refused(plan, tmp_path):
    folder = tasks_of(plan, None).folder
    other = replace(folder, folder=shutil.copytree(plan.run.folder, tmp_path / "R"))
    place = folder.files[0][0]
    remedy = "put the run on a file system that all machines share, or give --store"
    refused = rf"^{re.escape(str(other.folder / place))}: missing, or another one; {remedy}$"
    (other.folder / place).write_text("{}")
    with pytest.raises(UserError, match=refused):
        remote_folder.local_copy(other)
    shutil.rmtree(other.folder)
    with pytest.raises(UserError, match=refused):
        remote_folder.local_copy(other)


def test_a_store_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=rf"^--store file://{tmp_path}/file/x: \S[^\n]*$"):
        store.check_store(f"file://{tmp_path}/file/x")


def test_fetched_files_are_private(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert store.cache_folder().parent == tmp_path
    assert store.cache_folder().stat().st_mode & 0o077 == 0

"""A real cluster of three nodes on this machine: the same bytes as `local`, even if a worker or a node is lost."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import psutil
import pytest
from tiny_run import train_tiny

import thresher as th
from thresher.config import DataConfig, MeasureConfig, RunConfig
from thresher.errors import UserError
from thresher.execution.engines import Place, run_tasks
from thresher.execution.remote_worker import Worker, requirements_of
from thresher.models.feature_cache import VARIABLE
from thresher.run import FIRST, Run
from thresher.run.layout import Layout
from thresher.training.feature_files import VECTORS
from tiny import tiny_model

pytestmark = pytest.mark.cluster
ROWS, CHUNK_ROWS = 240, 4
PATIENCE = 300.0  # seconds, on a machine that does much else
NODE = {"num_cpus": 1, "object_store_memory": 80 << 20}


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """An S3 server on the loopback."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        # The nodes take their environment from here, as machines take theirs from whoever set them up.
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "RAY_USAGE_STATS_ENABLED": "0",
            # A node that is slow because others use the machine is not a dead one.
            "RAY_health_check_timeout_ms": "60000",
        }.items():
            patch.setenv(name, value)
        import s3fs

        s3fs.S3FileSystem().mkdir("rows")
        yield "s3://rows"
    server.stop()


def children(name: str) -> list[psutil.Process]:
    """Processes that this one started, and those that they started."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if name in " ".join(child.cmdline()):
                found.append(child)
    return found


def add_node(cluster: Any, **more: Any) -> Any:
    """Ray gives a node 30 seconds to start, which is too little where others use the machine; so again."""
    before = children("ray")
    for _ in range(5):
        try:
            return cluster.add_node(**{**NODE, **more})
        except Exception as error:
            if "timed out during startup" not in str(error):
                raise
            for left in children("ray"):
                if left not in before:
                    left.kill()
    raise TimeoutError("no node would start")


@pytest.fixture(scope="module")
def cluster(bucket: str) -> Iterator[Any]:
    """A head that measures nothing, and two nodes with one core each."""
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    add_node(cluster, num_cpus=0, include_dashboard=False)
    for _ in range(2):
        add_node(cluster)
    yield cluster
    ours = children("ray")
    cluster.shutdown()
    assert len(ours) > 3 and not psutil.wait_procs(ours, timeout=PATIENCE)[1]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder that was trained and not measured."""
    return train_tiny(tmp_path_factory.mktemp("trained"), ROWS, CHUNK_ROWS)


@pytest.fixture(scope="module")
def local(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the engine `local` makes of it."""
    run = shutil.copytree(trained, tmp_path_factory.mktemp("local") / "R")
    th.measure(run, workers=1)
    return run


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy to measure."""
    return shutil.copytree(trained, tmp_path / "R")


def signals(run: Path) -> dict[str, bytes]:
    """Every file that was measured."""
    measured = Layout(run).step_folder("measure")
    return {str(path.relative_to(run)): path.read_bytes() for path in measured.glob("run-*/*.*")}


def when(there: Path, act: Callable[[], None]) -> threading.Thread:
    """Do something as soon as a file is there, while this thread measures."""

    def watch() -> None:
        until = time.monotonic() + PATIENCE
        while not there.exists() and time.monotonic() < until:
            time.sleep(0.002)
        if there.exists():
            act()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def kill_a_worker() -> None:
    """kill -9 on one of the actors."""
    children("ray::Worker")[0].send_signal(signal.SIGKILL)


def part(run: Path, chunk: int) -> Path:
    return Layout(run).signals(FIRST) / f"part-{chunk:05d}.parquet"


def test_from_a_shared_folder_even_if_a_worker_is_killed(cluster, local, run, capfd):
    killer = when(part(run, 10), kill_a_worker)
    facts = th.measure(run, engine="ray", address=cluster.address)
    killer.join()
    assert signals(run) == signals(local)
    assert facts.measured_chunks == ROWS // CHUNK_ROWS
    lost = [line for line in capfd.readouterr().err.splitlines() if "a worker was lost" in line]
    assert len(lost) == 1 and "is run again" in lost[0]


def test_from_a_store_even_if_a_node_is_removed(cluster, bucket, local, run, capfd):
    """What is there already is not measured again; rows and weights come over S3 alone."""
    there = part(run, 5)
    there.parent.mkdir(parents=True)
    shutil.copy2(part(local, 5), there)
    before = there.stat().st_ino
    node = add_node(cluster)
    remover = when(part(run, 20), lambda: cluster.remove_node(node, allow_graceful=False))
    facts = th.measure(run, engine="ray", address=cluster.address, store=f"{bucket}/prefix", workers=3)
    remover.join()
    assert signals(run) == signals(local)
    assert facts.measured_chunks == ROWS // CHUNK_ROWS - 1
    assert there.stat().st_ino == before
    assert "a worker was lost" in capfd.readouterr().err


def test_the_command_on_the_cluster_and_the_same_scores(cluster, bucket, local, run):
    """A process of its own, as on a laptop that drives a cluster."""
    more = ["--engine", "ray", "--address", cluster.address, "--store", bucket, "--set", "measure.workers=2"]
    command = [sys.executable, "-m", "thresher", "measure", str(run), *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    assert "ray: at most 2 workers on " in done.stderr
    assert th.score(run).equals(th.score(local))


def frozen_run(folder: Path, model: str, **where: Any) -> Run:
    """Heads on a frozen encoder, trained where the settings of `measure` say."""
    texts = [f"{('turn', 'play', 'call')[row % 3]} it {row}" for row in range(120)]
    rows = th.load(
        pl.DataFrame({"text": texts, "label": [row % 3 for row in range(120)]}), text="text", label="label"
    )
    data = DataConfig(train="rows", text=("text",), label="label")
    config = RunConfig(data=data, measure=MeasureConfig(**where))
    return th.train(rows, out=folder, config=config, model=model, freeze=True, epochs=1, folds=2, workers=2)


def test_an_encoder_pass_and_heads_on_the_cluster_are_those_of_this_machine_even_if_a_worker_is_killed(
    cluster, tmp_path, monkeypatch, capfd
):
    monkeypatch.setattr("thresher.training.features.SEGMENT", 10)
    model = str(tiny_model("bert", tmp_path / "tiny"))
    monkeypatch.setenv(VARIABLE, str(tmp_path / "here"))
    here = frozen_run(tmp_path / "HERE", model)
    there = tmp_path / "there"
    monkeypatch.setenv(VARIABLE, str(there))

    def killed_once(config: Any, key: str, texts: list[str], mark: Path = tmp_path / "killed") -> Any:
        from thresher.training.features import encode_segment

        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return encode_segment(config, key, texts)

    monkeypatch.setattr("thresher.training.features.encode_segment", killed_once)
    found = frozen_run(tmp_path / "THERE", model, engine="ray", address=cluster.address)
    assert "a worker was lost" in capfd.readouterr().err
    assert len(list(there.rglob("*.safetensors"))) == 12 + 1  # and that of the empty text
    for training in here.trainings():
        for path in sorted(here.checkpoints(training).glob("step-*/model.safetensors")):
            other = found.checkpoints(training) / path.relative_to(here.checkpoints(training))
            assert other.read_bytes() == path.read_bytes()
    vectors = [(one.features_folder() / VECTORS).read_bytes() for one in (here, found)]
    assert vectors[0] == vectors[1]


def killed_in_its_first_training(killed: Path) -> Callable[..., Any]:
    """The job of a cell, whose process gets kill -9 as soon as it trains, once. A closure, so that Ray sends it as it is."""
    from thresher.experiments.tuned_cells import tuned_cell_job

    def job(run: Run, cells: dict[str, Any]) -> Any:
        def kill() -> None:
            while not any(run.progress(key).exists() for key in cells):
                time.sleep(0.001)
            killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)

        if not killed.exists():
            threading.Thread(target=kill, daemon=True).start()
        return tuned_cell_job(run, cells)

    return job


def test_a_sweep_on_the_cluster_has_the_cells_of_a_local_one_even_if_a_training_is_killed(
    cluster, local, tmp_path, monkeypatch
):
    from thresher.pipeline.test_rows import set_test
    from thresher.rows import read_rows

    found = {}
    for name, where in (("LOCAL", {"workers": 1}), ("RAY", {"engine": "ray", "address": cluster.address})):
        run = Run.open(shutil.copytree(local, tmp_path / name))
        th.score(run)
        rows = read_rows(run.rows_file)
        run = set_test(run, rows, replace(rows, table=rows.table[:60]), None)
        if name == "RAY":
            job = killed_in_its_first_training(tmp_path / "killed")
            monkeypatch.setattr("thresher.experiments.tuned_cells.tuned_cell_job", job)
        asked = {"scores": ["el2n"], "ends": ["easy"], "fractions": [0.3, 0.6], "seeds": 4}
        found[name] = replace(th.sweep(run, **asked, **where), seconds=0.0)
        found[f"{name} cells"] = {
            path.name: pl.read_parquet(path)["predicted"].to_list()
            for path in run.cell_file("").parent.glob("*.parquet")
        }
    assert (tmp_path / "killed").exists()
    assert found["RAY"] == found["LOCAL"]
    assert found["RAY cells"] == found["LOCAL cells"] and len(found["RAY cells"]) == 20


def test_a_task_that_is_lost_three_times_is_given_up(cluster):
    def task(deadly: bool) -> bool:
        if deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        return deadly

    given_up = (
        r"^task 1 was given up after 3 attempts \(the last one: a worker was lost "
        r"\(its process was killed, or its node left\)\); run the same command again$"
    )
    with pytest.raises(UserError, match=given_up):
        list(run_tasks(task, [(False,), (True,)], 1, place=Place("ray", cluster.address)))


def test_a_node_that_does_not_see_the_run_folder_is_refused(run):
    required = requirements_of(Place(shared_file=run / "run.yaml"))
    Worker().ready(required, 1)
    (run / "run.yaml").write_text("format: 1")
    refused = r"^node \S+: .*run\.yaml: missing, or another one; put the run on a file system that all machines share$"
    with pytest.raises(UserError, match=refused):
        Worker().ready(required, 1)
    (run / "run.yaml").unlink()
    with pytest.raises(UserError, match=refused):
        Worker().ready(required, 1)


def test_other_versions_on_a_node_are_refused(cluster, run, monkeypatch):
    required = requirements_of(Place())
    other = replace(required, versions={**required.versions, "torch": "1.0"})
    monkeypatch.setattr("thresher.execution.ray.requirements_of", lambda place: other)
    with pytest.raises(
        UserError, match=r"^node \S+: torch is \S+, not 1\.0; install the same versions everywhere$"
    ):
        th.measure(run, engine="ray", address=cluster.address)
    assert not list(Layout(run).signals(FIRST).glob("part-*"))


def test_an_address_where_nothing_answers(run):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UserError) as refused:
            th.measure(run, engine="ray", address=address)
    assert str(refused.value) == f"--address {address}: no Ray cluster answers there (Connection refused)"
    assert Run.open(run).config.measure.engine == "local"


@pytest.mark.parametrize(
    ("module", "settings"), [("ray", {}), ("s3fs", {"store": "s3://rows"})], ids=["ray", "s3fs"]
)
def test_a_missing_package_is_named_with_its_remedy(run, monkeypatch, module, settings):
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", raising=False)
    with pytest.raises(UserError, match=r'pip install "thresher\[ray\]"$'):
        th.measure(run, engine="ray", **settings)

"""No test may use a network, or more than one core."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import pytest
from hypothesis import settings

# Doctests are looked for in every module, and two modules called conftest cannot both be imported as one.
collect_ignore_glob = ["*conftest.py"]
# How long a test takes is the machine's business.
settings.register_profile("thresher", deadline=None)
settings.load_profile("thresher")
CHECKOUT = Path(__file__).parents[1]


def pytest_configure(config: pytest.Config) -> None:
    """Give the process that runs tests one core; the workers of pytest-xdist, gw0, gw1, ..., share the cores evenly.

    By default thresher starts a process per core, each of which imports torch: with one core it starts none. Tests of several
    processes ask for them.
    """
    starts_workers = bool(config.getoption("numprocesses", None)) and not hasattr(config, "workerinput")
    if hasattr(os, "sched_setaffinity") and not starts_workers:
        there = sorted(os.sched_getaffinity(0))
        worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
        os.sched_setaffinity(0, {there[worker % len(there)]})


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Features that tests compute do not go into the cache of whoever runs them."""
    os.environ["THRESHER_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real data sets beside the checkout."""
    folder = Path(os.environ.get("THRESHER_DATA", CHECKOUT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no shared data sets at {folder}; set THRESHER_DATA")
    return folder


@pytest.fixture
def processor(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes torch see a processor of the given capabilities, and no GPU."""
    import torch

    def seen(**capabilities: object) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)

    return seen

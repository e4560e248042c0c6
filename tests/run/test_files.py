"""Files of a run, as those who share its disk find them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from thresher.run.files import write, write_folder


@pytest.fixture
def umask() -> Iterator[None]:
    former = os.umask(0o027)
    yield
    os.umask(former)


def test_files_have_the_mode_of_the_umask_whoever_writes_them(umask: None, tmp_path: Path) -> None:
    weights = {"w": np.zeros(2, dtype=np.float32)}
    write(tmp_path / "a.safetensors", lambda path: save_file(weights, path))
    write(tmp_path / "b.txt", "text")
    write_folder(tmp_path / "model", lambda folder: save_file(weights, folder / "c.safetensors"))
    found = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(found) == 3 and {path.stat().st_mode & 0o777 for path in found} == {0o640}

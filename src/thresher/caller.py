"""What the caller of a public function has set in this process: put aside while the function runs, and put back after it."""

from __future__ import annotations

import contextlib
import os
import random
import sys
import warnings
from collections.abc import Iterator, Mapping

_FORKED = False


def plain(value: object) -> object:
    """An argument as Python's own value: numbers and arrays of NumPy, columns of a frame, paths.

    >>> from pathlib import Path
    >>> plain((Path("tiny"), {"r": 1}))
    ['tiny', {'r': 1}]
    """
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    for name in ("tolist", "to_list"):
        if callable(getattr(value, name, None)):
            return getattr(value, name)()
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return {name: plain(one) for name, one in value.items()} if isinstance(value, Mapping) else value


def _mark_forked() -> None:
    global _FORKED
    _FORKED = "polars" in sys.modules


os.register_at_fork(after_in_child=_mark_forked)


def warn_of_fork() -> None:
    """Warn, once, in a process that was forked from one that had polars: its threads are gone, and a call can wait for ever."""
    global _FORKED
    if _FORKED:
        _FORKED = False
        warnings.warn(
            "this process was forked from one that had imported polars, and may hang; start processes with the method 'spawn'",
            stacklevel=4,
        )


@contextlib.contextmanager
def set_aside() -> Iterator[None]:
    """Inside, torch computes as it does by default; after it, torch and all random generators are as they were.

    Gradients are on, inference mode, autocast and a default device are off, the default type is float32, and products of
    float32 matrices have full precision. Without torch in the process there is nothing of it to set aside.

    >>> state = random.getstate()
    >>> with set_aside():
    ...     _ = random.random()
    >>> random.getstate() == state
    True
    """
    python = random.getstate()
    with contextlib.ExitStack() as after:
        after.callback(random.setstate, python)
        if "numpy" in sys.modules:
            import numpy as np

            after.callback(np.random.set_state, np.random.get_state())
        if "torch" in sys.modules:
            after.enter_context(_torch_set_aside())
        yield


@contextlib.contextmanager
def _torch_set_aside() -> Iterator[None]:
    import torch

    dtype, precision = torch.get_default_dtype(), torch.get_float32_matmul_precision()
    with contextlib.ExitStack() as after:
        after.enter_context(torch.random.fork_rng(devices=range(torch.cuda.device_count())))
        after.enter_context(torch.inference_mode(False))
        after.enter_context(torch.enable_grad())
        for device in ("cpu", *(["cuda"] if torch.cuda.is_available() else [])):
            after.callback(torch.set_autocast_enabled, device, torch.is_autocast_enabled(device))
            torch.set_autocast_enabled(device, False)
        after.enter_context(_outside_of_autocast())
        if torch.get_default_device().type != "cpu":
            after.enter_context(torch.device("cpu"))
        after.callback(torch.set_default_dtype, dtype)
        torch.set_default_dtype(torch.float32)
        after.callback(torch.set_float32_matmul_precision, precision)
        torch.set_float32_matmul_precision("highest")
        yield


@contextlib.contextmanager
def _outside_of_autocast() -> Iterator[None]:
    """Inside, no autocast counts as entered, so that one that is entered there is the outermost.

    The outermost autocast alone forgets on its exit the weights that it has made bfloat16. Inside another one, even one that is
    off, a training in bfloat16 would compute with the weights of its first step for ever.
    """
    import torch

    depth = torch.autocast_increment_nesting() - 1
    for _ in range(depth + 1):
        torch.autocast_decrement_nesting()
    torch.clear_autocast_cache()
    try:
        yield
    finally:
        for _ in range(depth):
            torch.autocast_increment_nesting()
        torch.clear_autocast_cache()

"""Processes that torchrun starts: rank 0 leads, and the others take part in its trainings and in nothing else.

Rank 0 alone reads the input, holds the lock of the run folder, writes into it and prints. The others wait until it names a
training, and end when it ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TypeVar, TypeVarTuple

from thresher.errors import UserError

Args = TypeVarTuple("Args")
Value = TypeVar("Value")

# The others wait while rank 0 reads rows. A killed process is noticed at once, because its connection closes.
PATIENCE = timedelta(days=30)
USER_MISTAKE = 2
_led = False


def world() -> int:
    """The number of processes that torchrun started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", 1)) if "LOCAL_RANK" in os.environ else 1


def rank() -> int:
    """The number of this process among them, from 0."""
    return int(os.environ["RANK"]) if world() > 1 else 0


def die_with(parent: int) -> None:
    """End this process when its parent is killed: it must not write beside the next attempt."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    # A parent that was killed while this process was starting sends no signal any more.
    if os.getppid() != parent:
        os._exit(1)


def check_shares(batch_size: int, n_rows: int) -> None:
    """Refuse a training that the processes cannot share equally.

    Raises UserError: a batch size that is not a multiple of the number of processes, or fewer rows than processes.
    """
    below = batch_size - batch_size % world()
    if below != batch_size:
        near = f"{below} or {below + world()}" if below else f"{world()}"
        raise UserError(
            f"batch size {batch_size} cannot be shared by {world()} processes; give --batch-size {near}"
        )
    if n_rows < world():
        raise UserError(f"{n_rows} rows cannot be shared by {world()} processes; start fewer")


@contextlib.contextmanager
def leading() -> Iterator[None]:
    """Inside, rank 0 may run trainings `together`; afterwards the others end.

    An error inside closes the connection, which ends the others, too.
    """
    global _led
    if world() == 1:
        yield
        return
    _join()
    try:
        yield
        _broadcast(None)
    finally:
        _led = True
        _leave()


def dismiss() -> None:
    """End the other processes where rank 0 had no training for them."""
    if not _led:
        with leading():
            pass


def together(function: Callable[[*Args], None], *arguments: *Args) -> None:
    """Call `function(*arguments)` in every process at the same time."""
    if world() > 1:
        _broadcast(arguments)
    function(*arguments)


def follow(function: Callable[..., None]) -> None:
    """Take part in every `together` of rank 0, until it ends.

    Raises SystemExit: with code 2, where rank 0 ended with an error, which it prints itself.
    """
    _join()
    try:
        while (arguments := _broadcast(())) is not None:
            function(*arguments)
    except RuntimeError as error:
        if "onnection" not in str(error):
            raise
        raise SystemExit(USER_MISTAKE) from None
    finally:
        _leave()


@contextlib.contextmanager
def agreed() -> Iterator[None]:
    """Inside, every process prepares on its own; none continues unless all succeeded.

    Raises UserError: the first error, in rank 0; the others end.
    """
    mine: UserError | None = None
    try:
        yield
    except UserError as error:
        mine = error
    messages = [text for text in gather(str(mine) if mine else None) if text]
    if messages and rank() > 0:
        raise SystemExit(USER_MISTAKE)
    if messages:
        raise mine or UserError(messages[0])


def gather(value: Value) -> list[Value]:
    if world() == 1:
        return [value]
    import torch.distributed as dist

    values = [value] * world()
    dist.all_gather_object(values, value)
    return values


def from_the_first(value: Value) -> Value:
    """The value of rank 0, in all processes."""
    return _broadcast(value) if world() > 1 else value


def _broadcast(value: Value) -> Value:
    import torch.distributed as dist

    values = [value]
    dist.broadcast_object_list(values, src=0)
    return values[0]


def _join() -> None:
    import torch
    import torch.distributed as dist

    if dist.is_initialized():
        return
    die_with(os.getppid())
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=PATIENCE)


def _leave() -> None:
    import torch.distributed as dist

    if dist.is_initialized():
        dist.destroy_process_group()

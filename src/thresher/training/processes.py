"""The processes that torchrun starts: the first one leads, the others take part in its trainings and in nothing else.

Only the first reads what the user gave, holds the run folder, writes into it and speaks. The others wait until it names a
training, and leave when it leaves.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from thresher.errors import UserError

# The others wait while the first one reads rows; whoever is killed is noticed at once, by its connection.
PATIENCE = timedelta(days=30)
LEFT = 2
_led = False


def world() -> int:
    """How many processes torchrun started, 1 without it."""
    return int(os.environ.get("WORLD_SIZE", 1)) if "LOCAL_RANK" in os.environ else 1


def rank() -> int:
    """The number of this process among them; 0 is the first."""
    return int(os.environ["RANK"]) if world() > 1 else 0


def die_with(parent: int) -> None:
    """End this process when its parent is killed: it must not go on writing beside the next attempt."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    # The parent may have been killed while this process was starting; then nobody is told any more.
    if os.getppid() != parent:
        os._exit(1)


def check_shares(batch_size: int, n_rows: int) -> None:
    """Refuse what cannot be shared equally.

    Raises
    ------
    UserError
        a batch size that is no multiple of the number of processes, or fewer rows than processes.
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
    """Inside, the first process may do trainings `together`; after it the others stop.

    Where it ends with an error the others see their connection close, wherever they are, and stop, too.
    """
    global _led
    if world() == 1:
        yield
        return
    _join()
    try:
        yield
        _tell(None)
    finally:
        _led = True
        _leave()


def dismiss() -> None:
    """Let the others stop where the first process had no training for them at all."""
    if not _led:
        with leading():
            pass


def together(work: Callable[..., Any], *given: Any) -> None:
    """Do `work(*given)` in every process at the same time."""
    if world() > 1:
        _tell(given)
    work(*given)


def follow(work: Callable[..., Any]) -> None:
    """Take part in every `together` of the first process, until it stops.

    Raises
    ------
    SystemExit
        with code 2, where the first process ended with an error; that one says it.
    """
    _join()
    try:
        while (given := _tell(None)) is not None:
            work(*given)
    except RuntimeError as error:
        if "onnection" not in str(error):
            raise
        raise SystemExit(LEFT) from None
    finally:
        _leave()


@contextlib.contextmanager
def agreed() -> Iterator[None]:
    """Inside, every process prepares on its own; none goes on unless all could.

    Raises
    ------
    UserError
        what went wrong first, in the first process; the others leave.
    """
    fault: UserError | None = None
    try:
        yield
    except UserError as error:
        fault = error
    faults = [text for text in gather(str(fault) if fault else None) if text]
    if faults and rank() > 0:
        raise SystemExit(LEFT)
    if faults:
        raise fault or UserError(faults[0])


def gather(value: Any) -> list[Any]:
    """What every process has, in the order of their numbers."""
    if world() == 1:
        return [value]
    import torch.distributed as dist

    values = [None] * world()
    dist.all_gather_object(values, value)
    return values


def from_the_first(value: Any) -> Any:
    """The first process's value, in all of them."""
    return _tell(value) if world() > 1 else value


def _tell(value: Any) -> Any:
    import torch.distributed as dist

    held = [value]
    dist.broadcast_object_list(held, src=0)
    return held[0]


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

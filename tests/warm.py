"""Commands as separate processes without the time of imports: a process that has imported everything forks for each.

What is forked is a real process on a real run folder, starts real workers, and is really killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATIENCE = 120.0  # seconds, on a machine that does much else
CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir"}


@dataclass(frozen=True)
class Attempt:
    """How a forked command ended: exit code (negative: the signal), seconds, changes of files, orphans, what it said."""

    code: int
    seconds: float
    changes: int
    orphans: int
    err: str

    @property
    def killed(self) -> bool:
        """Whether SIGKILL ended it."""
        return self.code == -signal.SIGKILL


class Warm:
    """The process that forks."""

    def __init__(self, started: subprocess.Popen[str]) -> None:
        self.started = started

    def __call__(
        self,
        *arguments: object,
        run: Path,
        after: float | None = None,
        at_change: int | None = None,
        processes: int = 1,
        victim: int = 0,
    ) -> Attempt:
        """Run a command; SIGKILL it `after` seconds, or at its nth change of a file below `run`.

        Several `processes` have the surroundings that torchrun gives; where one fails, the others are ended as it does.
        """
        request = {
            "arguments": [str(argument) for argument in arguments],
            "run": str(run),
            "after": after,
            "at_change": at_change,
            "processes": processes,
            "victim": victim,
        }
        assert self.started.stdin and self.started.stdout
        print(json.dumps(request), file=self.started.stdin, flush=True)
        return Attempt(**json.loads(self.started.stdout.readline()))


@contextlib.contextmanager
def warm_process(folder: Path) -> Iterator[Warm]:
    """Start the process that forks; what its children say goes through files in `folder`."""
    command = [sys.executable, __file__, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        try:
            yield Warm(started)
        finally:
            assert started.stdin
            started.stdin.close()


def import_everything() -> None:
    """What a whole run imports, so that no child has to."""

    import thresher.api
    import thresher.cli
    import thresher.experiments.cells
    import thresher.experiments.compare
    import thresher.experiments.head_cells
    import thresher.experiments.tuned_cells
    import thresher.report.page
    import thresher.signals.measure
    import thresher.training.train  # noqa: F401


class Changes:
    """Counts the changes of files below a folder, and has this process killed at the given one."""

    def __init__(self, below: str, kill_at: int | None) -> None:
        self.below, self.kill_at, self.seen = below, kill_at, 0

    def __call__(self, event: str, given: tuple[Any, ...]) -> None:
        """An audit hook."""
        writes = event == "open" and isinstance(given[1], str) and set(given[1]) & set("wa+")
        if (event in CHANGES or writes) and str(given[0]).startswith(self.below):
            self.seen += 1
            if self.seen == self.kill_at:
                os.kill(os.getpid(), signal.SIGKILL)


def child(request: dict[str, Any], rank: int, port: int, said: Path) -> None:
    """Be the command, to the end."""
    null, err = os.open(os.devnull, os.O_RDWR), os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for target, source in enumerate((null, null, err)):
        os.dup2(source, target)
    if (world := request["processes"]) > 1:
        places = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world}
        os.environ.update({name: str(value) for name, value in places.items()})
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    changes = Changes(request["run"], request["at_change"] if rank == request["victim"] else None)
    sys.addaudithook(changes)
    code: Any = 1
    # The process that forks imports polars and does not use it.
    warnings.filterwarnings("ignore", message="this process was forked")
    try:
        from thresher.cli import main

        main(request["arguments"])
    except SystemExit as left:
        code = left.code or 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        said.with_suffix(f".{rank}").write_text(str(changes.seen))
        sys.stderr.flush()
        os._exit(code)


def attempt(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Fork, wait, and kill where that was asked for."""
    said = folder / "err"
    said.write_text("")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = time.monotonic()
    children = []
    for rank in range(request["processes"]):
        pid = os.fork()
        if pid == 0:
            child(request, rank, port, said)
        children.append(pid)
    victim = children[request["victim"]]
    codes: dict[int, int] = {}
    while len(codes) < len(children):
        for pid in set(children) - set(codes):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                codes[pid] = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - started
        if victim not in codes and request["after"] is not None and seconds > request["after"]:
            os.kill(victim, signal.SIGKILL)
        if any(codes.values()):
            for pid in set(children) - set(codes):
                os.kill(pid, signal.SIGTERM)
        time.sleep(0.002)
    counted = said.with_suffix(f".{request['victim']}")
    changes = int(counted.read_text()) if counted.is_file() else 0
    counted.unlink(missing_ok=True)
    facts = {"code": codes[victim], "seconds": seconds, "changes": changes}
    return {**facts, "orphans": orphans(), "err": said.read_text()}


def orphans() -> int:
    """How many workers outlived their parent, which they may do only for as long as they are starting."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)
            time.sleep(0.01)
            continue
        return 0
    left = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    for pid in left:
        os.kill(int(pid), signal.SIGKILL)
    return len(left)


def serve(folder: Path) -> None:
    """Do what is asked for on stdin, a line each."""
    # Orphans of killed children become children of this process, which sees that they end.
    ctypes.CDLL(None).prctl(36, 1)
    import_everything()
    for line in sys.stdin:
        print(json.dumps(attempt(json.loads(line), folder)), flush=True)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))

"""Every kind of file in a run, damaged in every way: one line that says what to do, or the same results; never a traceback."""

from __future__ import annotations

import json
import re
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from command_line import Call, contents

from thresher.run.layout import HOME

pytestmark = pytest.mark.slow
How = Callable[[Path], object]
# Of the combinations, one in so many is tried: which ones follows from their names.
EVERY = 4


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def without(key: str) -> How:
    def change(path: Path) -> None:
        facts = json.loads(path.read_text())
        facts.pop(key, None)
        path.write_text(json.dumps(facts))

    return change


def nulls(path: Path) -> None:
    path.write_text(json.dumps(dict.fromkeys(json.loads(path.read_text()))))


def by_another_program(path: Path) -> None:
    pl.read_parquet(path).write_parquet(path)


def other_table(path: Path) -> None:
    pl.DataFrame({"a": [1]}).write_parquet(path)


ANY: dict[str, How] = {
    "removed": Path.unlink,
    "cut": cut,
    "empty": lambda path: path.write_bytes(b""),
    "folder": as_folder,
}
BY_SUFFIX: dict[str, dict[str, How]] = {
    ".json": {
        "null": lambda path: path.write_text("null"),
        "list": lambda path: path.write_text("[1]"),
        "nothing in it": lambda path: path.write_text("{}"),
        "nulls": nulls,
        "no checksum": without("checksum"),
        "no key": without("key"),
        "no files": without("files"),
    },
    ".parquet": {"flipped": flip, "another program": by_another_program, "another table": other_table},
    ".safetensors": {"flipped": flip},
    ".yaml": {
        "null": lambda path: path.write_text("null"),
        "list": lambda path: path.write_text("- 1\n"),
        "number": lambda path: path.write_text("3"),
    },
}
REMEDIES = ("`thresher ", "--out", "move it away")
COMMANDS = ("score --force", "select --force", "report --force", "suspects --out OUT", "measure", "map")


def kinds(run: Path) -> dict[str, str]:
    """A file of each kind: those whose paths differ in numbers and digests alone are of one."""
    files = sorted(str(path.relative_to(run)) for path in run.rglob("*") if path.is_file())
    inside = [name for name in files if name.startswith(HOME) or name == "run.yaml"]
    return {re.sub(r"[0-9a-f]{24}|[0-9]+", "#", name): name for name in inside if not name.endswith("lock")}


def combinations(run: Path) -> list[tuple[str, str, How, str]]:
    """(file, name of the damage, damage, command)"""
    found = []
    for kind, file in kinds(run).items():
        for name, how in (ANY | BY_SUFFIX.get(Path(file).suffix, {})).items():
            drawn = zlib.crc32(f"{kind} {name}".encode())
            if drawn % EVERY == 0:
                found.append((file, name, how, COMMANDS[drawn // EVERY % len(COMMANDS)]))
    return found


def results(run: Path, but: str) -> dict[str, bytes]:
    """The rows, the scores and the selections, without the file that was damaged."""
    shown = {
        name: content for name, content in contents(run).items() if name.startswith(("kept.", "dropped."))
    }
    wanted = re.compile(r"(rows/rows|score/scores|select/.*)\.parquet")
    inside = {
        f"{HOME}/{name}": content for name, content in contents(run / HOME).items() if wanted.fullmatch(name)
    }
    return {name: content for name, content in (shown | inside).items() if name != but}


def test_damage_gives_one_line_or_the_same_results(measured_run: Path, tmp_path: Path, call: Call) -> None:
    tried = combinations(measured_run)
    assert len(tried) > 30 and {command for *_, command in tried} == set(COMMANDS)
    wrong: list[str] = []
    for number, (file, name, how, command) in enumerate(tried):
        run = Path(shutil.copytree(measured_run, tmp_path / str(number)))
        expected = results(run, but=file)
        how(run / file)
        verb, *options = command.replace("OUT", str(tmp_path / f"{number}.csv")).split()
        answer = call(verb, run, *options)
        lines = [line for line in answer.err.splitlines() if line.startswith("error: ")]
        if answer.code == 2:
            fine = len(lines) == 1 and str(run) in lines[0] and any(one in lines[0] for one in REMEDIES)
        else:
            fine = answer.code == 0 and not lines and results(run, but=file) == expected
        if not fine or "Traceback" in answer.err:
            wrong.append(f"{file} ({name}), {command}: {answer.code}, {answer.err[-600:]}")
        shutil.rmtree(run)
    assert wrong == []

"""The rows of the study: `python -m research.study.data DATA OUT` writes two splits of each data set.

OUT/NAME/{train,test}.jsonl is the split on which figures are reported. OUT/NAME/{fit,val}.jsonl is cut from train
alone, and every choice was made on it. clinc150 comes with validation rows. For hwu64 a tenth is held out by the hash
of the text, and slurp's devel rows are added. For snli a fifth is held out by the hash of the premise, so that no
premise is on both sides.

hwu64 is tested on its own test rows and on slurp's. Training rows whose normalised text is in either test set are
left out, and so are slurp's devel rows when they validate."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from thresher.rows import normalised

Row = dict[str, Any]
SHARES = {"hwu64": 0.1, "snli": 0.2}
COLUMNS = {
    "clinc150": ("text", "intent"),
    "hwu64": ("utterance", "domain"),
    "snli": ("premise,hypothesis", "label"),
}


def read(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write(path: Path, rows: list[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    path.write_text("".join(lines), encoding="utf-8")


def cut(rows: list[Row], column: str, share: float) -> tuple[list[Row], list[Row]]:
    """Two parts, the second with about this share of the texts; equal texts stay together."""

    def out(text: str) -> bool:
        digest = hashlib.blake2b(b"thresher study\x1f" + normalised(text).encode(), digest_size=8).digest()
        return int.from_bytes(digest, "little") / 2**64 < share

    return [row for row in rows if not out(row[column])], [row for row in rows if out(row[column])]


def without(rows: list[Row], column: str, others: list[Row]) -> list[Row]:
    """The rows whose normalised text does not occur in the others."""
    known = {normalised(row[column]) for row in others}
    return [row for row in rows if normalised(row[column]) not in known]


def named(rows: list[Row], source: str) -> list[Row]:
    return [{**row, "source": source} for row in rows]


def main(data: Path, out: Path) -> None:
    parts = {}
    clinc = [read(data / "clinc150" / f"{part}.jsonl") for part in ("train", "test", "val")]
    parts["clinc150"] = clinc[0], clinc[1], clinc[0], clinc[2]

    own, slurp = (named(read(data / name / "test.jsonl"), name) for name in ("hwu64", "slurp"))
    test = own + slurp
    train = without(named(read(data / "hwu64/train.jsonl"), "hwu64"), "utterance", test)
    fit, cut_off = cut(train, "utterance", SHARES["hwu64"])
    devel = without(named(read(data / "slurp/devel.jsonl"), "slurp"), "utterance", test)
    val = cut_off + without(devel, "utterance", cut_off)
    parts["hwu64"] = train, test, without(fit, "utterance", val), val

    train = read(data / "snli/train.jsonl")
    parts["snli"] = train, read(data / "snli/test.jsonl"), *cut(train, "premise", SHARES["snli"])

    for name, found in parts.items():
        for part, rows in zip(("train", "test", "fit", "val"), found, strict=True):
            write(out / name / f"{part}.jsonl", rows)
            print(name, part, len(rows))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

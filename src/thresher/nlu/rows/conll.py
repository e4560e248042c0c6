"""Token columns with BIO tags, CoNLL style: a token a line, its tag in the last column, a blank line between rows.

Comment lines before the tokens name the row: `# domain = alarm`, `# intent = set`, and `id`, `source`, `text` where given.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from thresher.nlu.rows.bio import slots_of, spans_in, tags_of
from thresher.nlu.rows.table import BadRow, Parsed, Utterance, squeezed, words
from thresher.rows.read.sheet import utf8, without_mark

_COMMENT = re.compile(r"#\s*(id|domain|intent|source|text)\s*=\s*(.*)")
Lines = list[tuple[int, str]]


def read(path: Path) -> Parsed:
    """The rows of a file, by the line on which each begins."""
    for lines in _blocks(path):
        yield f"{path} line {lines[0][0]}", partial(_row, lines)


def _blocks(path: Path) -> Iterator[Lines]:
    _, body = without_mark(path.read_bytes(), str(path))
    block: Lines = []
    for number, raw in enumerate(body.split(b"\n"), 1):
        line = utf8(raw, str(path), number).strip("\r ")
        if line:
            block.append((number, line))
        elif block:
            yield block
            block = []
    if block:
        yield block


def _row(lines: Lines) -> Utterance:
    facts: dict[str, str] = {}
    tokens: list[str] = []
    tags: list[str] = []
    for number, line in lines:
        found = _COMMENT.fullmatch(line)
        if found and not tokens:
            facts[found[1]] = found[2].strip()
            continue
        columns = line.split("\t") if "\t" in line else line.split()
        if len(columns) < 2:
            raise BadRow(f"line {number} has no tag column")
        tokens.append(columns[0])
        tags.append(columns[-1])
    text, _ = squeezed(facts.get("text", " ".join(tokens)))
    slots = slots_of(spans_in(text, tokens), tags)
    return Utterance(
        text,
        facts.get("domain", ""),
        facts.get("intent", ""),
        slots,
        facts.get("source", ""),
        facts.get("id"),
    )


def write(rows: Iterator[Utterance]) -> str:
    """The rows as one file."""
    return "\n".join(map(_block, rows))


def _block(row: Utterance) -> str:
    spans = words(row.text)
    facts = {"id": row.id, "domain": row.domain, "intent": row.intent, "source": row.source, "text": row.text}
    head = [f"# {name} = {value}" for name, value in facts.items() if value]
    body = [
        f"{row.text[start:end]}\t{tag}"
        for (start, end), tag in zip(spans, tags_of(spans, row.slots), strict=True)
    ]
    return "\n".join([*head, *body, ""])

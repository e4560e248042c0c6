"""Token columns with BIO tags, CoNLL style: a token a line, its tag in the last column, a blank line between rows.

Comment lines before the tokens name the row: `# domain = alarm`, `# intent: set`, and `id`, `source`, `text` where given;
other comments are passed over. A first column of token numbers is none of tokens. A row may also stand on one line, as in
ATIS: `BOS list flights to boston EOS`, a tab, and a tag for every word, the intent for EOS.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from thresher.nlu.rows.bio import slots_of, spans_in, tags_of
from thresher.nlu.rows.checked import Parsed, squeezed, words
from thresher.nlu.rows.table import BadRow, Utterance
from thresher.rows.read.raw import content
from thresher.rows.read.sheet import utf8, without_mark
from thresher.wording import shown

_COMMENT = re.compile(r"#\s*(id|sent_id|domain|intent|source|text)\s*[=:]\s*(.*)", re.IGNORECASE)
_TAG = re.compile(r"O|[BI]-\S+")
_NUMBER = re.compile(r"[0-9]+")
_NO_TOKEN = re.compile(r"[0-9]+[-.][0-9]+")  # of CoNLL-U: a contraction, or a word that is not in the text
Lines = list[tuple[int, str]]


def read(paths: Iterable[Path]) -> Parsed:
    """The rows of some files, by the line on which each begins."""
    for path in paths:
        blocks = list(_blocks(path))
        numbered = _numbered(blocks)
        for lines in blocks:
            if lines[0][1].startswith("BOS ") and "\t" in lines[0][1]:
                for number, line in lines:
                    yield f"{path} line {number}", partial(_one_line, line)
            elif any(_parts(lines)):
                yield f"{path} line {lines[0][0]}", partial(_row, lines, numbered)


def _blocks(path: Path) -> Iterator[Lines]:
    _, body = without_mark(content(path.read_bytes(), str(path)), str(path))
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


def _numbered(blocks: list[Lines]) -> bool:
    """Whether the first of three or more columns numbers the tokens: it counts up from 0 or 1 in half of the rows."""
    counts = [
        _counts([columns for _, columns in cells if not _NO_TOKEN.fullmatch(columns[0])])
        for _, cells in map(_parts, blocks)
        if cells
    ]
    return 2 * sum(counts) >= max(1, len(counts))


def _counts(cells: list[list[str]]) -> bool:
    first = [columns[0] for columns in cells]
    upwards = [[str(start + at) for at in range(len(first))] for start in (0, 1)]
    return bool(first) and all(len(columns) > 2 for columns in cells) and first in upwards


def _parts(lines: Lines) -> tuple[dict[str, str], list[tuple[int, list[str]]]]:
    """What the comments of a row say, and the columns of its tokens with their lines."""
    facts: dict[str, str] = {}
    cells: list[tuple[int, list[str]]] = []
    width = len(_columns(lines[-1][1]))
    for number, line in lines:
        columns = _columns(line)
        if found := None if cells else _COMMENT.fullmatch(line):
            name = found[1].lower()
            facts["id" if name == "sent_id" else name] = found[2].strip()
            continue
        # A token may be "#", or begin with it.
        token = len(columns) == width and _TAG.fullmatch(columns[-1])
        if cells or token or not line.startswith("#"):
            cells.append((number, columns))
    return facts, cells


def _columns(line: str) -> list[str]:
    return line.split("\t") if "\t" in line else line.split()


def _row(lines: Lines, numbered: bool) -> Utterance:
    facts, cells = _parts(lines)
    tokens: list[str] = []
    tags: list[str] = []
    for number, columns in cells:
        if numbered and _NO_TOKEN.fullmatch(columns[0]):
            continue
        if numbered and not _NUMBER.fullmatch(columns[0]):
            raise BadRow(f"line {number} has no token number, as the other rows have: '{shown(columns[0])}'")
        if len(columns) < 2 + numbered:
            raise BadRow(f"line {number} has no tag column")
        tokens.append(columns[numbered])
        tags.append(columns[-1])
    text, _ = squeezed(facts.get("text", " ".join(tokens)))
    slots = slots_of(spans_in(text, tokens), tags)
    domain, intent = facts.get("domain", ""), facts.get("intent", "")
    if not domain and "/" in intent:
        domain, _, intent = intent.partition("/")
    return Utterance(text, domain, intent, slots, facts.get("source", ""), facts.get("id"))


def _one_line(line: str) -> Utterance:
    spoken, _, tagged = line.partition("\t")
    tokens, tags = spoken.split(), tagged.split()
    if tokens[0] != "BOS" or tokens[-1] != "EOS" or len(tokens) != len(tags):
        raise BadRow(
            f"{len(tokens)} words and {len(tags)} tags; a row is BOS, words, EOS, a tab, and a tag for each, the intent for EOS"
        )
    text, _ = squeezed(" ".join(tokens[1:-1]))
    return Utterance(text, "", tags[-1], slots_of(spans_in(text, tokens[1:-1]), tags[1:-1]))


def write(rows: Iterator[Utterance]) -> str:
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

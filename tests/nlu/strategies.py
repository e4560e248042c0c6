"""Random annotated utterances that every format can hold."""

from __future__ import annotations

from hypothesis import strategies as st

from thresher.nlu.rows.checked import words
from thresher.nlu.rows.table import Slot, Utterance

TOKEN = st.text(st.characters(categories=("L", "N"), max_codepoint=0x24F), min_size=1, max_size=6)
SIGN = st.sampled_from([",", ".", "?", "!", "'", "@", "%", "-", "|", "\\", "#", '"', "=", "é", "九", "時"])
LABEL = st.sampled_from(["time", "date", "artist_name", "B-side", "x.y"])
NAME = st.sampled_from(["alarm", "play music", "set", "ünïcode", "a_b", "query"])


@st.composite
def utterance(draw: st.DrawFn) -> Utterance:
    """Words and signs, glued or with spaces between; slots over runs of words, never two of one label side by side."""
    pieces = draw(st.lists(st.tuples(st.one_of(TOKEN, SIGN), st.booleans()), min_size=1, max_size=8))
    text = "".join(piece + (" " if spaced else "") for piece, spaced in pieces).strip()
    spans = words(text)
    slots: list[Slot] = []
    at = 0
    while at < len(spans):
        length = draw(st.integers(0, 3))
        if length:
            end = min(at + length, len(spans))
            label = draw(LABEL)
            if not (slots and slots[-1].label == label and slots[-1].end == spans[at - 1][1]):
                slots.append(Slot(spans[at][0], spans[end - 1][1], label))
            at = end
        else:
            at += 1
    source = draw(st.sampled_from(["", "historical", "synthetic"]))
    identifier = draw(st.uuids()).hex
    return Utterance(text, draw(NAME), draw(NAME), tuple(slots), source, identifier)


rows = st.lists(utterance(), min_size=1, max_size=5, unique_by=lambda row: row.id)

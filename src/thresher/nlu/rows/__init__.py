"""Annotated rows: bracket annotation, token columns, the pipe form, Rasa, SLURP and MASSIVE in and out."""

from thresher.nlu.rows.checked import words
from thresher.nlu.rows.files import FORMATS, load_utterances, save_utterances
from thresher.nlu.rows.table import SCHEMA, Labels, Read, Slot, Utterance, as_table, labels_of, utterances

__all__ = [
    "FORMATS",
    "SCHEMA",
    "Labels",
    "Read",
    "Slot",
    "Utterance",
    "as_table",
    "labels_of",
    "load_utterances",
    "save_utterances",
    "utterances",
    "words",
]

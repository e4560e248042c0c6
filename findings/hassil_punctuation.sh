#!/usr/bin/env bash
# hassil 3.12.1
#
# Behaviour: recognize removes , . ? ! ; : from the sentence before it matches, and not from the templates and list values. A template
# such as "what time is it?" or a list value such as "Dr. Who" is accepted when it is loaded and sampled as usual, and matches
# no sentence at all, not even its own text. Without a word about it.
#
# Why it surprises: sample_intents is a common way to write training rows from templates, and recognize the rule that answers
# before the model. Each takes the same file. Rows are made for templates that the rules can never answer, so a test of the rules
# on the sampled rows blames the rows.
#
# Output seen (template, sampled, recognised of the sampled):
#   what time is it?              1   0
#   stop, please                  1   0
#   call {name}, name: Dr. Who    1   0
#   what time is it               1   1
#   call {name}, name: Dr Who     1   1   (also recognises "call Dr. Who")
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --no-compile 'hassil==3.12.1'
venv/bin/python - <<'PY'
import sys

from hassil import Intents, recognize
from hassil.sample import sample_intents


def load(template, value=None):
    lists = {"name": {"values": [value]}} if value else {}
    intents = {"Ask": {"data": [{"sentences": [template]}]}}
    return Intents.from_dict({"language": "en", "intents": intents, "lists": lists})


def counts(template, value=None):
    loaded = load(template, value)
    sampled = [sentence for _, sentence in sample_intents(loaded)]
    return len(sampled), sum(recognize(sentence, loaded) is not None for sentence in sampled)


never = [("what time is it?",), ("stop, please",), ("call {name}", "Dr. Who")]
always = [("what time is it",), ("call {name}", "Dr Who")]
for case in never + always:
    print(*case, counts(*case))
for case in never:
    if counts(*case) != (1, 0):
        sys.exit(f"changed: {case} is now sampled and recognised {counts(*case)} times")
for case in always:
    if counts(*case) != (1, 1):
        sys.exit(f"changed: {case} is now sampled and recognised {counts(*case)} times")
if recognize("call Dr. Who", load("call {name}", "Dr Who")) is None:
    sys.exit("changed: punctuation in the sentence alone is no longer ignored")
PY

#!/usr/bin/env bash
# seqeval 1.2.2
#
# Behaviour: a tag without B- or I- (slot names alone, as in tables with one slot name per token) is not refused. seqeval takes the
# first letter as the prefix and the rest as the type. Two slots that differ in the first letter alone are then the same slot
# (date and rate), and a slot whose name begins with a capital O counts as outside.
#
# Why it surprises: the F1 of a slot model is what a pruned training set is judged by. Here a model that gets every token wrong
# has an F1 of 1.0, and missed slots cost nothing. The only sign is a UserWarning per tag, which most training scripts filter.
#
# Output seen:
#   entities of ['date', 'O', 'Object']                          [('ate', 0, 0)]
#   F1 of rate, rate predicted as date, date                      1.0   (accuracy 0.0)
#   F1 of date, Object, Owner predicted as date, O, O             1.0   (accuracy 0.333)
#   the same with B- prefixes                                     0.0 and 0.5
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --no-compile 'seqeval==1.2.2' 'scikit-learn==1.9.1'
venv/bin/python -W ignore - <<'PY'
import sys

from seqeval.metrics import accuracy_score, f1_score
from seqeval.metrics.sequence_labeling import get_entities


def scores(true, predicted):
    return round(float(f1_score([true], [predicted])), 3), round(float(accuracy_score([true], [predicted])), 3)


entities = get_entities(["date", "O", "Object"])
first_letter = scores(["rate", "rate"], ["date", "date"])
outside = scores(["date", "Object", "Owner"], ["date", "O", "O"])
prefixed = scores(["B-rate", "I-rate"], ["B-date", "I-date"]), scores(["B-date", "B-Object", "B-Owner"], ["B-date", "O", "O"])
print("entities of ['date', 'O', 'Object']:", entities)
print("rate predicted as date:", first_letter)
print("Object and Owner predicted as O:", outside)
print("the same with B- prefixes:", prefixed)
if entities != [("ate", 0, 0)]:
    sys.exit(f"changed: the entities of tags without prefix are now {entities}")
if first_letter != (1.0, 0.0) or outside != (1.0, 0.333):
    sys.exit(f"changed: F1 and accuracy of tags without prefix are now {first_letter} and {outside}")
if prefixed != ((0.0, 0.0), (0.5, 0.333)):
    sys.exit(f"changed: F1 and accuracy of tags with prefixes are now {prefixed}")
PY

#!/usr/bin/env bash
# cleanlab 2.9.0
#
# Behaviour: find_label_issues with its default filter (prune_by_noise_rate) always leaves one row of each class. The only
# row of a class is never reported, however sure the model is that it belongs elsewhere. prune_by_class and both do the same
# (min_examples_per_class=0 does not change it); confident_learning and predicted_neq_given report it.
#
# Why it surprises: a misspelt or retired label is a class with one row, so the surest label errors of an intent data set are the ones
# that the default leaves out. Two misspelt rows of one kind: one of them is reported.
#
# Output seen, 300 rows of three classes and 20 rows each with a class of its own, all 20 predicted as another class at 0.9:
#   prune_by_noise_rate 0 of 20, prune_by_class 0, both 0, confident_learning 20, predicted_neq_given 20
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --no-compile 'cleanlab==2.9.0'
venv/bin/python - <<'PY'
import sys

import numpy as np
from cleanlab.filter import find_label_issues

regular, misspelt, classes = 300, 20, 3
truth = np.arange(regular + misspelt) % classes
labels = truth.copy()
labels[regular:] = classes + np.arange(misspelt)
total = classes + misspelt
probabilities = np.full((len(labels), total), 0.1 / (total - 1))
probabilities[np.arange(len(labels)), truth] = 0.9

found = {}
for method in ("prune_by_noise_rate", "prune_by_class", "both", "confident_learning", "predicted_neq_given"):
    issues = find_label_issues(labels, probabilities, filter_by=method, n_jobs=1)
    found[method] = int(issues[regular:].sum())
print(found)
without_minimum = int(find_label_issues(labels, probabilities, min_examples_per_class=0, n_jobs=1)[regular:].sum())
default = int(find_label_issues(labels, probabilities, n_jobs=1)[regular:].sum())
expected = dict(prune_by_noise_rate=0, prune_by_class=0, both=0, confident_learning=20, predicted_neq_given=20)
if (default, without_minimum) != (0, 0) or found != expected:
    sys.exit(f"changed: of 20 single-row classes the default now reports {default}, and by filter {found}")
PY

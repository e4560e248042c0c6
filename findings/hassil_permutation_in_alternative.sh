#!/usr/bin/env bash
# hassil 3.12.1
#
# Behaviour: a permutation with two items is joined by a space where it stands alone, and without one where it is part of an
# alternative. (now;please) gives "now please"; (now;please|quickly) gives "nowplease" and "pleasenow". Parentheses of its own,
# ((now;please)|quickly), bring the space back. An empty alternative also behaves in two ways: "set (|the) timer" samples "set timer" and does not recognise it; "set [the] timer" does both.
#
# Why it surprises: the sampled rows go into a training set. Half of them are then words that nobody says, which the model finds hard
# to learn, and scores of hardness rank them among the most valuable rows.
#
# Output seen:
#   turn on (now;please)           ['turn on now please', 'turn on please now']
#   turn on (now;please|quickly)   ['turn on nowplease', 'turn on pleasenow', 'turn on quickly']
#   turn on ((now;please)|quickly) ['turn on now please', 'turn on please now', 'turn on quickly']
#   set (|the) timer               sampled 'set timer' and 'set the timer', recognised 'set the timer' alone
#   set [the] timer                both sampled, both recognised
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


def try_out(template):
    loaded = Intents.from_dict({"language": "en", "intents": {"Do": {"data": [{"sentences": [template]}]}}})
    sampled = sorted({" ".join(sentence.split()) for _, sentence in sample_intents(loaded)})
    result = sampled, [sentence for sentence in sampled if recognize(sentence, loaded)]
    print(template, *result)
    return result


both = ["set the timer", "set timer"]
alone, _ = try_out("turn on (now;please)")
inside, _ = try_out("turn on (now;please|quickly)")
nested, _ = try_out("turn on ((now;please)|quickly)")
empty = try_out("set (|the) timer")
optional = try_out("set [the] timer")
if alone != ["turn on now please", "turn on please now"]:
    sys.exit(f"changed: a permutation alone now gives {alone}")
if inside != ["turn on nowplease", "turn on pleasenow", "turn on quickly"]:
    sys.exit(f"changed: a permutation in an alternative now gives {inside}")
if nested != ["turn on now please", "turn on please now", "turn on quickly"]:
    sys.exit(f"changed: a permutation in parentheses of its own now gives {nested}")
if empty != (both, ["set the timer"]):
    sys.exit(f"changed: an empty alternative now gives {empty}")
if optional != (both, both):
    sys.exit(f"changed: an optional word now gives {optional}")
PY

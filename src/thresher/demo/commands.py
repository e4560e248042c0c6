"""Generate the files of the demo: a few thousand voice commands with planted label noise, and a test set of other sentences.

The sentences come from the English templates of `home-assistant-intents` (by the Home Assistant authors, Apache-2.0),
expanded with `hassil` (Apache-2.0). The names and places in them are part of thresher.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from thresher.errors import UserError
from thresher.rows.noise import isotropic
from thresher.run.files import write

if TYPE_CHECKING:
    from thresher.demo.templates import Command, Template

TRAIN_PER_INTENT = 120
TEST_PER_INTENT = 120
TEST_SHARE = 0.2  # of the templates of each intent, where the test set has templates of its own
NOISE_SHARE = 0.04
MIN_TEMPLATES = 3  # one for test, at least two for training
MIN_ROWS = 40
TRIES = 20  # draws for one more new sentence before a template counts as exhausted

Row = dict[str, str]


@dataclass(frozen=True)
class DemoFiles:
    """The three files of the demo."""

    train: Path
    test: Path
    planted: Path


def generate(folder: Path, seed: int = 0) -> DemoFiles:
    """Write `train.jsonl`, `test.jsonl` and `planted.jsonl`.

    Rows have `id`, `text`, `intent` (the label), `domain` (what the command is about: light, timer, ...) and `template`
    (the sentence template of the text). Training and test sentences come from the same templates, and no text of the test set
    occurs in the training set: the test set is as new requests of the same users would be. Intents with fewer than 3 templates
    or fewer than 40 training rows are left out. Every intent has at most 120 training rows and 120 test rows, drawn from
    its templates in turn.

    The labels of 4 % of the training rows are redrawn over all intents (`thresher.rows.isotropic`); about 1 in 29 of these
    keeps its label. `planted.jsonl` lists the wrong labels (`id`, `given`, `true`). The same seed and the same versions of
    the two packages give the same bytes.

    Raises UserError: the packages of the `demo` extra are not installed, or the folder holds other files of these names or
    cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     files = generate(Path(folder))
    ...     row = json.loads(files.train.read_text().splitlines()[0])
    >>> list(row)
    ['id', 'text', 'intent', 'domain', 'template']
    """
    try:
        from thresher.demo.templates import draw, read_templates
    except ModuleNotFoundError as error:
        raise UserError(f'the demo needs the package {error.name}; pip install "thresher[demo]"') from error
    rng = random.Random(seed)
    templates, intents = read_templates()
    several = by_intent(templates)
    seen: set[str] = set()
    test = sample(several, TEST_PER_INTENT, lambda t: draw(t, intents, rng), seen, frozenset())
    train = sample(several, TRAIN_PER_INTENT, lambda t: draw(t, intents, rng), seen, frozenset())
    kept = [intent for intent, rows in train.items() if len(rows) >= MIN_ROWS and test[intent]]
    train_rows = as_rows("train", (pair for intent in kept for pair in train[intent]), rng)
    test_rows = as_rows("test", (pair for intent in kept for pair in test[intent]), rng)
    train_rows, planted = plant(train_rows, NOISE_SHARE, seed)
    files = DemoFiles(folder / "train.jsonl", folder / "test.jsonl", folder / "planted.jsonl")
    texts = {
        path: "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        for path, rows in ((files.train, train_rows), (files.test, test_rows), (files.planted, planted))
    }
    for path in (path for path in texts if path.exists()):
        if not path.is_file() or path.read_bytes() != texts[path].encode():
            raise UserError(f"{path}: is not the demo's, and would be overwritten; choose another --out")
    for path, text in texts.items():
        write(path, text)
    return files


def by_intent(templates: list[Template]) -> dict[str, list[Template]]:
    """The templates of each intent; intents with too few are left out."""
    found: dict[str, list[Template]] = {}
    for template in templates:
        found.setdefault(template.intent, []).append(template)
    return {intent: own for intent, own in found.items() if len(own) >= MIN_TEMPLATES}


def split(
    templates: list[Template], rng: random.Random
) -> tuple[dict[str, list[Template]], dict[str, list[Template]]]:
    """The templates of each intent for test and for training; intents with too few templates are left out."""
    held_out, learned = {}, {}
    for intent, own in by_intent(templates).items():
        rng.shuffle(own)
        cut = max(1, round(TEST_SHARE * len(own)))
        held_out[intent], learned[intent] = own[:cut], own[cut:]
    return held_out, learned


def sample(
    templates: dict[str, list[Template]],
    per_intent: int,
    draw: Callable[[Template], Command],
    seen: set[str],
    unseen_wordings: frozenset[str],
) -> dict[str, list[tuple[Template, Command]]]:
    """Up to `per_intent` new sentences per intent, drawn from its templates in turn.

    New sentences are added to `seen`; sentences with a wording in `unseen_wordings` are skipped.
    """
    drawn: dict[str, list[tuple[Template, Command]]] = {}
    for intent, own in templates.items():
        rows = drawn[intent] = []
        alive = list(own)
        while alive and len(rows) < per_intent:
            for template in alive[: per_intent - len(rows)]:
                for _ in range(TRIES):
                    command = draw(template)
                    if command.text.casefold() not in seen and command.wording not in unseen_wordings:
                        seen.add(command.text.casefold())
                        rows.append((template, command))
                        break
                else:
                    alive.remove(template)
    return drawn


def as_rows(name: str, pairs: Iterable[tuple[Template, Command]], rng: random.Random) -> list[Row]:
    shuffled = list(pairs)
    rng.shuffle(shuffled)
    return [
        {
            "id": f"{name}-{number:05d}",
            "text": command.text,
            "intent": template.intent,
            "domain": command.domain,
            "template": template.text,
        }
        for number, (template, command) in enumerate(shuffled)
    ]


def plant(rows: list[Row], share: float, seed: int) -> tuple[list[Row], list[Row]]:
    """Redraw the labels of a `share` of the rows; returns the rows, and the true labels of those that are now wrong."""
    intents = sorted({row["intent"] for row in rows})
    labels = [intents.index(row["intent"]) for row in rows]
    noisy = isotropic(labels, len(intents), share, ids=[row["id"] for row in rows], seed=seed)
    given = [{**row, "intent": intents[label]} for row, label in zip(rows, noisy.labels, strict=True)]
    truth = [
        {"id": row["id"], "given": intents[label], "true": row["intent"]}
        for row, label, changed in zip(rows, *noisy, strict=True)
        if changed
    ]
    return given, truth

"""The demo of the voice-assistant stack: Home Assistant's sentence templates, from rows to a pruned stack in a few minutes."""

from __future__ import annotations

import random
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from thresher.errors import UserError
from thresher.nlu.pruning.choose import choose, removed_by
from thresher.nlu.pruning.score import score_rows
from thresher.nlu.pruning.synthetic import swapped
from thresher.nlu.rows import Utterance, as_table
from thresher.nlu.rows.brackets import parse
from thresher.nlu.rows.checked import checked
from thresher.nlu.rows.files import write_utterances
from thresher.nlu.rows.table import BadRow
from thresher.nlu.stack.build import train_stack
from thresher.nlu.stack.config import StackConfig, stack_config
from thresher.nlu.stack.evaluate import evaluate
from thresher.nlu.stack.folder import load_stack
from thresher.progress import say
from thresher.run.files import as_json, write

if TYPE_CHECKING:
    from thresher.demo.templates import Command, Template

PER_INTENT = 30
TEST_PER_INTENT = 12
SYNTHETIC = 200
MARK = "nlu-demo.json"
PRUNE = 0.4
FEWEST_TEMPLATES = 3
# A frozen encoder, so that the demo takes two minutes on one core. So few rows need many epochs; otherwise the pruned stack
# would suffer from fewer steps rather than fewer rows.
SETTINGS: dict[str, Any] = {
    "model.freeze": True,
    "model.layers": "all",
    "domain.epochs": 10,
    "domain.batch_size": 64,
    "domain.head_lr": 0.003,
    "joint.epochs": 12,
    "joint.batch_size": 32,
    "joint.head_lr": 0.005,
    "joint_least_steps": 100,
}


def home_rows(per_intent: int = PER_INTENT, seed: int = 0) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Training rows and test rows, from different English templates of `home-assistant-intents`.

    The domain is the subject of a command (light, timer, ...), the intent is Home Assistant's, the slots are those of the
    template. A fifth of the templates of each intent is held out for the test rows. Training rows have source "historical".

    Raises UserError: the packages of the `demo` extra are not installed.
    """
    try:
        from thresher.demo.commands import sample, split
        from thresher.demo.templates import draw, read_templates
    except ModuleNotFoundError as error:
        raise UserError(f'the demo needs the package {error.name}; pip install "thresher[demo]"') from error
    rng = random.Random(seed)
    templates, intents = read_templates()
    held_out, learned = split(templates, rng)
    seen: set[str] = set()
    test = sample(held_out, TEST_PER_INTENT, lambda one: draw(one, intents, rng), seen, frozenset())
    train = sample(learned, per_intent, lambda one: draw(one, intents, rng), seen, frozenset())
    kept = [name for name, pairs in train.items() if len(pairs) >= FEWEST_TEMPLATES and test[name]]
    rows = [_rows(pairs[name] for name in kept) for pairs in (train, test)]
    domains = {row.domain for row in rows[0]}
    own = [row for row in rows[1] if row.domain in domains]
    return as_table(rows[0]).with_columns(source=pl.lit("historical")), as_table(own)


def _rows(groups: Iterable[list[tuple[Template, Command]]]) -> list[Utterance]:
    rows = []
    for pairs in groups:
        for template, command in pairs:
            text, slots = parse(command.annotated)
            # Some templates put a value inside a word ("2800k"), which word tags cannot express.
            with suppress(BadRow):
                rows.append(checked(Utterance(text, command.domain, template.intent, slots)))
    return rows


def run_demo(out: Path, seed: int = 0, workers: int | None = None) -> dict[str, Any]:
    """Generate rows, train a stack, score and prune the historical rows, train a second stack on the kept rows.

    Writes OUT/train.jsonl, test.jsonl, kept.jsonl, RUN (the scored domain classifier), full and pruned (the stacks), and
    nlu-demo.json, by which it knows its folder.

    Returns {"rows", "kept", "sources": rows per source before and after, "full", "pruned": what `evaluate` returns}.
    """
    if not (out / MARK).is_file() and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out}: holds something else than this demo (no {MARK}); choose another --out")
    train, test = home_rows(seed=seed)
    rows = pl.concat([train, swapped(train, SYNTHETIC, seed)])
    write(out / MARK, as_json({"seed": seed}))
    write_utterances(rows, out / "train.jsonl")
    write_utterances(test, out / "test.jsonl")
    say(
        f"nlu demo: {rows.height:,} training rows ({SYNTHETIC} synthetic), {test.height:,} test rows from other templates"
    )
    config: StackConfig = stack_config({**SETTINGS, "seed": seed})
    full = train_stack(rows, out / "full", config, workers=workers)
    scores = score_rows(rows, out / "RUN", config, workers=workers)
    kept = choose(
        scores,
        by=("vog_dataset", "trail_entropy"),
        strategy="mixed",
        prune=PRUNE,
        sources=["historical"],
        seed=seed,
    )
    left = rows.filter(kept["kept"])
    write_utterances(left, out / "kept.jsonl")
    pruned = train_stack(left, out / "pruned", config, workers=workers)
    return {
        "rows": rows.height,
        "kept": left.height,
        "sources": removed_by(rows, kept, "source").to_dicts(),
        "full": evaluate(load_stack(full), test),
        "pruned": evaluate(load_stack(pruned), test),
    }

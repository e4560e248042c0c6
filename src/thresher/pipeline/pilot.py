"""A pilot training: how far the model itself gets in the steps that the kept rows will give it."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thresher.config import SelectConfig
from thresher.progress import say
from thresher.rows import read_rows
from thresher.run import Run
from thresher.run.files import digest
from thresher.run.integrity import read_json, write_json
from thresher.training.recipe import steps_of

# The share of rows learned up to which scores of another model do not count, and from which they count fully.
LEARNED = (0.7, 0.9)
TESTED = 1500  # rows
SHORT = 500  # steps of a first pilot, where the whole one would take more than twice as many


def with_trust(run: Run, settings: SelectConfig, same_steps: bool = False) -> SelectConfig:
    """The settings of a selection, in which the scores of a proxy count as far as the model itself will learn the rows.

    Heads on a frozen encoder learn a task in few steps, and a model that is fine-tuned for few steps does not: of the rows that
    are hard for the heads it learns less than of random ones. A pilot is trained on rows drawn from all, for half of the steps
    that the kept rows will take; F is the share of the rows that it is then right about (1,500 of them at most). Where that is
    more than 1,000 steps, 500 do if F is 0.9 after them.

        trust = (F - 0.7) / (0.9 - 0.7), cut to [0, 1]

    The rest of the kept rows is a stratified random draw (see the strategy `recommended`). Other strategies, a frozen model, and
    scores of the model's own are left as they are, and so is a `trust` that is given.

    Measured, fine-tuned at the same epochs, kept less random rows: F = 0.52: -11.6 points, 0.74: -1.0, 0.77: -0.9, 0.88: +0.6 at
    full trust.
    """
    if run.manifest.source != "proxy" or run.config.model.freeze:
        return settings
    if settings.strategy != "recommended" or "trust" in settings.options or not settings.prune:
        return settings
    assert settings.prune != "auto"
    # Imported here: importing the selection registers every strategy, which other commands need not wait for.
    from thresher.selection.recommended import trust_in
    from thresher.selection.request import target

    n, train = run.manifest.n_rows, run.config.train
    kept = max(1, target(n, settings.prune))
    steps = max(1, steps_of(train, n if same_steps else kept) // 2)
    if steps > 2 * SHORT and trust_in(learned(run, SHORT), LEARNED) == 1:
        return settings  # more steps learn no less
    found = learned(run, steps)
    trust = round(trust_in(found, LEARNED), 2)
    if trust == 1:
        return settings
    say(
        f"select: a pilot of {steps:,} steps, half of what the kept rows will give the model, learned {found:.0%} of the"
        f" rows, so {1 - trust:.0%} of the kept rows are drawn at random, class by class"
    )
    return settings.model_copy(update={"options": {**settings.options, "trust": trust}})


def learned(run: Run, steps: int) -> float:
    """The share of the rows that the model is right about after so many steps; trained once, and kept.

    It trains on rows drawn from all, as many as the steps visit.
    """
    from thresher.models.tokens import Tokens, tokenise
    from thresher.training.fit import fit
    from thresher.training.predict import predict_logits
    from thresher.training.train import new_classifier

    name = f"pilot-{digest([run.manifest.key, steps])[:12]}"
    file = run.step_folder("pilot") / f"{name}.json"
    try:
        return float(read_json(file)["learned"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    rows, config = read_rows(run.rows_file), run.config
    model, tokenizer = new_classifier(config.model, len(rows.classes), config.train.seed)
    labels, random = rows.labels(), np.random.default_rng(config.train.seed)
    tested = np.sort(random.permutation(len(rows))[:TESTED])
    visited = np.sort(random.permutation(len(rows))[: steps * config.train.batch_size])

    def tokens_of(at: NDArray[np.int64]) -> Tokens:
        texts = [rows.table[column].gather(at).to_list() for column in rows.text]
        return tokenise(texts, tokenizer, config.model.max_length)

    changes: dict[str, Any] = {"max_steps": steps, "diet": "none", "diet_options": {}, "report_to": ()}
    recipe = config.train.model_copy(update=changes)
    fit(model, tokens_of(visited), labels[visited], recipe, config.train.seed, run.progress(name))
    shutil.rmtree(run.progress(name), ignore_errors=True)
    right = predict_logits(model, tokens_of(tested)).argmax(1) == labels[tested]
    found = round(float(right.mean()), 4)
    write_json(file, {"learned": found, "steps": steps})
    return found

"""What a whole job on completions will train, and how long it will take."""

from __future__ import annotations

from thresher.config import RunConfig
from thresher.pipeline.plan import OVERHEAD, Plan, Stage
from thresher.pipeline.preset import TEXT_SHARE
from thresher.rows import Rows

# A pass forward takes a third of a step; the losses with and without the prompts are two.
FORWARD = 1 / 3


def plan_of_texts(rows: Rows, test: Rows | None, config: RunConfig) -> Plan:
    """Plan a whole job; takes some seconds, in which the model is loaded and trained for a few steps."""
    from thresher.training.timing_texts import tokens_per_second

    tokens, alone, beside, at_a_time = tokens_per_second(config, rows)
    total = int(tokens.lengths.sum())
    trained = config.train.epochs * total
    if config.train.max_steps is not None:
        trained = config.train.max_steps * config.train.batch_size * total / len(rows)
    score = (trained + 2 * FORWARD * total) / alone * OVERHEAD
    lora = f"LoRA adapters of rank {config.generate.lora}" if config.generate.lora else "all weights"
    stages = [
        Stage(
            "score",
            f"fine-tune ({lora}) on {len(rows):,} rows with {total:,} tokens, and measure their losses",
            score,
            1.25 * score,
        )
    ]
    if test is not None:
        part = min(1.0, (config.compare.proof_rows or len(rows)) / len(rows))
        stages.append(_proof(part * trained, total * len(test) / len(rows), beside * at_a_time, config))
    n_test = len(test) if test is not None else 0
    return Plan(tuple(stages), len(rows), n_test, config.compare.loss_margin, 0.0, 0)


def _proof(trained: float, tested: float, speed: float, config: RunConfig) -> Stage:
    """Trainings on all, kept and random rows; that on all rows with the first seed is done by then."""
    compare, prune = config.compare, config.select.prune
    share = TEXT_SHARE if prune == "auto" else prune
    kept = 1.0 if compare.same_steps else 1 - share

    def seconds(seeds: int, tries: int) -> float:
        trainings = (seeds - 1 + tries * 2 * seeds * kept) * trained
        return (trainings + FORWARD * tested * seeds * (1 + 2 * tries)) / speed * OVERHEAD

    most = max(compare.seeds, compare.most_seeds)
    seeds = f"{compare.seeds}" if most == compare.seeds else f"{compare.seeds} to {most}"
    what = f"{seeds} trainings on all rows, on kept and on random ones, {trained / speed * OVERHEAD:,.0f} s for all rows"
    # Where the first share does not hold, a smaller one is proved.
    return Stage("proof", what, seconds(compare.seeds, 1), 1.25 * seconds(most, 2 if prune == "auto" else 1))

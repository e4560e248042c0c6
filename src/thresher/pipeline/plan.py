"""What a whole job will train, and how long it will take: said before the work, from a moment's measurement."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from thresher.config import ModelConfig, RunConfig, TrainConfig
from thresher.errors import UserError
from thresher.pipeline.hold_out import half_width, rows_for
from thresher.pipeline.preset import scored_by_heads
from thresher.pipeline.proxy import has_proxy, proxy_config
from thresher.progress import duration
from thresher.rows import Rows
from thresher.run import Training
from thresher.settings import changed
from thresher.training.folds import folds_of
from thresher.training.recipe import recipe, settled_encoder, steps_of, with_defaults

if TYPE_CHECKING:
    from thresher.training.timing import Speeds

# Heads of a search: per fold those that score, and those on all rows and on the kept ones of each share that is looked at.
FOLDS = 5
SHARES = (3, 5)
# Of all rows, the share that a proof may keep where it is searched for.
KEPT = (0.3, 0.9)
# Beside the steps themselves: starting processes, evaluating, writing.
OVERHEAD = 1.15
UNITS = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True)
class Stage:
    """A part of the work: its name, what is done, and between how many and how many seconds it takes."""

    name: str
    what: str
    low: float
    high: float


@dataclass(frozen=True)
class Plan:
    """The stages of a whole job, and what its proof can show.

    `half_width`: points to each side of the 95% interval that the test rows allow at best; 0 without a proof, or of completions.
    `rows_needed`: test rows for which it is the margin.
    """

    stages: tuple[Stage, ...]
    n_train: int
    n_test: int
    margin: float
    half_width: float
    rows_needed: int

    def to_dict(self) -> dict[str, object]:
        """Plain values, for JSON."""
        own = {
            name: getattr(self, name) for name in ("n_train", "n_test", "margin", "half_width", "rows_needed")
        }
        return {**own, "stages": [vars(one) for one in self.stages], "seconds": list(self.seconds)}

    @property
    def seconds(self) -> tuple[float, float]:
        """Between how many and how many seconds the whole job takes."""
        return sum(one.low for one in self.stages), sum(one.high for one in self.stages)

    def lines(self) -> list[str]:
        """The plan in words."""
        width = max(len(one.name) for one in self.stages)
        lines = [f"{one.name:<{width}}  {duration(one.low, one.high):>15}  {one.what}" for one in self.stages]
        lines.append(f"{'all':<{width}}  {duration(*self.seconds):>15}")
        if self.half_width:
            short = self.rows_needed > self.n_test
            more = (
                f", so a loss of {self.margin:g} cannot be ruled out unless the models hardly differ"
                if short
                else ""
            )
            lines.append(
                f"the 95% interval on {self.n_test:,} test rows reaches about {self.half_width:.1f} points to each side{more};"
                f" {self.margin:g} points take about {self.rows_needed:,} test rows"
            )
        return lines


def plan_of(rows: Rows, test: Rows | None, config: RunConfig) -> Plan:
    """Plan a whole job; takes a few seconds, in which some rows are encoded and some steps are trained."""
    if rows.task == "text":
        from thresher.pipeline.plan_texts import plan_of_texts

        return plan_of_texts(rows, test, config)
    from thresher.training.timing import speeds

    n = len(rows)
    train = with_defaults(config.model, config.train, n)
    scorer = proxy_config(config, n) if has_proxy(config) else config
    scorer_train = with_defaults(scorer.model, scorer.train, n)
    heads = scored_by_heads(config)
    encoder = settled_encoder(scorer.model) if has_proxy(config) else scorer.model
    fast = speeds(encoder if heads else None, scorer_train, config.model, train, rows)
    stages = [_scoring(scorer.model, scorer_train, n, fast)]
    auto = config.select.prune == "auto"
    if auto and heads:
        stages.append(_search(scorer.model, scorer_train, n, config, fast))
    if test is not None:
        stages.append(_proof(train, n, config, fast))
    return Plan(
        tuple(stages),
        n,
        len(test) if test is not None else 0,
        config.how_much.margin,
        half_width(len(test)) if test is not None else 0.0,
        rows_for(config.how_much.margin),
    )


def left_after(plan: Plan, stage: str, seconds: float) -> str:
    """How long the stages after one will take, in words; all estimates are as far off as that of the finished stage.

    >>> plan = Plan((Stage("score", "", 50, 60), Stage("proof", "", 100, 200)), 10, 10, 0.5, 1.0, 4610)
    >>> left_after(plan, "score", 110)
    'took 110 s; 3 to 7 min left'
    """
    names = [one.name for one in plan.stages]
    done, rest = plan.stages[names.index(stage)], plan.stages[names.index(stage) + 1 :]
    factor = seconds / ((done.low + done.high) / 2)
    low, high = (factor * sum(getattr(one, end) for one in rest) for end in ("low", "high"))
    return f"took {seconds:,.0f} s; {duration(low, high)} left"


def _scoring(model: ModelConfig, train: TrainConfig, n: int, fast: Speeds) -> Stage:
    """Train and measure what scores the rows."""
    folds = folds_of(model, train)
    trainings = [Training("run", 0), Training("null", 0), *(Training("fold", part) for part in range(folds))]
    steps = train.runs * sum(steps_of(recipe(train, one), n) for one in trainings)
    if model.freeze:
        seconds = (n * fast.row + steps * fast.head_step) / fast.at_a_time * OVERHEAD
        count = train.runs * (1 + folds)
        return _stage("score", f"encode {n:,} rows and train {count:,} heads on the frozen encoder", seconds)
    batches = math.ceil(n / train.batch_size)
    # A pass forward takes a third of a step; measuring goes forward and backward at each checkpoint.
    passes = train.runs * batches * (train.forgetting_evaluations / 3 + train.checkpoints)
    seconds = (steps + passes) * fast.step / fast.at_a_time * OVERHEAD
    return _stage("score", f"train {len(trainings) * train.runs} models, and measure {n:,} rows", seconds)


def _search(model: ModelConfig, train: TrainConfig, n: int, config: RunConfig, fast: Speeds) -> Stage:
    """Heads on parts of the rows, at several shares."""
    part = steps_of(train, math.ceil(n * (1 - 1 / FOLDS)))
    scored = train.runs * (1 + folds_of(model, train))
    seeds = config.how_much.first_seeds
    low, high = (FOLDS * (scored + seeds * (1 + shares)) for shares in SHARES)
    each = part * fast.head_step / fast.at_a_time * OVERHEAD
    return Stage(
        "search",
        f"{low:,} to {high:,} heads on {FOLDS} parts of the rows find a share",
        low * each,
        high * each,
    )


def _proof(train: TrainConfig, n: int, config: RunConfig, fast: Speeds) -> Stage:
    """Three training arms, of so many seeds."""
    compare = config.compare
    n = min(n, compare.proof_rows or n)
    one, least, most = proof_steps(train, n, config)
    step = (fast.head_step if config.model.freeze else fast.step) / fast.at_a_time * OVERHEAD
    low, high = compare.seeds * least * step, max(compare.seeds, compare.most_seeds) * most * step
    seeds = (
        f"{compare.seeds}"
        if compare.most_seeds <= compare.seeds
        else f"{compare.seeds} to {compare.most_seeds}"
    )
    what = f"{seeds} trainings on all rows, on kept and on random ones, {one * step:,.0f} s for all rows"
    return Stage("proof", what, low, high)


def proof_steps(train: TrainConfig, n: int, config: RunConfig) -> tuple[int, int, int]:
    """Steps of a training on all rows; and of the three arms of a seed, at least and at most."""
    full = steps_of(train, n)
    shares = KEPT if config.select.prune == "auto" else (1 - config.select.prune,) * 2
    if config.compare.same_steps:
        return full, 3 * full, 3 * full
    least, most = (full + 2 * steps_of(train, max(1, round(share * n))) for share in shares)
    return full, least, most


def _stage(name: str, what: str, seconds: float) -> Stage:
    """A stage whose time is known within a quarter."""
    return Stage(name, what, seconds, 1.25 * seconds)


def seconds_of(budget: str) -> float:
    """A time such as 90s, 20m or 1.5h in seconds.

    >>> seconds_of("20m"), seconds_of("1.5h")
    (1200.0, 5400.0)
    """
    found = re.fullmatch(r"([0-9.]+)([smh])", budget)
    assert found is not None, budget
    return float(found[1]) * UNITS[found[2]]


def within_budget(config: RunConfig, plan: Plan) -> RunConfig:
    """The settings with as many seeds of the proof as the budget allows.

    Raises UserError: not even 2 seeds fit; the line says what would do.
    """
    budget = config.compare.budget
    if budget is None:
        return config
    proof = next((one for one in plan.stages if one.name == "proof"), None)
    before = sum(one.high for one in plan.stages if one is not proof)
    if proof is None:
        return config
    most = max(config.compare.seeds, config.compare.most_seeds)
    each = proof.high / most
    seeds = math.floor((seconds_of(budget) - before) / each)
    if seeds < 2:
        enough = math.ceil((before + 2 * each) / 60)
        raise UserError(
            f"--budget {budget} is too small for a proof: scoring the rows and finding a share take {duration(before)}, and 2"
            f" seeds {duration(2 * each)}; give --budget {enough}m, or --hold-out 0 for no proof"
        )
    seeds = min(seeds, most)
    return changed(config, "compare", {"seeds": min(seeds, config.compare.seeds), "most_seeds": seeds})

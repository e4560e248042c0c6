"""Every strategy draws with the probabilities its definition gives."""

from __future__ import annotations

import dataclasses
import itertools
import math
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from plain_selection import keys_of, linear_weights, mixed_keys, recommended_out

import thresher
from thresher.errors import UserError
from thresher.selection import (
    Candidates,
    Keys,
    check_options,
    find,
    hash_ids,
    parse_options,
    strategies,
)
from thresher.selection.registry import strategy

SCORES = np.array([-1.3, 0.2, 0.2, 1.0, 2.4, 0.9])
IDS = pl.Series([f"row {i}" for i in range(len(SCORES))])
SEEDS = 6000


def rows(scores: np.ndarray, tie: np.ndarray) -> Candidates:
    return dataclasses.replace(Candidates.of(scores), tie=tie)


def keys_by(name: str, rows: Candidates, **options: float) -> np.ndarray:
    made = find(name).function(rows, **options)
    return made.key if isinstance(made, Keys) else made


def keys(name: str, scores: np.ndarray, seed: int, **options: float) -> np.ndarray:
    return keys_by(name, rows(scores, hash_ids(IDS, seed)), **options)


def inclusion(weights: np.ndarray, k: int) -> np.ndarray:
    """Probability of each row to be among k draws without replacement, each in proportion to the weights left."""
    included = np.zeros(len(weights))
    for draw in itertools.permutations(range(len(weights)), k):
        probability, rest = 1.0, weights.sum()
        for row in draw:
            probability *= weights[row] / rest
            rest -= weights[row]
        included[list(draw)] += probability
    return included


def observed(name: str, k: int, **options: float) -> np.ndarray:
    """Share of the seeds under which each row is among the k largest keys."""
    counts = np.zeros(len(SCORES))
    for seed in range(SEEDS):
        counts[np.argsort(keys(name, SCORES, seed, **options))[-k:]] += 1
    return counts / SEEDS


def assert_drawn(found: np.ndarray, expected: np.ndarray) -> None:
    sigma = np.sqrt(expected * (1 - expected) / SEEDS)
    assert (np.abs(found - expected) < 4.5 * sigma).all(), (found, expected)


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("temperature", [1.0, 0.5, 20.0])
def test_softmax_draws_without_replacement_by_softmax_weights(k: int, temperature: float) -> None:
    expected = inclusion(np.exp(SCORES / temperature), k)
    assert_drawn(observed("softmax", k, temperature=temperature), expected)


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("eps", [0.01, 0.3, 1.0])
def test_linear_draws_without_replacement_by_linear_weights(k: int, eps: float) -> None:
    weights = eps + (1 - eps) * (SCORES - SCORES.min()) / (SCORES.max() - SCORES.min())
    assert_drawn(observed("linear", k, eps=eps), inclusion(weights, k))


@pytest.mark.parametrize("k", [1, 3])
def test_mixed_draws_by_the_mean_of_the_two_columns_probabilities(k: int) -> None:
    other = np.array([5.0, 0.0, 1.0, 0.0, 0.0, 0.0])
    weights = [np.array(linear_weights(column.tolist(), {"eps": 0.1})) for column in (SCORES, other)]
    counts = np.zeros(len(SCORES))
    for seed in range(SEEDS):
        key = find("mixed").function(rows(np.stack([SCORES, other]), hash_ids(IDS, seed)), eps=0.1)
        counts[np.argsort(key)[-k:]] += 1
    assert_drawn(counts / SEEDS, inclusion(sum(w / w.sum() for w in weights) / 2, k))


@pytest.mark.parametrize("name", ["random", "stratified"])
def test_random_draws_every_row_equally(name: str) -> None:
    assert_drawn(observed(name, 2), np.full(len(SCORES), 2 / len(SCORES)))


def test_pairs_are_drawn_together_as_often_as_in_sequential_draws() -> None:
    # Inclusion alone would not show rows that avoid or follow each other.
    weights = np.exp(SCORES)
    expected = np.zeros((len(SCORES), len(SCORES)))
    for a, b in itertools.permutations(range(len(SCORES)), 2):
        p = weights[a] / weights.sum() * weights[b] / (weights.sum() - weights[a])
        expected[a, b] += p
        expected[b, a] += p
    found = np.zeros_like(expected)
    for seed in range(SEEDS):
        a, b = np.argsort(keys("softmax", SCORES, seed))[-2:]
        found[a, b] += 1 / SEEDS
        found[b, a] += 1 / SEEDS
    sigma = np.sqrt(expected * (1 - expected) / SEEDS)
    assert (np.abs(found - expected) <= 4.5 * sigma).all()


@pytest.mark.parametrize("name", ["softmax", "linear"])
def test_constant_scores_draw_every_row_equally(name: str) -> None:
    same = np.full(len(SCORES), 3.25)
    for seed in range(50):
        assert np.argsort(keys(name, same, seed)).tolist() == np.argsort(keys("random", same, seed)).tolist()


@pytest.mark.parametrize("name", strategies())
def test_keys_equal_the_plain_ones(name: str) -> None:
    table = [
        {"id": row_id, "s": score, "t": 10 - score}
        for row_id, score in zip(IDS, SCORES.tolist(), strict=True)
    ]
    scores, options = np.atleast_2d(SCORES), {}
    if name == "mixed":
        expected = mixed_keys(table, ("s",), [1], 5, {})
    elif name == "recommended":
        # The easier, the better learned: the three rows after the hardest reach a mean of 9.3.
        scores, options = np.stack([SCORES, 10 - SCORES]), {"learned": 9.3, "sample": 0.0}
        out = recommended_out(table, ("s", "t"), 1, 0.5, 5, options)
        assert len(out) == 1
        expected = [-math.inf if row["id"] in out else row["s"] for row in table]
    else:
        expected = keys_of(table, "s", name, 1, 5, {})
    np.testing.assert_allclose(keys(name, scores, 5, **options), expected, rtol=1e-13)


def columns(name: str, score: np.ndarray) -> np.ndarray:
    """As many columns as the strategy reads, (M, N)."""
    return np.stack([score, score**2]) if find(name).several else score[None]


@pytest.mark.parametrize("name", strategies())
def test_the_order_of_the_rows_changes_no_bit_of_a_key(name: str) -> None:
    # Vectorised logarithms must not treat the ends of an array differently, and sums must not be rounded by order.
    generator = np.random.default_rng(0)
    score, tie = generator.normal(size=1000).round(2), generator.integers(0, 2**64, 1000, dtype=np.uint64)
    protected, group = generator.random(1000) < 0.1, generator.integers(0, 3, 1000).astype(np.int32)
    given = dataclasses.replace(rows(columns(name, score), tie), group=group, n_groups=3, protected=protected)
    whole = find(name).function(given)
    for _ in range(3):
        order = generator.permutation(1000)
        mixed = dataclasses.replace(
            given,
            scores=given.scores[:, order],
            tie=tie[order],
            group=group[order],
            protected=protected[order],
        )
        again = find(name).function(mixed)
        parts = zip(whole, again, strict=True) if isinstance(whole, Keys) else [(whole, again)]
        for before, after in parts:
            if isinstance(before, np.ndarray):
                assert before[order].tobytes() == after.tobytes()


@pytest.mark.parametrize("name", strategies())
@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e150])
def test_keys_are_never_nan_or_infinite_upwards(name: str, scale: float) -> None:
    extreme = np.array([0, 1, 2**63, 2**64 - 1], dtype=np.uint64)
    key = keys_by(name, rows(columns(name, np.array([-scale, 0.0, scale, scale])), extreme))
    assert not np.isnan(key).any() and not np.isposinf(key).any()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("softmax", {"temperature": 0.0}, "'temperature' is 0; it must be above 0"),
        ("softmax", {"temperature": -1.0}, "'temperature' is -1; it must be above 0"),
        ("softmax", {"temperature": 1e-320}, "it must be finite and at least 1e-200"),
        ("softmax", {"temperature": float("inf")}, "it must be finite and at least 1e-200"),
        ("softmax", {"temperature": float("nan")}, "'temperature' is nan; it must be above 0"),
        ("linear", {"eps": 0.0}, "'eps' is 0; it must be above 0 and at most 1"),
        ("linear", {"eps": 1.5}, "'eps' is 1.5; it must be above 0 and at most 1"),
        ("mixed", {"eps": 0.0}, "'eps' is 0; it must be above 0 and at most 1"),
        ("window", {"beta": 1.0}, "'beta' is 1; it must be at least 0 and below 1"),
        ("coverage", {"beta": -0.1}, "'beta' is -0.1; it must be at least 0 and below 1"),
        ("coverage", {"strata": 0.0}, "'strata' is 0; it must be a whole number from 1 to 10,000"),
        ("recommended", {"least": -0.1}, "'least' is -0.1; it must be from 0 to 1"),
        ("recommended", {"sample": 1.1}, "'sample' is 1.1; it must be from 0 to 1"),
    ],
)
def test_options_outside_their_range_are_refused(name: str, options: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        keys(name, columns(name, SCORES), 0, **options)


def test_options_are_numbers_that_the_strategy_knows() -> None:
    assert check_options("softmax") == {"temperature": 1.0}
    assert check_options("linear", {"eps": "0.2"}) == {"eps": 0.2}
    with pytest.raises(
        UserError, match=r"^unknown strategy 'top'; known strategies: .*cutoff, .*linear, .*random"
    ):
        check_options("top")
    with pytest.raises(UserError, match=r"^strategy 'softmax' has no option 'eps'; it has temperature$"):
        check_options("softmax", {"eps": 1})
    with pytest.raises(UserError, match=r"^strategy 'random' has no option 'eps'; it has none$"):
        check_options("random", {"eps": 1})
    with pytest.raises(UserError, match=r"; did you mean 'coverage'\?$"):
        find("coverge")
    with pytest.raises(UserError, match=r"; it has beta, strata; did you mean 'strata'\?$"):
        check_options("coverage", {"stata": 5})
    for value in ("warm", "nan", "inf", None, [1]):
        with pytest.raises(UserError, match=r"option 'temperature' is .*; it takes a number"):
            check_options("softmax", {"temperature": value})


def test_options_from_the_command_line() -> None:
    assert parse_options(["temperature=0.5", " eps = 0.1"]) == {"temperature": "0.5", "eps": "0.1"}
    with pytest.raises(UserError, match="write OPTION=VALUE"):
        parse_options(["temperature"])


def test_mistakes_in_a_strategy_file_are_found_when_it_is_imported() -> None:
    def no_default(rows, *, power):  # type: ignore[no-untyped-def]
        return rows.score

    def no_type(rows, *, power=1.0):  # type: ignore[no-untyped-def]
        return rows.score

    for function in (no_default, no_type):
        with pytest.raises(ValueError, match="option 'power' needs a type and a default"):
            strategy("powered", source="none")(function)
    with pytest.raises(TypeError, match="drop"):
        strategy("powered", source="none", drop="beta")(lambda rows: rows.score)
    with pytest.raises(ValueError, match="'cutoff' is defined twice"):
        strategy("cutoff", source="none")(lambda rows: rows.score)
    assert "powered" not in strategies()


def test_a_new_strategy_is_one_new_file_and_nothing_else(tmp_path: Path) -> None:
    package = Path(thresher.__file__).parent
    shutil.copytree(package, tmp_path / "thresher", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "thresher/selection/middle.py").write_text(
        "import numpy as np\n"
        "from thresher.selection.registry import strategy\n\n\n"
        '@strategy("middle", source="a test")\n'
        "def middle(rows, *, power: float = 1.0):\n"
        "    return -np.abs(rows.score - (rows.score.min() + rows.score.max()) / 2) ** power\n"
    )
    program = (
        "import polars as pl; from thresher.selection import select, strategies\n"
        "print(strategies()['middle'].defaults)\n"
        "table = pl.DataFrame({'id': ['a', 'b', 'c'], 's': [0.0, 0.4, 1.0]})\n"
        "print(select(table, by='s', prune=0.6, strategy='middle').filter('kept')['id'].to_list())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines() == ["{'power': 1.0}", "['b']"], done.stderr

"""Simulated A/B logs: simulated users send test utterances to two stacks. They show the method and are not evidence about users.

`Traffic` has all assumptions: how many requests users send, which utterances are frequent, when users rephrase or give up.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from thresher.errors import UserError
from thresher.nlu.metrics import counts, irer

Numbers = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]
SIMULATION = "This is a simulation: test utterances with long-tailed frequencies, and a model of users. No real user took part."
START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Traffic:
    """The user model.

    `users` in both arms together; each sends 1 + a log-normal number of requests (`median_requests`, `spread`) within `days`. The
    probability of an utterance is proportional to r^-zipf, with ranks r drawn at random. A user is dissatisfied with a right
    answer with probability `fussy`, and satisfied with a wrong one with probability `overlook`, so behaviour is a noisy sign of
    errors. A dissatisfied user rephrases with probability `rephrase`, at most `tries` times, by another test utterance of the
    same intent, and otherwise gives up.
    """

    users: int = 4000
    median_requests: float = 5.0
    spread: float = 1.0
    zipf: float = 1.0
    rephrase: float = 0.6
    tries: int = 2
    fussy: float = 0.1
    overlook: float = 0.3
    days: int = 11
    seed: int = 0


@dataclass(frozen=True)
class Judged:
    """The answers of a stack to the n test utterances: right or not, and domain confidence, NaN without an answer; (n,) each."""

    right: npt.NDArray[np.bool_]
    domain: Numbers


def judged(rows: pl.DataFrame, answers: pl.DataFrame) -> Judged:
    """Whether the answers are right in domain, intent and all slots, and the domain confidence."""
    aligned = rows.select("id").join(answers, on="id", how="left", maintain_order="left")
    wrong = irer(counts(rows, answers)).counted
    sure = aligned.select(pl.when(pl.col("domain").is_not_null()).then("domain_confidence")).to_series()
    return Judged(wrong == 0, sure.cast(pl.Float64).fill_null(np.nan).to_numpy())


def replay(
    rows: pl.DataFrame, a: Judged, b: Judged, traffic: Traffic | None = None
) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, Any]]:
    """The simulated logs of two arms, and facts about them.

    The defect model is a logistic regression from the number of words, rephrasing and giving up to "the first answer was
    wrong"; it is trained on separate simulated users of both arms. It does not use the stacks' confidences, which are
    not comparable between stacks.

    Parameters
    ----------
    rows
        test rows: `text, domain, intent`.
    a, b
        the answers of either stack (`judged`); the same stack twice gives an A/A test.

    Returns
    -------
    logs of A and B (`read_log` columns, `utterance`, `rephrased`), and {"simulation": a sentence for readers, "defect_auc": AUC
    of the defect model on these logs, "wrong": {"a", "b"}, the share of requests with a wrong first answer, which PDR estimates
    and only a simulation knows, "traffic": the assumptions}.

    Raises
    ------
    UserError
        all answers are right or all are wrong, so that no defect model can be trained.
    """
    traffic = traffic or Traffic()
    learn = _requests(rows, a, b, traffic, np.random.default_rng((traffic.seed, 1)))
    model = _defect_model(learn)
    seen = _requests(rows, a, b, traffic, np.random.default_rng((traffic.seed, 0)))
    features, wrong = seen["features"], seen["wrong"]
    defect = model.predict_proba(features)[:, 1]
    from sklearn.metrics import roc_auc_score

    texts = rows["text"].to_numpy()
    log = pl.DataFrame(
        {
            "user": [f"user-{number:06d}" for number in seen["user"]],
            "time": [START + timedelta(seconds=float(at)) for at in seen["time"]],
            "utterance": texts[seen["asked"]],
            "domain_confidence": pl.Series(seen["confidence"]).fill_nan(None),
            "recovered": seen["recovered"],
            "rephrased": seen["rephrased"],
            "defect": defect,
        },
        schema_overrides={"time": pl.Datetime("us", "UTC")},
    )
    in_b = seen["arm_b"]
    about = {
        "simulation": SIMULATION,
        "defect_auc": float(roc_auc_score(wrong, defect)) if 0 < wrong.sum() < len(wrong) else None,
        "wrong": {"a": float(wrong[~in_b].mean()), "b": float(wrong[in_b].mean())},
        "traffic": traffic.__dict__,
    }
    arm_b = pl.Series(in_b)
    return log.filter(~arm_b).sort("time"), log.filter(arm_b).sort("time"), about


def _defect_model(learn: dict[str, Any]) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if not 0 < learn["wrong"].sum() < len(learn["wrong"]):
        raise UserError(
            "all answers are right or all are wrong, so no defect model can be trained; give more test rows"
        )
    model = make_pipeline(StandardScaler(), LogisticRegression())
    return model.fit(learn["features"], learn["wrong"])


def _requests(
    rows: pl.DataFrame, a: Judged, b: Judged, traffic: Traffic, rng: np.random.Generator
) -> dict[str, Any]:
    """All requests of all users: who, when, what, in which arm, and what came of it."""
    pool = _Pool(rows, traffic.zipf, np.random.default_rng((traffic.seed, 2)))
    number = 1 + rng.poisson(rng.lognormal(np.log(traffic.median_requests), traffic.spread, traffic.users))
    user = np.repeat(np.arange(traffic.users), number)
    in_b = rng.random(traffic.users) < 0.5
    arm_b = in_b[user]
    asked = pool.draw(rng.random(len(user)))
    now, rephrased = asked.copy(), np.zeros(len(user), dtype=np.int64)
    right = np.where(arm_b, b.right[asked], a.right[asked])
    wrong = ~right

    def contented(right: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        return rng.random(len(user)) < np.where(right, 1 - traffic.fussy, traffic.overlook)

    content = contented(right)
    trying = np.ones(len(user), dtype=np.bool_)
    for _ in range(traffic.tries):
        trying &= ~content & (rng.random(len(user)) < traffic.rephrase)
        other = pool.same_intent(asked, rng.random(len(user)))
        now = np.where(trying, other, now)
        rephrased += trying
        right = np.where(trying, np.where(arm_b, b.right[now], a.right[now]), right)
        content = np.where(trying, contented(right), content)

    words = rows["text"].str.count_matches(r"\S+").to_numpy().astype(np.float64)
    gave_up = ~content
    # No confidences: stacks differ in their confidence on wrong answers, so the better stack could look worse.
    features = np.stack([words[asked], rephrased > 0, rephrased > 1, gave_up, gave_up & (rephrased > 0)], 1)
    return {
        "user": user,
        "time": rng.random(len(user)) * traffic.days * 86_400,
        "asked": asked,
        "arm_b": arm_b,
        "confidence": np.where(arm_b, b.domain[now], a.domain[now]),
        "recovered": content,
        "rephrased": rephrased,
        "wrong": wrong,
        "features": features.astype(np.float64),
    }


class _Pool:
    """Test utterances with their probabilities, sorted by intent, so that an intent is a contiguous range to draw from."""

    def __init__(self, rows: pl.DataFrame, zipf: float, rng: np.random.Generator) -> None:
        intents = rows.select(pl.struct("domain", "intent").rank("dense")).to_series().to_numpy()
        self.order = np.argsort(intents, kind="stable")
        chance = (1.0 + rng.permutation(len(intents))) ** -zipf
        self.upto = np.cumsum(chance[self.order])
        starts = np.searchsorted(intents[self.order], intents, side="left")
        ends = np.searchsorted(intents[self.order], intents, side="right")
        before = np.concatenate([[0.0], self.upto])
        self.low, self.high = before[starts], before[ends]

    def draw(self, u: Numbers) -> Places:
        """The utterances drawn by uniform numbers `u`."""
        at = np.searchsorted(self.upto, u * self.upto[-1], side="right")
        found: Places = self.order[np.minimum(at, len(self.order) - 1)]
        return found

    def same_intent(self, asked: Places, u: Numbers) -> Places:
        """For every utterance another draw from its intent, which may be the same utterance."""
        at = np.searchsorted(self.upto, self.low[asked] + u * (self.high - self.low)[asked], side="right")
        found: Places = self.order[np.minimum(at, len(self.order) - 1)]
        return found

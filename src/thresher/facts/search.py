"""What a search for the largest share finds."""

from __future__ import annotations

from typing import TypedDict

from thresher.facts.figures import Bounds


class ShareLook(Bounds):
    """What trainings at one share show about a margin."""

    fraction: float
    n_kept: int
    n_full: int
    removed: float
    seeds: int
    confidence: float
    shown: str


class Bisection(TypedDict):
    """The largest share that is shown to be free, the largest that may be, and every look."""

    fraction: float
    removed: float
    candidate: float
    candidate_removed: float
    looks: list[ShareLook]
    trainings: int


class ShareSearch(Bisection):
    """A search with the share at which the loss passes the margin; None for beyond the largest that was tried."""

    estimate: float | None
    low: float | None
    high: float | None
    n_validation: int


class ConfirmedShare(ShareLook):
    """What test rows that took no part in a search say of its share."""

    n_test: int

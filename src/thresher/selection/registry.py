"""The table of strategies: functions that give every row a key. The rows with the largest keys are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from thresher.registry import Entry, Registry, assigned
from thresher.selection.candidates import Keys, Numbers

StrategyFunction = Callable[..., Numbers | Keys]


@dataclass(frozen=True, kw_only=True)
class Strategy(Entry[StrategyFunction]):
    """A strategy and the facts that `@strategy` declares.

    The function is `(rows, *, options...) -> keys`, from `Candidates` to an array (N,), or to `Keys` where the keys alone do
    not decide. A key may depend on all rows, but not on their order.

    `scores`: how many score columns it reads; None for one or more. `needs_stratify`: whether a column to stratify by must
    be named. `by`: the score columns that it is made for, which it takes whatever else is named. `source`: a sentence for
    people.
    """

    source: str
    scores: int | None = 1
    needs_stratify: bool = False
    by: tuple[str, ...] = ()

    @property
    def reads_score(self) -> bool:
        """Whether the keys depend on a score."""
        return self.scores != 0

    @property
    def several(self) -> bool:
        """Whether it takes more than one score column."""
        return self.scores not in (0, 1)

    def score(self, named: str) -> str:
        """The score columns to select by if the user names `named`; several are separated by commas."""
        return ",".join(self.by) or named


STRATEGIES = Registry("strategy", "strategies", Strategy)
strategy = STRATEGIES.register
strategies = STRATEGIES.all
find = STRATEGIES.find
check_options = STRATEGIES.check_options


def parse_options(texts: Iterable[str]) -> dict[str, str]:
    """Parse `OPTION=VALUE` texts of the command line into a dictionary for `select`.

    Raises UserError: a text of another form.

    >>> parse_options(["temperature=0.5"])
    {'temperature': '0.5'}
    """
    return assigned(texts, "strategy", "OPTION=VALUE, for example temperature=0.5")

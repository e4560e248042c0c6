"""Text helpers for messages: values from data are made safe for a terminal, shortened and kept on one line."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thresher.facts.figures import Bounds

# With fewer trainings than this, a report warns that its intervals may be too narrow.
FEW_SEEDS = 5
# Control characters, bidirectional overrides, line and paragraph separators, lone surrogates, the byte order mark.
# The zero-width joiners stay: Persian and emoji need them.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]+")


def shown(value: object, limit: int = 60) -> str:
    r"""A value for a message: control characters become spaces, long text ends in an ellipsis.

    >>> shown("red\x1b[31m\nalarm")
    'red [31m alarm'
    >>> shown("abcdefgh", limit=5)
    'abcd…'
    """
    text = _UNSAFE.sub(" ", str(value)[: 4 * limit]).strip()
    return text if len(text) <= limit else text[: limit - 1] + "…"


def listed(names: Iterable[object], limit: int = 8) -> str:
    """The first `limit` names, separated by commas; a name with white space around it is quoted.

    >>> listed(["a", "b", "c"], limit=2)
    'a, b and 1 more'
    >>> listed(["a", "a "])
    "a, 'a '"
    """
    names = list(names)
    head = ", ".join(_name(str(name)) for name in names[:limit])
    return head if len(names) <= limit else f"{head} and {len(names) - limit:,} more"


def _name(name: str) -> str:
    before, after = (" " * (name != cut) for cut in (name.lstrip(), name.rstrip()))
    return f"'{before}{shown(name)}{after}'" if before or after else shown(name) or "''"


def printable(text: str) -> str:
    r"""A text on one line, without characters that control a terminal.

    >>> printable("red\x1b[31m alarm\r\nnext")
    'red[31m alarm next'
    """
    return _UNSAFE.sub("", " ".join(text.splitlines()))


def did_you_mean(name: str, known: Iterable[object]) -> str:
    """A suggestion to append to a message: the known name closest to a mistyped one, or the empty string.

    >>> did_you_mean("lable", ["text", "label"])
    "; did you mean 'label'?"
    """
    names = {str(one).casefold(): str(one) for one in known}
    near = difflib.get_close_matches(name.casefold(), names, n=1, cutoff=0.6)
    return f"; did you mean '{shown(names[near[0]])}'?" if near else ""


def interval_text(found: Bounds, unit: str = "") -> str:
    """A difference of shares in percentage points, with its confidence interval, each with its sign.

    >>> interval_text({"mean": -0.004, "low": -0.01, "high": 0.002})
    '-0.40 [-1.00, +0.20]'
    """
    return f"{100 * found['mean']:+.2f}{unit} [{100 * found['low']:+.2f}, {100 * found['high']:+.2f}]"


def nats(found: Bounds, unit: str = "") -> str:
    """A difference of losses with its interval.

    >>> nats({"mean": 0.0123, "low": -0.002, "high": 0.02}, " nats")
    '+0.012 nats [-0.002, +0.020]'
    """
    return f"{found['mean']:+.3f}{unit} [{found['low']:+.3f}, {found['high']:+.3f}]"


def rise(gain: Bounds) -> Bounds:
    """A gain with its interval as the rise of a loss: the same with the sign turned.

    >>> rise({"mean": -0.5, "low": -1.0, "high": 0.25})
    {'mean': 0.5, 'low': -0.25, 'high': 1.0}
    """
    return {"mean": -gain["mean"], "low": -gain["high"], "high": -gain["low"]}

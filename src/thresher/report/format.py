"""Numbers and texts as the page prints them. Every text from the data passes through `visible`."""

from __future__ import annotations

import json
import math
from typing import TypeGuard

from thresher.facts.figures import Bounds

ABSENT = "–"
# Control characters become their Unicode picture or the replacement character. Line breaks and tabs stay.
_PICTURES = {code: chr(0x2400 + code) for code in range(0x20) if code not in (0x09, 0x0A)}
_UNSEEN = _PICTURES | {0x7F: "␡"} | dict.fromkeys([*range(0x80, 0xA0), *range(0xD800, 0xE000)], "\ufffd")


def visible(text: str) -> str:
    r"""Text with its control characters made visible, so that none of them takes effect on the page.

    >>> visible("alarm\x1b[31m\r\noff\x00")
    'alarm␛[31m\noff␀'
    """
    return text.replace("\r\n", "\n").replace("\r", "\n").translate(_UNSEEN)


def cut(text: str, most: int) -> str:
    """Text of at most so many characters.

    >>> cut("alarm off", 6), cut("alarm", 6)
    ('alarm…', 'alarm')
    """
    return text if len(text) <= most else text[: most - 1] + "…"


def isolated(name: str, most: int = 60) -> str:
    r"""A name for use inside a sentence, truncated; a right-to-left name does not change the direction of the sentence.

    >>> isolated("alarm off", 6)
    '\u2068alarm…\u2069'
    """
    return f"\u2068{cut(name, most)}\u2069"


def script_json(value: object) -> str:
    r"""JSON that is safe inside a script element, whatever strings it contains.

    >>> script_json(["</script>", "<!--", "\u2028", "&"])
    '["\\u003c/script\\u003e","\\u003c!--","\\u2028","\\u0026"]'
    """
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def known(value: object) -> TypeGuard[float]:
    """Whether a value is a finite number.

    >>> known(0), known(None), known(float("nan"))
    (True, False, False)
    """
    return isinstance(value, int | float) and math.isfinite(value)


def percent(share: float | None, digits: int = 1) -> str:
    """A share, 0 to 1, in percent.

    >>> percent(0.45), percent(0.85523, 2), percent(None)
    ('45.0%', '85.52%', '–')
    """
    return f"{100 * share:.{digits}f}%" if share is not None and known(share) else ABSENT


def share(value: float) -> str:
    """A share that the user chose, in percent without trailing zeros.

    >>> share(0.45), share(0.4505), share(0.333333)
    ('45%', '45.05%', '33.33%')
    """
    return f"{100 * value:.2f}".rstrip("0").rstrip(".") + "%"


def points(difference: float | None, digits: int = 1) -> str:
    """A difference of shares in percentage points, always with its sign.

    >>> points(-0.003), points(0.0021, 2), points(-0.00001)
    ('−0.3', '+0.21', '0.0')
    """
    if difference is None or not known(difference):
        return ABSENT
    text = f"{100 * difference:+.{digits}f}".replace("-", "−")
    return text if float(f"{100 * difference:.{digits}f}") else text[1:]


def interval(found: Bounds | None, digits: int = 1) -> str:
    """The bounds of a difference, in points.

    >>> interval({"mean": -0.003, "low": -0.008, "high": 0.002})
    '[−0.8, +0.2]'
    """
    if not found or not known(found.get("low")) or not known(found.get("high")):
        return ABSENT
    return f"[{points(found['low'], digits)}, {points(found['high'], digits)}]"


def digits_for(found: Bounds) -> int:
    """Decimals to print beside an interval: two if it is narrower than one point, else one.

    >>> digits_for({"mean": 0, "low": -0.008, "high": 0.004}), digits_for({"mean": 0, "low": -0.001, "high": 0.002})
    (1, 2)
    """
    return 2 if known(found.get("low")) and found["high"] - found["low"] < 0.01 else 1


def count(number: int, noun: str = "") -> str:
    """A number of things.

    >>> count(12345), count(1, "row"), count(2, "class")
    ('12,345', '1 row', '2 classes')
    """
    plural = noun + ("es" if noun.endswith("s") else "s")
    return f"{number:,}" if not noun else f"{number:,} {noun if number == 1 else plural}"


def score_value(value: float | None) -> str:
    """A score with four significant digits.

    >>> score_value(-0.0), score_value(-0.0123456), score_value(123456.7), score_value(0.0000123)
    ('0', '−0.01235', '123,457', '1.23e−05')
    """
    if value is None or not known(value):
        return ABSENT
    value += 0.0  # a negative zero is a zero
    text = f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
    return text.replace("-", "−")


def duration(seconds: float | None) -> str:
    """A time span in its two largest units.

    >>> duration(8.24), duration(250), duration(3780), duration(None)
    ('8.2 s', '4 min 10 s', '1 h 3 min', '–')
    """
    if seconds is None or not known(seconds):
        return ABSENT
    if seconds < 60:
        return f"{seconds:.1f} s"
    if round(seconds) < 3600:
        return f"{round(seconds) // 60} min {round(seconds) % 60} s"
    return f"{round(seconds / 60) // 60} h {round(seconds / 60) % 60} min"

"""Names in a figure, as text that Plotly does not interpret."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from thresher.report.format import cut, visible


def plain(name: str, most: int = 40) -> str:
    """A name that Plotly shows as it is, although it interprets tags and entities in labels.

    >>> plain("<b>alarm</b> & clock")
    '&lt;b&gt;alarm&lt;/b&gt; &amp; clock'
    >>> plain("alarm off", 6)
    'alarm…'
    """
    return literal(cut(one_line(name), most))


def apart(names: Sequence[str], most: int = 40) -> list[str]:
    """Names as `plain` gives them, made unique: Plotly merges equal names on an axis.

    Names that are equal once truncated are shortened in the middle instead; names that are still equal are numbered.

    >>> apart(["alarm off", "alarm on", "clock"], 7)
    ['ala…off', 'ala… on', 'clock']
    >>> apart(["alarm", "alarm"])
    ['alarm', 'alarm (2)']
    """
    lines = [one_line(name) for name in names]
    alike = Counter(cut(line, most) for line in lines)
    end = most // 2
    found: dict[str, None] = {}
    for line in lines:
        short = cut(line, most)
        if alike[short] > 1 and short != line:
            short = f"{line[: most - 1 - end]}…{line[-end:]}"
        name, number = short, 1
        while name in found:
            number += 1
            name = f"{short} ({number})"
        found[name] = None
    return [literal(name) for name in found]


def one_line(name: str) -> str:
    """A name on one line, with control characters made visible.

    >>> one_line("alarm\\n off")
    'alarm off'
    """
    return " ".join(visible(name).split())


def literal(text: str) -> str:
    """Text with tags and entities escaped for Plotly.

    >>> literal("<b>")
    '&lt;b&gt;'
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

"""Names inside a figure."""

from __future__ import annotations

from thresher.report.format import cut, visible


def plain(name: str, most: int = 40) -> str:
    """A name as Plotly shows it literally: it reads tags and entities in every label.

    >>> plain("<b>alarm</b> & clock")
    '&lt;b&gt;alarm&lt;/b&gt; &amp; clock'
    >>> plain("alarm off", 6)
    'alarm…'
    """
    name = cut(" ".join(visible(name).split()), most)
    return name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

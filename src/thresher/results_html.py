"""The notebook view of results: their sentence, and for a comparison its intervals as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from thresher.results import Comparison, Result

WIDTH, ROW, LEFT = 640, 28, 190
NAMES = {
    "kept-full": "kept rows − all rows",
    "random-full": "random rows − all rows",
    "kept-random": "kept rows − random rows",
}


def result_html(result: Result) -> str:
    """A result in HTML; every text is escaped."""
    from thresher.results import Comparison, Sweep, WholeRun

    if isinstance(result, WholeRun):
        kept = Markup("<p>Kept {} of {} rows: <code>{}</code></p>").format(
            f"{result.n_kept:,}", f"{result.n_rows:,}", result.kept
        )
        decided = sentence_html(result.decision["sentence"])
        return decided + (Markup(comparison_html(result.compare)) if result.compare else "") + kept
    if isinstance(result, Comparison):
        return sentence_html(result.decision["sentence"]) + comparison_html(result)
    if isinstance(result, Sweep):
        return str(result.frame()._repr_html_())
    return str(Markup("<p>{}</p>").format(str(result)))


def sentence_html(sentence: str) -> Markup:
    return Markup("<p><strong>{}</strong></p>").format(sentence)


def comparison_html(result: Comparison) -> str:
    """The verdict, and the differences in points of accuracy, or of completions in nats, with their 95% intervals."""
    of_texts = result.settings.get("task") == "text"
    metric, scale, digits = ("loss", 1, 3) if of_texts else ("accuracy", 100, 2)
    what = "held-out loss (nats per token)" if of_texts else "points of accuracy"
    shown = {name: result.differences[name][metric] for name in NAMES if name in result.differences}
    ends = [scale * found[end] for found in shown.values() for end in ("low", "high")]
    low, high = min(0.0, *ends), max(0.0, *ends)
    pad = 0.08 * (high - low or 1)
    low, high = low - pad, high + pad

    def x(points: float) -> float:
        return LEFT + (WIDTH - LEFT - 130) * (points - low) / (high - low)

    height = ROW * len(shown) + 20
    parts = [
        f'<line x1="{x(0):.1f}" x2="{x(0):.1f}" y1="4" y2="{height - 16}" stroke="#999" stroke-dasharray="3 3"/>',
        f'<text x="{x(0):.1f}" y="{height - 3}" text-anchor="middle" fill="#777">0</text>',
    ]
    for at, (name, found) in enumerate(shown.items()):
        y = ROW * at + 18
        mean, left, right = (scale * found[one] for one in ("mean", "low", "high"))
        text = f"{mean:+.{digits}f} [{left:+.{digits}f}, {right:+.{digits}f}]"
        parts += [
            f'<text x="{LEFT - 12}" y="{y + 4}" text-anchor="end">{escape(NAMES[name])}</text>',
            f'<line x1="{x(left):.1f}" x2="{x(right):.1f}" y1="{y}" y2="{y}" stroke="#1f77b4" stroke-width="2"/>',
            f'<circle cx="{x(mean):.1f}" cy="{y}" r="4" fill="#1f77b4"/>',
            f'<text x="{WIDTH - 122}" y="{y + 4}" fill="#555">{text}</text>',
        ]
    picture = (
        f'<svg viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" role="img" font-family="sans-serif" font-size="12"'
        f' fill="currentColor"><title>Differences in {what}, with 95% intervals</title>{"".join(parts)}</svg>'
    )
    return str(Markup("<p>{}</p>").format(result.verdict)) + picture

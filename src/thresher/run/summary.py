"""A run as a notebook shows it: what is done, and what is next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from thresher.run.integrity import read_json

if TYPE_CHECKING:
    from thresher.run.run import Run

SHOWN = ("train", "measure", "score", "select", "compare", "report")


def run_html(run: Run) -> str:
    """The steps of a run with when they were finished, and the verdict of its last proof; every text is escaped."""
    manifest = run.manifest
    lines = [
        Markup("<tr><td>{}</td><td>{}</td></tr>").format(
            name, record.finished if (record := run.current(name)) else "not done"
        )
        for name in SHOWN
    ]
    head = Markup("<p>Run <code>{}</code>: {} rows, {} classes, {} {} rows</p>").format(
        str(run),
        f"{manifest.n_rows:,}",
        len(manifest.classes),
        f"{manifest.n_test:,}",
        "held-out" if run.tests_held_out else "test",
    )
    proof = run.current("compare")
    verdict = ""
    if proof:
        try:
            found = read_json(run.comparison_file(proof.facts["name"]))
            verdict = Markup("<p>{}</p>").format(found["verdict"])
        except (OSError, ValueError, KeyError):
            verdict = ""
    return str(head + Markup("<table>{}</table>").format(Markup("").join(lines)) + verdict)

"""The results of the audit and of `suspects` as cards of the page; `look` marks those that the reader should check."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from thresher.facts.audit import Audit, Example
from thresher.facts.scores import Suspects
from thresher.report.format import ABSENT, count, isolated, percent

MOST_NAMES = 12


class Shown(TypedDict):
    """Texts with their labels and the number of rows of each, as an example."""

    texts: list[str]
    labels: list[tuple[str, str]]
    rows: str


class Card(TypedDict):
    """One finding."""

    name: str
    figure: str
    text: str
    look: bool
    examples: list[Shown]
    names: list[str]


def findings(audit: Audit | None) -> list[Card]:
    """One entry per check of the audit: `name`, `figure`, `text`, `look` and `examples`.

    >>> audit = {"n": 4, "classes": {"a": 3, "b": 1}, "groups": {}, "duplicates": {"rows": 1, "examples": []},
    ...          "conflicting": {"texts": 0, "rows": 0, "examples": []}, "empty": {"rows": 0, "ids": []},
    ...          "singletons": ["b"], "overlap": None, "test": None}
    >>> [(found["name"], found["figure"], found["look"]) for found in findings(audit)][:3]
    [('Rows', '4', False), ('Repeated rows', '1', True), ('Conflicting labels', '0', False)]
    """
    if audit is None:
        return []
    texts = audit.get("task") == "text"
    what, kind, several = (
        ("prompt and completion", "prompt", "Prompts with several completions")
        if texts
        else ("text and label", "text", "Conflicting labels")
    )
    duplicates, conflicting, empty = audit["duplicates"], audit["conflicting"], audit["empty"]
    cards = [
        _rows(audit),
        _found(
            "Repeated rows",
            duplicates["rows"],
            f"rows repeat the {what} of an earlier row",
            f"No row repeats the {what} of another.",
            audit["n"],
            duplicates["examples"],
        ),
        _found(
            several,
            conflicting["rows"],
            f"rows: {count(conflicting['texts'], kind)} with more than one {'completion' if texts else 'label'}",
            f"No {kind} {'has two completions' if texts else 'carries two labels'}.",
            audit["n"],
            conflicting["examples"],
        ),
        _found(
            f"Empty {kind}s",
            empty["rows"],
            f"rows have an empty {kind}",
            f"No {kind} is empty.",
            audit["n"],
            ids=empty["ids"],
        ),
    ]
    tested = _test(audit)
    return [*cards, *tested[:1]] if texts else [*cards, _singletons(audit["singletons"]), *tested]


def card(
    name: str,
    figure: str,
    text: str,
    look: bool,
    examples: Sequence[Shown] = (),
    names: Sequence[str] = (),
) -> Card:
    return {
        "name": name,
        "figure": figure,
        "text": text,
        "look": look,
        "examples": list(examples),
        "names": list(names),
    }


def _rows(audit: Audit) -> Card:
    groups = [f"{isolated(name)} ({count(len(values), 'value')})" for name, values in audit["groups"].items()]
    if audit.get("task") == "text":
        told = "Prompts and completions."
    else:
        sizes = sorted(audit["classes"].items(), key=lambda item: item[1])
        (small, few), (large, many) = sizes[0], sizes[-1]
        told = (
            f"{count(len(sizes), 'class')}, from {count(few)} ({isolated(small)}) to {count(many)} rows"
            f" ({isolated(large)})."
        )
    return card(
        "Rows", count(audit["n"]), told + (f" Groups: {', '.join(groups)}." if groups else ""), look=False
    )


def _found(
    name: str,
    number: int,
    what: str,
    nothing: str,
    of: int,
    examples: Sequence[Example] = (),
    ids: Sequence[str] = (),
) -> Card:
    shown: list[Shown] = [
        {
            "texts": [str(text) for text in example["texts"]],
            "labels": [(str(label), count(n)) for label, n in example["labels"].items()],
            "rows": count(example["rows"], "row"),
        }
        for example in examples
    ]
    text = f"{percent(number / of)} of the {what}." if number else nothing
    return card(name, count(number), text, number > 0, shown, [str(one) for one in ids])


def _singletons(names: list[str]) -> Card:
    text = (
        "If its row is dropped, the class cannot be learned."
        if names
        else "Every class has more than one row."
    )
    return card("Classes of one row", count(len(names)), text, bool(names), names=_some(names))


def _some(names: list[str]) -> list[str]:
    more = len(names) - MOST_NAMES
    return [*map(str, names[:MOST_NAMES]), *([f"and {count(more)} more"] if more > 0 else [])]


def _test(audit: Audit) -> list[Card]:
    test, overlap = audit.get("test"), audit.get("overlap")
    if not test:
        nothing = "None were given, so the selection cannot be tested by retraining."
        return [card("Test rows", "0", nothing, look=True)]
    shared, untested = overlap["test_rows_in_train"] if overlap else 0, test.get("absent", [])
    seen = (
        f"The text of {percent(shared / test['n'])} of the {count(test['n'])} test rows also occurs in the training set; see the"
        " result on unseen text."
        if shared
        else f"None of the {count(test['n'])} test rows has a text that occurs in the training set."
    )
    missing = (
        "The effect of pruning on them cannot be measured." if untested else "Every class has a test row."
    )
    return [
        card("Test rows also in the training set", count(shared), seen, shared > 0),
        card(
            "Classes without a test row", count(len(untested)), missing, bool(untested), names=_some(untested)
        ),
    ]


def suspects(found: Suspects | None) -> list[Card]:
    r"""The list of suspects as one more finding: how many labels are expected to be wrong; nothing without a list.

    >>> facts = {"by": "aum", "rows": 2734, "listed": 85, "expected": 60.2, "total": 70.4, "accuracy": 0.9, "largest": 0.1}
    >>> [(card["figure"], card["text"]) for card in suspects(facts)]
    [('70', 'The list of suspects holds 85 rows by \u2068aum\u2069; about 60 of them are expected to be wrong.')]
    """
    if found is None:
        return []
    name = "Labels expected to be wrong"
    if found.get("task") == "text":
        name, figure, look = "Completions to read", count(found["listed"]), True
        text = f"The list of suspects holds the hardest rows by {isolated(found['by'])}: completions that may not fit."
    elif found["expected"] is None:
        figure, look = ABSENT, True
        text = (
            f"The model has learned too little to say: it predicts {percent(found['accuracy'])} of the labels, the largest class"
            f" alone {percent(found['largest'])}."
        )
    else:
        figure, look = count(round(found["total"])), found["expected"] >= 0.5
        expected = f"about {count(round(found['expected']))}" if look else "fewer than 1"
        listed = f"{count(found['listed'], 'row')} by {isolated(found['by'])}"
        text = f"The list of suspects holds {listed}; {expected} of them are expected to be wrong."
    return [card(name, figure, text, look)]

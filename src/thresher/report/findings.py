"""The results of the audit and of `suspects` as cards of the page; `look` marks those that the reader should check."""

from __future__ import annotations

from typing import TypedDict

from thresher.facts import Audit, Example, Suspects
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
    duplicates, conflicting, empty = audit["duplicates"], audit["conflicting"], audit["empty"]
    if audit.get("task") == "text":
        return _of_texts(audit)
    return [
        _rows(audit),
        _found(
            "Repeated rows",
            duplicates["rows"],
            "rows repeat the text and label of an earlier row",
            "No row repeats the text and label of another.",
            audit["n"],
            duplicates.get("examples", []),
        ),
        _found(
            "Conflicting labels",
            conflicting["rows"],
            f"rows: {count(conflicting['texts'], 'text')} with more than one label",
            "No text carries two labels.",
            audit["n"],
            conflicting.get("examples", []),
        ),
        _found(
            "Empty texts",
            empty["rows"],
            "rows have an empty text",
            "No text is empty.",
            audit["n"],
            [],
            empty.get("ids", []),
        ),
        _singletons(audit["singletons"]),
        *_test(audit),
    ]


def _of_texts(audit: Audit) -> list[Card]:
    """The cards of rows with a prompt and a completion."""
    duplicates, conflicting, empty = audit["duplicates"], audit["conflicting"], audit["empty"]
    groups = [f"{isolated(name)} ({count(len(values), 'value')})" for name, values in audit["groups"].items()]
    return [
        {
            "name": "Rows",
            "figure": count(audit["n"]),
            "text": "Prompts and completions." + (f" Groups: {', '.join(groups)}." if groups else ""),
            "look": False,
            "examples": [],
            "names": [],
        },
        _found(
            "Repeated rows",
            duplicates["rows"],
            "rows repeat the prompt and completion of an earlier row",
            "No row repeats the prompt and completion of another.",
            audit["n"],
            duplicates.get("examples", []),
        ),
        _found(
            "Prompts with several completions",
            conflicting["rows"],
            f"rows: {count(conflicting['texts'], 'prompt')} with more than one completion",
            "No prompt has two completions.",
            audit["n"],
            conflicting.get("examples", []),
        ),
        _found(
            "Empty prompts",
            empty["rows"],
            "rows have an empty prompt",
            "No prompt is empty.",
            audit["n"],
            [],
            empty["ids"],
        ),
        *_test(audit)[:1],
    ]


def _rows(audit: Audit) -> Card:
    sizes = sorted(audit["classes"].items(), key=lambda item: item[1])
    groups = [f"{isolated(name)} ({count(len(values), 'value')})" for name, values in audit["groups"].items()]
    (small, few), (large, many) = sizes[0], sizes[-1]
    ends = f"{count(len(sizes), 'class')}, from {count(few)} ({isolated(small)}) to {count(many)} rows ({isolated(large)})."
    return {
        "name": "Rows",
        "figure": count(audit["n"]),
        "text": ends + (f" Groups: {', '.join(groups)}." if groups else ""),
        "look": False,
        "examples": [],
        "names": [],
    }


def _found(
    name: str,
    number: int,
    what: str,
    nothing: str,
    of: int,
    examples: list[Example],
    ids: list[str] | None = None,
) -> Card:
    return {
        "name": name,
        "figure": count(number),
        "text": f"{percent(number / of)} of the {what}." if number else nothing,
        "look": number > 0,
        "examples": [
            {
                "texts": [str(text) for text in example.get("texts", [])],
                "labels": [(str(label), count(n)) for label, n in example.get("labels", {}).items()],
                "rows": count(example.get("rows", 0), "row"),
            }
            for example in examples
        ],
        "names": [str(one) for one in ids or []],
    }


def _singletons(names: list[str]) -> Card:
    return {
        "name": "Classes of one row",
        "figure": count(len(names)),
        "text": "If its row is dropped, the class cannot be learned."
        if names
        else "Every class has more than one row.",
        "look": bool(names),
        "examples": [],
        "names": _some(names),
    }


def _some(names: list[str]) -> list[str]:
    more = len(names) - MOST_NAMES
    return [*map(str, names[:MOST_NAMES]), *([f"and {count(more)} more"] if more > 0 else [])]


def _test(audit: Audit) -> list[Card]:
    test, overlap = audit.get("test"), audit.get("overlap")
    if not test:
        return [
            {
                "name": "Test rows",
                "figure": "0",
                "text": "None were given, so the selection cannot be tested by retraining.",
                "look": True,
                "examples": [],
                "names": [],
            }
        ]
    shared, untested = overlap["test_rows_in_train"] if overlap else 0, test.get("absent", [])
    seen = (
        f"The text of {percent(shared / test['n'])} of the {count(test['n'])} test rows also occurs in the training set; see the"
        " result on unseen text."
        if shared
        else f"None of the {count(test['n'])} test rows has a text that occurs in the training set."
    )
    return [
        {
            "name": "Test rows also in the training set",
            "figure": count(shared),
            "text": seen,
            "look": shared > 0,
            "examples": [],
            "names": [],
        },
        {
            "name": "Classes without a test row",
            "figure": count(len(untested)),
            "text": "The effect of pruning on them cannot be measured."
            if untested
            else "Every class has a test row.",
            "look": bool(untested),
            "examples": [],
            "names": _some(untested),
        },
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
    return [
        {
            "name": name,
            "figure": figure,
            "text": text,
            "look": look,
            "examples": [],
            "names": [],
        }
    ]

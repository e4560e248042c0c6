"""Print an audit as plain sentences, only for what was found, safe for a terminal."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from thresher.facts.audit import Audit, Example
from thresher.rows.audit import EXAMPLES
from thresher.wording import listed, shown


def audit_lines(report: Audit) -> list[str]:
    """The lines that describe an audit; counts of zero are left out.

    >>> import polars as pl
    >>> from thresher.rows import audit, load
    >>> frame = pl.DataFrame({"text": ["stop", "go", "Stop"], "label": ["a", "b", "b"]})
    >>> for line in audit_lines(audit(load(frame, text="text", label="label"))):
    ...     print(line)
    3 rows, 2 classes (smallest: a, 1; largest: b, 2)
    1 text has more than one label (2 rows), e.g. "stop": a 1, b 1
    1 class has a single row: a
    """
    return [_head(report), *_train_lines(report), *_test_lines(report)]


def _head(report: Audit) -> str:
    """How many rows there are, and of which classes; of completions, of which groups."""
    rows = _count(report["n"], "row")
    if _of_texts(report):
        groups = "; ".join(
            f"{shown(name)}: {listed((f'{shown(value, 30)} {count:,}' for value, count in values.items()), 5)}"
            for name, values in report["groups"].items()
        )
        return f"{rows} of prompt and completion" + (f" ({groups})" if groups else "")
    classes = sorted(report["classes"].items(), key=lambda item: item[1])
    (small, few), (large, many) = classes[0], classes[-1]
    return (
        f"{rows}, {_count(len(classes), 'class')} "
        f"(smallest: {shown(small)}, {few:,}; largest: {shown(large)}, {many:,})"
    )


def _train_lines(report: Audit) -> Iterator[str]:
    text, target = ("prompt", "completion") if _of_texts(report) else ("text", "label")
    duplicates, conflicting, empty = report["duplicates"], report["conflicting"], report["empty"]
    if duplicates["rows"]:
        example = duplicates["examples"][0]
        yield (
            f"{_count(duplicates['rows'], 'row', 'repeats', 'repeat')} the {text} and {target} of an earlier row,"
            f" e.g. {_quoted(example)} ({example['rows']:,} times)"
        )
    if conflicting["texts"]:
        example = conflicting["examples"][0]
        if _of_texts(report):
            targets = listed((f'"{shown(name, 30)}"' for name in example["labels"]), 3)
        else:
            targets = listed((f"{shown(name, 30)} {count:,}" for name, count in example["labels"].items()), 4)
        yield (
            f"{_count(conflicting['texts'], text, 'has', 'have')} more than one {target}"
            f" ({_count(conflicting['rows'], 'row')}), e.g. {_quoted(example)}: {targets}"
        )
    near = report.get("near_equal")
    if near and near["rows"]:
        among = f" of {near['among']:,} that were compared" if near["among"] < report["n"] else ""
        pairs = listed((f"{shown(row)} and {shown(earlier)}" for earlier, row in near["examples"]), 2)
        yield (
            f"{_count(near['rows'], 'row', 'is', 'are')} nearly equal to an earlier one (80% of the runs of three words){among},"
            f" e.g. {pairs}"
        )
    if empty["rows"]:
        yield f"{_count(empty['rows'], 'row', 'has', 'have')} an empty {text}: {listed(empty['ids'], EXAMPLES)}"
    if names := report["singletons"]:
        yield f"{_count(len(names), 'class', 'has', 'have')} a single row: {listed(names)}"
    for name, count in report["unlabelled"].items():
        others = shlex.quote(f"{shown(report['label'])}!={shown(name)}")
        yield (
            f"{_count(count, 'row', 'has', 'have')} the label {shown(name)}, which may mean that there is none; drop such"
            f" rows with --where {others}"
        )
    if report["alike"]:
        groups = "; ".join(listed(names, 4) for names in report["alike"][:EXAMPLES])
        yield f"class names that differ only in case, white space or Unicode form: {groups}"


def _test_lines(report: Audit) -> Iterator[str]:
    test, overlap = report["test"], report["overlap"]
    if test is None or overlap is None:
        return
    yield _count(test["n"], "test row")
    if shared := overlap["test_rows_in_train"]:
        share = f"{shared:,} of them ({shared / test['n']:.1%})"
        if _of_texts(report):
            yield (
                f"the prompts of {share} also occur in the training set; read the results on unseen prompts as well"
            )
        else:
            occur = "occurs" if shared == 1 else "occur"
            yield f"{share} also {occur} in the training set; read the results on unseen texts as well"
    if test["absent"]:
        yield f"{_count(len(test['absent']), 'class')} without a test row: {listed(test['absent'])}"


def _of_texts(report: Audit) -> bool:
    return report.get("task") == "text"


def _quoted(example: Example) -> str:
    return " / ".join(f'"{shown(text)}"' for text in example["texts"])


def _count(number: int, noun: str, verb: str = "", plural_verb: str = "") -> str:
    """A number with its noun, and a verb that agrees with it.

    >>> _count(1, "class", "has", "have"), _count(2, "row", "has", "have")
    ('1 class has', '2 rows have')
    """
    plural = noun + ("es" if noun.endswith("s") else "s")
    return f"{number:,} {noun if number == 1 else plural} {verb if number == 1 else plural_verb}".rstrip()

"""Options are read from the signatures of the score functions; every error in one gives one line."""

from __future__ import annotations

import inspect
import typing

import pytest
import yaml

from thresher.errors import UserError
from thresher.scores import check_options, column, find, parse_options, scores


def test_the_defaults_are_those_of_the_signatures():
    for name, options in check_options().items():
        signature = inspect.signature(scores()[name].function).parameters
        keywords = {n: p.default for n, p in signature.items() if p.kind is p.KEYWORD_ONLY}
        assert options == keywords


@pytest.mark.parametrize(
    ("text", "score", "option", "value"),
    [
        ("vog.window=late", "vog", "window", "late"),
        ("vog.window=0,1,2", "vog", "window", (0, 1, 2)),
        ("vog.window= 3, 4 ", "vog", "window", (3, 4)),
        ("vog.form=std", "vog", "form", "std"),
        ("el2n.epoch=2", "el2n", "epoch", 2.0),
        ("el2n.checkpoint=-1", "el2n", "checkpoint", -1),
        ("el2n.checkpoint=none", "el2n", "checkpoint", None),
        ("tracin.layer=classifier", "tracin", "layer", "classifier"),
    ],
)
def test_the_command_line_and_yaml_mean_the_same(text, score, option, value):
    from_text = check_options(parse_options([text]))
    assert from_text[score][option] == value
    written = text.partition("=")[2].strip()
    from_yaml = yaml.safe_load(f"{score}: {{{option}: '{written}'}}")
    assert check_options(from_yaml) == from_text
    from_native_yaml = yaml.safe_load(yaml.safe_dump({score: {option: value}}))
    assert check_options(from_native_yaml) == from_text


def test_values_have_the_annotated_type():
    options = check_options({"el2n": {"epoch": 3, "checkpoint": 4.0}})["el2n"]
    assert type(options["epoch"]) is float and type(options["checkpoint"]) is int


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"vug": {}}, f"unknown score 'vug'; known scores: {', '.join(scores())}; did you mean 'vog'?"),
        (
            {"vog": {"windo": "all"}},
            "score 'vog' has no option 'windo'; it has form, window, reduce, tokens; did you mean 'window'?",
        ),
        (
            {"vog": {"window": "sometime"}},
            "score 'vog': option 'window' is 'sometime'; it takes all, early, late or whole numbers separated"
            " by commas",
        ),
        ({"vog": {"form": "range"}}, "score 'vog': option 'form' is 'range'; it takes variance or std"),
        ({"el2n": {"epoch": "soon"}}, "score 'el2n': option 'epoch' is 'soon'; it takes a number"),
        ({"el2n": {"epoch": "nan"}}, "score 'el2n': option 'epoch' is 'nan'; it takes a number"),
        ({"el2n": {"epoch": True}}, "score 'el2n': option 'epoch' is 'True'; it takes a number"),
        (
            {"el2n": {"checkpoint": 1.5}},
            "score 'el2n': option 'checkpoint' is '1.5'; it takes a whole number or none",
        ),
        (
            {"tracin": {"layer": None}},
            "score 'tracin': option 'layer' is 'None'; it takes auto, encoder, classifier or adapter",
        ),
    ],
)
def test_a_mistake_is_named_with_what_is_known(given, message):
    with pytest.raises(UserError) as error:
        check_options(given)
    assert str(error.value) == message


@pytest.mark.parametrize("text", ["vog", "vog.window", "window=late", "=", "vog=late"])
def test_a_text_of_another_form_is_refused_with_an_example(text):
    with pytest.raises(UserError, match=r"write SCORE\.OPTION=VALUE, for example vog\.window=late"):
        parse_options([text])


LOW_IS_HARD = (
    "aum",
    "confidence",
    "correctness",
    "duplicates",
    "h_score",
    "hardest_view",
    "held_out_margin",
    "pvi",
    "pvi_sum",
    "token_accuracy",
    "word_margin",
)
OF_THE_PAPER = ("vog", "el2n", "forgetting", "pvi", "tracin")


def test_every_score_names_its_end_its_cost_and_its_source():
    for name, entry in scores().items():
        assert entry.name == name
        assert entry.hard == ("low" if name in LOW_IS_HARD else "high")
        assert entry.cost and entry.source
        assert ("EMNLP 2023" in entry.source) == (name in OF_THE_PAPER)
        assert entry.runs in (1, "all")
        assert typing.get_type_hints(entry.function)["return"].__name__ == "Series"


def test_find_gives_the_one_score_or_names_the_known_ones():
    assert find("tracin").runs == 1
    with pytest.raises(UserError, match=r"unknown score 'TRACIN'; known scores: aum, .*el2n, .*pvi"):
        find("TRACIN")


COLUMNS = ["id", "label", "vog", "vog_class", "vog_dataset", "pvi", "pvi_class", "pvi_dataset", "mixed"]


@pytest.mark.parametrize(
    ("by", "normalise", "expected"),
    [
        ("vog", "auto", ("vog_class", "high")),
        ("vog", "raw", ("vog", "high")),
        ("vog", "dataset", ("vog_dataset", "high")),
        ("vog_dataset", "auto", ("vog_dataset", "high")),
        ("vog_dataset", "dataset", ("vog_dataset", "high")),
        ("pvi", "auto", ("pvi", "low")),
        ("pvi", "class", ("pvi_class", "low")),
        ("pvi_class", "auto", ("pvi_class", "low")),
        ("mixed", "auto", ("mixed", "high")),
    ],
)
def test_what_to_select_by_is_a_score_or_a_column(by, normalise, expected):
    assert column(by, normalise, COLUMNS) == expected


@pytest.mark.parametrize(
    ("by", "normalise", "message"),
    [
        ("lost", "auto", "'lost' is not a score or a column; there are vog, pvi, mixed"),
        ("label", "auto", "'label' is not a score or a column; there are vog"),
        ("el2n", "auto", "'el2n' was not computed in this run; there are vog"),
        ("el2n_class", "auto", "'el2n_class' was not computed in this run; there are vog"),
        ("vog_class", "dataset", "column 'vog_class' is class-normalised; .* select by 'vog'"),
        ("mixed", "class", "column 'mixed' has no class-normalised form; leave normalise at auto"),
    ],
)
def test_what_cannot_be_selected_by_is_named(by, normalise, message):
    with pytest.raises(UserError, match=message):
        column(by, normalise, COLUMNS)

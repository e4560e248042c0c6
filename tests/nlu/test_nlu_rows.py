"""Annotated rows: every format reads back what it wrote, and names the row that it refuses."""

from __future__ import annotations

import gzip
import json
import re
import tempfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from hypothesis import given, settings
from strategies import rows as some_rows

from thresher.errors import UserError
from thresher.nlu.rows import (
    FORMATS,
    Slot,
    Utterance,
    as_table,
    brackets,
    labels_of,
    load_utterances,
    rasa,
    save_utterances,
    utterances,
)
from thresher.nlu.rows.bio import slots_of, tags_of
from thresher.nlu.rows.checked import words
from thresher.nlu.rows.table import BadRow

ENDING = {"conll": ".conll", "rasa": ".yml"}


@pytest.mark.parametrize("form", FORMATS)
@given(rows=some_rows)
@settings(max_examples=60)
def test_a_format_reads_what_it_wrote(form: str, rows: list[Utterance]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"rows{ENDING.get(form, '.jsonl')}"
        save_utterances(as_table(rows), path, form=form)
        read = load_utterances(path, form=form)
    found = list(utterances(read.rows))
    assert read.skipped == []
    if form == "rasa":  # keeps neither ids nor order
        strip = sorted((row.text, row.domain, row.intent, row.slots, row.source) for row in rows)
        assert sorted((row.text, row.domain, row.intent, row.slots, row.source) for row in found) == strip
    else:
        assert found == rows


@given(rows=some_rows)
@settings(max_examples=30)
def test_tags_and_slots_are_the_same_thing(rows: list[Utterance]) -> None:
    for row in rows:
        spans = words(row.text)
        assert slots_of(spans, tags_of(spans, row.slots)) == row.slots


@pytest.mark.parametrize("ending", [".jsonl", ".parquet"])
@pytest.mark.parametrize("form", ["brackets", "pipe", "massive", "slurp"])
def test_the_format_is_told_by_the_columns(form: str, ending: str, tmp_path: Path) -> None:
    row = Utterance("wake me at nine am", "alarm", "set", (Slot(11, 18, "time"),), "historical", "7")
    save_utterances(as_table([row]), tmp_path / f"rows{ending}", form=form)
    assert list(utterances(load_utterances(tmp_path / f"rows{ending}").rows)) == [row]


MASSIVE = {"id": "1", "locale": "en-US", "partition": "train", "scenario": "alarm", "intent": "alarm_set"}
SLURP = {
    "slurp_id": 4812,
    "sentence": "event reminder mona Tuesday",
    "tokens": [
        {"surface": word, "id": at} for at, word in enumerate(["event", "reminder", "mona", "Tuesday"])
    ],
    "entities": [{"span": [2], "type": "event_name"}, {"span": [3], "type": "date"}],
    "scenario": "calendar",
    "action": "set",
}
RASA = """version: "3.1"
nlu:
- intent: alarm/set
  examples: |
    - wake me at [nine am](time)
    - wake me at [10]{"entity": "time", "value": "22:00"} on [friday](date)
- synonym: credit
  examples: |
    - credit card account
- intent: music/stop
  examples:
  - text: |
      stop it
    metadata: {sentiment: neutral}
"""
CONLL = "# domain = alarm\n# intent = set\nwake\tVB\tO\nat\tIN\tO\nnine\tCD\tB-time\nam\tNN\tI-time\n"


def test_files_of_others_are_read(tmp_path: Path) -> None:
    line = MASSIVE | {"utt": "wake me at nine am", "annot_utt": "wake me at [time : nine am]"}
    files = {
        "massive.jsonl": (json.dumps(line), [("alarm", "set", "wake me at nine am", ["nine am"])]),
        "slurp.jsonl": (json.dumps(SLURP), [("calendar", "set", SLURP["sentence"], ["mona", "Tuesday"])]),
        "rasa.yml": (
            RASA,
            [
                ("alarm", "set", "wake me at nine am", ["nine am"]),
                ("alarm", "set", "wake me at 10 on friday", ["10", "friday"]),
                ("music", "stop", "stop it", []),
            ],
        ),
        "rows.conll": (CONLL, [("alarm", "set", "wake at nine am", ["nine am"])]),
    }
    for name, (content, expected) in files.items():
        (tmp_path / name).write_text(content)
        found = [
            (row.domain, row.intent, row.text, [row.text[slot.start : slot.end] for slot in row.slots])
            for row in utterances(load_utterances(tmp_path / name).rows)
        ]
        assert found == expected, name


def found_in(path: Path, **options: Any) -> list[tuple[str, str, str, dict[str, str]]]:
    """Domain, intent, text and slots of the rows of a file."""
    rows = utterances(load_utterances(path, **options).rows)
    return [
        (
            row.domain,
            row.intent,
            row.text,
            {slot.label: row.text[slot.start : slot.end] for slot in row.slots},
        )
        for row in rows
    ]


# CoNLL as others write it.

NUMBERED = """# global.columns = ID FORM

# sent_id = 7
# Text: set alarm, at Seven
# text-en: the same
# intent: alarm/set_alarm
1	set	VERB	O
2	alarm	NOUN	O
3	,	PUNCT	O
4-5	atseven	_	_
4	at	ADP	O
5	seven	NUM	B-time

# intent: alarm/stop
1	stop	VERB	O
"""


def test_token_numbers_are_no_tokens_and_comments_name_the_row(tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_text(NUMBERED)
    rows = load_utterances(tmp_path / "a.conll").rows
    assert rows["id"][0] == "7"
    assert found_in(tmp_path / "a.conll") == [
        ("alarm", "set_alarm", "set alarm, at Seven", {"time": "Seven"}),
        ("alarm", "stop", "stop", {}),
    ]
    (tmp_path / "a.conll").write_text(NUMBERED.replace("1\tset", "set\tset"))
    with pytest.raises(UserError, match=r"line 3: line 7 has no token number.*'set'"):
        load_utterances(tmp_path / "a.conll")


def test_numbers_that_are_tokens_stay(tmp_path: Path) -> None:
    head = "# domain = a\n# intent = count\n"
    two = f"{head}1\tO\n2\tO\n"
    three = f"{head}1 NUM O\n2 NUM O\n\n{head}stop VERB O\n\n{head}go VERB O\n"
    for content, texts in ((two, ["1 2"]), (three, ["1 2", "stop", "go"])):
        (tmp_path / "a.bio").write_text(content)
        assert load_utterances(tmp_path / "a.bio").rows["text"].to_list() == texts


def test_a_token_may_begin_with_the_sign_of_comments(tmp_path: Path) -> None:
    (tmp_path / "a.bio").write_text("# domain = a\n# intent = b\n# a remark\n#\tO\n1\tB-n\n\n# end\n")
    assert found_in(tmp_path / "a.bio") == [("a", "b", "# 1", {"n": "1"})]


def test_a_row_on_one_line_names_no_domain(tmp_path: Path) -> None:
    path = tmp_path / "atis.train.w-intent.iob"
    path.write_text(
        "BOS fly to new york EOS\tO O O B-to.city I-to.city atis_flight\nBOS stop EOS\tO O O atis_x\n"
    )
    with pytest.raises(UserError, match=r"line 1: no domain; --domain NAME"):
        load_utterances(path, skip_bad=False)
    with pytest.raises(UserError, match="line 2: 3 words and 4 tags"):
        load_utterances(path, domain="atis")
    found = [("atis", "atis_flight", "fly to new york", {"to.city": "new york"})]
    assert found_in(path, domain="atis", skip_bad=True) == found


# SLURP and MASSIVE: text and annotation differ in case or white space.


def test_tokens_may_differ_from_the_sentence_in_case(tmp_path: Path) -> None:
    path = tmp_path / "slurp.jsonl"
    path.write_text(json.dumps(SLURP | {"sentence": "Event reminder Mona tuesday"}))
    slots = {"event_name": "Mona", "date": "tuesday"}
    assert found_in(path) == [("calendar", "set", "Event reminder Mona tuesday", slots)]


@pytest.mark.parametrize(
    ("annotated", "text", "slots"),
    [
        ("[date : 明天] [time : 九点] 提醒我", "明天九点提醒我", {"date": "明天", "time": "九点"}),
        ("[time : 朝 九時] に 起こして", "朝九時に起こして", {"time": "朝九時"}),
        ("ปลุกฉันตอน [time : เก้าโมง]", "ปลุกฉันตอนเก้าโมง", {"time": "เก้าโมง"}),
        ("[time : မနက် ၅ နာရီ] နှိုးပါ", "မနက်၅နာရီနှိုးပါ", {"time": "မနက်၅နာရီ"}),
        ("call  [name : Bob] now", "call bob now", {"name": "bob"}),
    ],
)
def test_an_annotation_may_have_spaces_that_the_text_lacks(
    annotated: str, text: str, slots: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "massive.jsonl"
    path.write_text(json.dumps(MASSIVE | {"annot_utt": annotated, "utt": text}))
    assert found_in(path) == [("alarm", "set", text, slots)]


def test_splits_of_massive_are_not_one_set(tmp_path: Path) -> None:
    path = tmp_path / "massive.jsonl"
    splits = (("0", "train", "wake me"), ("1", "test", "stop"), ("2", "train", "go"))
    path.write_text(
        "\n".join(
            json.dumps(MASSIVE | {"id": n, "partition": part, "utt": text, "annot_utt": text})
            for n, part, text in splits
        )
    )
    with pytest.raises(UserError, match=r"has training and held-out rows .*--where partition=train$"):
        load_utterances(path)
    assert load_utterances(path, where="partition=train").rows["text"].to_list() == ["wake me", "go"]
    assert load_utterances(path, where="partition!=").rows.height == 3
    with pytest.raises(UserError, match="no row matches partition=dev"):
        load_utterances(path, where="partition=dev")
    with pytest.raises(UserError, match="no column 'split'"):
        load_utterances(path, where="split=train")


@pytest.mark.parametrize(
    "head", ["annotated;domain;intent", "annotated, domain, intent", "annotated|domain|intent"]
)
def test_a_sheet_of_annotated_rows_is_read_like_any_other(head: str, tmp_path: Path) -> None:
    content = f"{head}\n{re.sub('annotated', 'at [t : nine]', head).replace('domain', 'a').replace('intent', 'b')}\n"
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(content.encode()))
    assert found_in(tmp_path / "a.csv.gz") == [("a", "b", "at nine", {"t": "nine"})]


# Rasa as people have it.

BOT = """version: "3.1"
nlu:
- intent: travel/book
  metadata: {mood: good}
  examples: |
    - from [Rome]{"entity": "city", "role": "from"} to [Paris]{"entity": "city", "role": "to"}
    - fly to [NYC]{"entity": "city", "value": "New York"}
    # a remark
    - [big apple](city:New York) please
    - press [ and [enter]
- synonym: New York
  examples: |
    - NYC
- intent: greet
  examples:
  - text: "hi [Bob](name)"
    metadata: {"mood": "sad"}
- lookup: city
  examples: |
    - Rome
- regex: zip
  examples: |
    - \\d{5}
"""


def test_intents_of_a_rasa_file_without_domains(tmp_path: Path) -> None:
    (tmp_path / "nlu.yml").write_text(BOT)
    rows = load_utterances(tmp_path / "nlu.yml").rows
    assert rows["text"].to_list() == [
        "from Rome to Paris",
        "fly to NYC",
        "big apple please",
        "press [ and [enter]",
        "hi Bob",
    ]
    assert list(zip(rows["domain"], rows["intent"], strict=True)) == [("travel", "book")] * 4 + [
        ("default", "greet")
    ]
    rows = load_utterances(tmp_path / "nlu.yml", domain="bot").rows
    assert set(zip(rows["domain"], rows["intent"], strict=True)) == {("bot", "travel/book"), ("bot", "greet")}


@pytest.mark.parametrize("domain", [None, "bot"])
def test_a_rasa_file_is_written_back_as_it_stood(domain: str | None, tmp_path: Path) -> None:
    (tmp_path / "nlu.yml").write_text(BOT)
    read = load_utterances(tmp_path / "nlu.yml", domain=domain)
    save_utterances(read.rows, tmp_path / "kept.yml", rest=read.rest)

    def meaning(name: str) -> list[dict[str, Any]]:
        blocks = yaml.safe_load((tmp_path / name).read_text())["nlu"]
        for block in blocks:
            if isinstance(block["examples"], str):
                lines = block["examples"].splitlines()
                block["examples"] = [line for line in lines if not line.startswith("#")]
        return sorted(blocks, key=str)

    assert meaning("kept.yml") == meaning("nlu.yml")
    # Also by way of a file of rows.
    save_utterances(read.rows, tmp_path / "rows.jsonl", form="slurp")
    again = load_utterances(tmp_path / "rows.jsonl").rows
    save_utterances(again, tmp_path / "again.yml", rest=read.rest)
    assert (tmp_path / "again.yml").read_text() == (tmp_path / "kept.yml").read_text()


def test_the_other_keys_of_a_rasa_file_are_written_back(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    responses = 'responses:\n  utter_hi:\n  - text: "Hi: {name}"\n'
    (tmp_path / "a.yml").write_text(f'version: "2.0"\n{responses}{BOT.partition(chr(10))[2]}\nstories: []\n')
    (tmp_path / "b.yml").write_text(
        "nlu:\n- intent: bye\n  examples: |\n    - see you\nstories:\n- story: a\n"
    )
    read = load_utterances(tmp_path)
    assert "b.yml: an earlier file has stories too" in capfd.readouterr().err
    save_utterances(read.rows, tmp_path / "kept.yml", rest=read.rest)
    found = yaml.safe_load((tmp_path / "kept.yml").read_text())
    assert {name: found[name] for name in found if name != "nlu"} == {
        "version": "2.0",
        "responses": {"utter_hi": [{"text": "Hi: {name}"}]},
        "stories": [],
    }
    assert {"travel/book", "greet", "bye"} <= {
        block.get("intent", "").removeprefix("default/") for block in found["nlu"]
    }
    assert load_utterances(tmp_path / "kept.yml").rest == read.rest


def test_a_row_that_was_changed_is_written_as_it_is_now(tmp_path: Path) -> None:
    (tmp_path / "nlu.yml").write_text(BOT)
    rows = load_utterances(tmp_path / "nlu.yml").rows
    changed = rows.with_columns(
        text=pl.lit("see me"), slots=pl.lit([], rows.schema["slots"]), domain=pl.lit("d"), source=pl.lit("s")
    )
    save_utterances(changed, tmp_path / "new.yml")
    found = load_utterances(tmp_path / "new.yml").rows
    assert set(found["text"]) == {"see me"} and set(found["source"]) == {"s"}
    assert set(found["intent"]) == {"book", "greet"} and "d/book" in (tmp_path / "new.yml").read_text()


def test_a_folder_of_a_rasa_project_is_its_files_with_examples(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, content in {
        "data/nlu.yml": "nlu:\n- intent: greet\n  examples: |\n    - hi\n    hello\nrules: []\n",
        "data/more/bye.yaml": "nlu:\n- intent: bye\n  examples: |\n    - see you\n",
        "data/stories.yml": "stories:\n- story: a\n",
        "tests/test_stories.yml": "stories:\n- story: a\n",
        ".rasa/cache.yml": "nlu: []",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    for source in (tmp_path, f"{tmp_path}/**/*.y*ml"):
        assert sorted(load_utterances(source).rows["text"]) == ["hi", "see you"]
    said = capfd.readouterr().err
    assert "nlu.yml line 5: 'hello' has no dash before it, so it is no example" in said
    (tmp_path / "data/nlu_train.yml").write_text("nlu:\n- intent: bye\n  examples: |\n    - ciao\n")
    (tmp_path / "data/nlu_test.yml").write_text("nlu:\n- intent: bye\n  examples: |\n    - bye\n")
    with pytest.raises(UserError, match="contains splits"):
        load_utterances(tmp_path)
    (tmp_path / "data/a.conll").write_text(CONLL)
    with pytest.raises(UserError, match="files of several formats"):
        load_utterances(tmp_path)


@pytest.mark.parametrize("name", ["nlu.yml", "a.conll", "a.csv"])
def test_pointers_and_other_encodings_are_named(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 3\n")
    with pytest.raises(UserError, match=f"{name}: a Git LFS pointer"):
        load_utterances(path)
    path.write_bytes("annotated,domain,intent\ncafé,b,c\n".encode("cp1252"))
    with pytest.raises(UserError, match=f"{name} line 2: not UTF-8.*CP1252"):
        load_utterances(path)


def test_a_hugging_face_dataset_with_class_names(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {
            "id": datasets.Value("string"),
            "utt": datasets.Value("string"),
            "annot_utt": datasets.Value("string"),
            "scenario": datasets.ClassLabel(names=["social", "alarm"]),
            "intent": datasets.ClassLabel(names=["social_post", "alarm_set"]),
        }
    )
    columns = {
        "id": ["3"],
        "utt": ["at nine"],
        "annot_utt": ["at [time : nine]"],
        "scenario": [1],
        "intent": [1],
    }
    datasets.Dataset.from_dict(columns, features).save_to_disk(str(tmp_path / "massive"))
    (row,) = utterances(load_utterances(tmp_path / "massive").rows)
    assert row == Utterance("at nine", "alarm", "set", (Slot(3, 7, "time"),), "", "3")


BAD = [
    ("wake me at [time : nine am", "never closed"),
    ("wake me at time : nine am]", "closes no bracket"),
    ("wake me [time : at [time : nine] am]", "overlap"),
    ("wake me at [nine am]", r"is not \[label : value\]"),
    ("wake me at [time : ]", r"is not \[label : value\]"),
    ("wake me at [ti me : nine]", "slot label 'ti me'"),
    ("wake me at [time : nin]eam", "not aligned"),
    ("", "no text"),
    ("wake \u2028me", "ok"),
]


@pytest.mark.parametrize(("annotated", "problem"), BAD)
def test_a_bad_row_is_named_and_refused_or_passed_over(annotated: str, problem: str, tmp_path: Path) -> None:
    good = {"annotated": "stop", "domain": "music", "intent": "stop"}
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in (good, {**good, "annotated": annotated})))
    if problem == "ok":
        assert load_utterances(path).rows["text"].to_list() == ["stop", "wake me"]
        return
    with pytest.raises(UserError, match=rf"rows\.jsonl line 2: .*{problem}.*--skip-bad"):
        load_utterances(path)
    read = load_utterances(path, skip_bad=True)
    assert read.rows.height == 1
    assert len(read.skipped) == 1 and re.search(f"line 2: .*{problem}", read.skipped[0])


@pytest.mark.parametrize("name", ["annotated", "domain", "intent", "id", "source", "utterance"])
@pytest.mark.parametrize("value", [["stop"], [], {"stop": 1}, True, "st\ud800op"])
def test_a_row_with_something_else_than_text_is_refused_or_passed_over(
    name: str, value: object, tmp_path: Path
) -> None:
    good = {"annotated": "stop", "domain": "music", "intent": "stop"}
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(good) + "\n" + json.dumps(good | {name: value}))
    with pytest.raises(UserError, match=r"line 2: .*(not text|control character|not aligned)"):
        load_utterances(path)
    assert load_utterances(path, skip_bad=True).rows["text"].to_list() == ["stop"]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("rows.csv", "annotated,domain,intent\rstop,music,stop", "bare carriage return"),
        ("rows.csv", "x" * 200_000, "are those of no format"),
        ("rows.jsonl", "[" * 100_000, "are those of no format"),
        (
            "rows.jsonl",
            '{"annotated": "a", "domain": "b", "intent": "c"}\n' + "[" * 100_000,
            "line 2: broken JSON",
        ),
    ],
)
def test_a_file_without_columns_is_refused(name: str, content: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content, newline="")
    with pytest.raises(UserError, match=problem):
        load_utterances(tmp_path / name)


def test_overlapping_entities_and_tokens_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "slurp.jsonl"
    for change, problem in (
        ({"entities": [{"span": [2, 3], "type": "a"}, {"span": [3], "type": "b"}]}, "overlaps slot 'a'"),
        ({"entities": [{"span": [2, 9], "type": "a"}]}, "not in the sentence side by side"),
        ({"entities": [{"span": ["2"], "type": "a"}]}, "not in the sentence side by side"),
        ({"entities": [{"type": "a"}]}, "has no 'span'"),
        ({"entities": [{"span": [2]}]}, "has no 'type'"),
        ({"entities": "none"}, "'entities' holds 'none', not a list"),
        ({"entities": ["none"]}, "'none' has no 'span'"),
        ({"tokens": "event reminder mona Tuesday"}, "'tokens' holds 'event .*', not a list"),
        ({"action": ["set"]}, "'action' holds .*, not text"),
        ({"tokens": [{"id": 0}]}, "has no 'surface'"),
        ({"sentence": "event reminder Moana Tuesday"}, "'mona' does not stand in the text"),
        ({"sentence": SLURP["sentence"] + " noon"}, "no token for 'noon'"),
    ):
        path.write_text(json.dumps(SLURP | change) + "\n" + json.dumps(SLURP))
        with pytest.raises(UserError, match=f"line 1: .*{problem}"):
            load_utterances(path)
        read = load_utterances(path, skip_bad=True)
        assert read.rows.height == len(read.skipped) == 1


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (CONLL.replace("B-time", "I-time"), "line 1: tag 'I-time' continues no slot"),
        (CONLL.replace("B-time", "time"), "is not O, B-label or I-label"),
        (CONLL.replace("nine\tCD\tB-time", "nine"), "line 5 has no tag column"),
        (CONLL.replace("# domain = alarm\n", ""), "no domain"),
        ("# text = wake up\n" + CONLL, "not aligned"),
    ],
)
def test_bad_token_columns(content: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.conll"
    path.write_text(content)
    with pytest.raises(UserError, match=problem):
        load_utterances(path)


@pytest.mark.parametrize(
    ("example", "problem"),
    [
        ("[nine am](time", "broken brackets"),
        ("[nine am]{x", "broken brackets"),
        ("[](time) x", "is not"),
        ('[x]{"value": "time"}', "is not"),
    ],
)
def test_bad_rasa_examples_have_their_line(example: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "nlu.yml"
    path.write_text(RASA.replace("wake me at [nine am](time)", example))
    with pytest.raises(UserError, match=f"nlu.yml line 5: .*{problem}"):
        load_utterances(path)
    assert len(load_utterances(path, skip_bad=True).skipped) == 1


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        ("- intent: a/b\n  examples: {x: y}", "line 3: no text"),
        ("- intent: a/b\n  examples:\n  - text: [x]", "line 4: no text"),
        ("- intent: a/b\n  examples:\n  - {x: y}", "line 4: no text"),
        ("- intent: [a/b]\n  examples: x", "line 3: no intent"),
    ],
)
def test_lists_and_mappings_in_the_place_of_text_in_a_rasa_file(
    block: str, problem: str, tmp_path: Path
) -> None:
    path = tmp_path / "nlu.yml"
    path.write_text(f"nlu:\n{block}\n- intent: a/c\n  metadata: {{source: [x]}}\n  examples: stop\n")
    with pytest.raises(UserError, match=f"nlu.yml {problem}"):
        load_utterances(path)
    read = load_utterances(path, skip_bad=True)
    assert len(read.skipped) == 1 and read.rows.select("intent", "source").rows() == [("c", "")]


def test_a_rasa_file_with_two_lists_of_examples_loses_none(tmp_path: Path) -> None:
    (tmp_path / "nlu.yml").write_text(RASA + "nlu:\n- intent: a/b\n  examples: |\n    - x\n")
    with pytest.raises(UserError, match=r"nlu\.yml: has the key 'nlu' twice"):
        load_utterances(tmp_path / "nlu.yml")


def test_labels_that_training_rows_do_not_have(tmp_path: Path) -> None:
    known = labels_of(as_table([Utterance("at nine", "alarm", "set", (Slot(3, 7, "time"),))]))
    path = tmp_path / "test.jsonl"
    for row, problem in (
        (
            {"annotated": "at [time : nine]", "domain": "alarms", "intent": "set"},
            "unknown domain 'alarms'; did you",
        ),
        (
            {"annotated": "at [time : nine]", "domain": "alarm", "intent": "get"},
            "unknown intent 'get' of domain 'alarm'",
        ),
        ({"annotated": "at [date : nine]", "domain": "alarm", "intent": "set"}, "unknown slot label 'date'"),
    ):
        path.write_text(json.dumps(row))
        with pytest.raises(UserError, match=problem):
            load_utterances(path, known=known)


def test_what_a_format_cannot_hold_is_not_written(tmp_path: Path) -> None:
    row = Utterance("a [b] c", "x", "y", (), "", "1")
    two = Utterance("a b", "x", "y", (Slot(0, 1, "t"), Slot(2, 3, "t")), "", "1")
    cases = (
        ("brackets", row, ".jsonl"),
        ("rasa", Utterance("a [b](c)", "x", "y", (), "", "1"), ".yml"),
        ("rasa", Utterance("a b", "x/y", "z", (), "", "1"), ".yml"),
        ("pipe", two, ".jsonl"),
        ("brackets", two, ".csv"),
    )
    for form, bad, ending in cases:
        path = tmp_path / f"out{ending}"
        with pytest.raises(UserError):
            save_utterances(as_table([bad]), path, form=form)
        assert not path.exists()


def test_ids_that_repeat_are_made_anew() -> None:
    rows = [
        Utterance("a", "x", "y", id="1"),
        Utterance("b", "x", "y", id="1"),
        Utterance("c", "x", "y", id="2"),
    ]
    ids = as_table(rows)["id"].to_list()
    assert len(set(ids)) == 3 and ids[2] == "2" and "1" not in ids


@pytest.mark.data
def test_hwu64_is_read_whole_and_slurp_but_for_rows_that_are_not_aligned(shared_data: Path) -> None:
    train = load_utterances(shared_data / "hwu64" / "train.jsonl")
    assert train.rows.height == 9960 and len(train.rows["domain"].unique()) == 18
    plain = pl.read_ndjson(shared_data / "hwu64" / "train.jsonl")["utterance"]
    assert (train.rows["text"] == plain.str.replace_all(r"\s+", " ").str.strip_chars()).all()
    read = load_utterances(shared_data / "slurp" / "test.jsonl", skip_bad=True)
    assert read.rows.height + len(read.skipped) == 2974 and len(read.skipped) == 11
    assert all("not aligned" in line for line in read.skipped)


def test_parsers_refuse_what_they_cannot_read() -> None:
    with pytest.raises(BadRow):
        brackets.parse("]")
    with pytest.raises(BadRow):
        rasa.parse("[x](")

"""The demo's data: its documented properties hold for any seed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import unicodedata
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hassil.intents import Intents, TextSlotList
from hassil.recognize import recognize_all
from home_assistant_intents import get_intents

from thresher.demo import DemoFiles, generate
from thresher.demo.slots import AREAS, FLOORS, LIGHTS_WITHOUT_THE_WORD, NAMES
from thresher.errors import UserError

SEEDS = (0, 1, 7)


def lines(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module", params=SEEDS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> DemoFiles:
    return generate(tmp_path_factory.mktemp("demo"), seed=request.param)


@pytest.fixture(scope="module")
def train(made: DemoFiles) -> list[dict[str, str]]:
    return lines(made.train)


@pytest.fixture(scope="module")
def test(made: DemoFiles) -> list[dict[str, str]]:
    return lines(made.test)


@pytest.fixture(scope="module")
def planted(made: DemoFiles) -> list[dict[str, str]]:
    return lines(made.planted)


@pytest.fixture(scope="module")
def truth(train: list[dict[str, str]], planted: list[dict[str, str]]) -> dict[str, str]:
    """The true intent of every train row."""
    return {row["id"]: row["intent"] for row in train} | {row["id"]: row["true"] for row in planted}


def normal(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def test_sizes_and_columns(train: list[dict[str, str]], test: list[dict[str, str]]) -> None:
    assert 3000 <= len(train) <= 6000
    assert 3000 <= len(test) <= 4000
    for rows in (train, test):
        assert {tuple(row) for row in rows} == {("id", "text", "intent", "domain", "template")}
    assert len({row["id"] for row in train + test}) == len(train) + len(test)


def test_no_text_of_the_test_set_is_in_train_and_its_templates_are(
    train: list[dict[str, str]], test: list[dict[str, str]]
) -> None:
    texts = [normal(row["text"]) for row in train + test]
    assert len(set(texts)) == len(texts)
    known = {row["template"] for row in train}
    assert sum(row["template"] in known for row in test) >= 0.95 * len(test)


def test_every_intent_of_the_test_set_is_learned_from_several_templates(
    train: list[dict[str, str]], test: list[dict[str, str]], truth: dict[str, str]
) -> None:
    templates = defaultdict(set)
    for row in train:
        templates[truth[row["id"]]].add(row["template"])
    assert {row["intent"] for row in test} == set(templates) == {row["intent"] for row in train}
    assert min(len(of_intent) for of_intent in templates.values()) >= 2


def test_no_intent_and_no_template_dominates(
    train: list[dict[str, str]], test: list[dict[str, str]], truth: dict[str, str]
) -> None:
    per_intent = Counter(truth[row["id"]] for row in train)
    assert len(per_intent) >= 25
    assert max(per_intent.values()) <= 120
    assert min(per_intent.values()) >= 40
    assert max(Counter(row["intent"] for row in test).values()) <= 120


def test_four_per_cent_of_the_train_labels_are_redrawn_and_the_truth_is_elsewhere(
    train: list[dict[str, str]], planted: list[dict[str, str]]
) -> None:
    given = {row["id"]: row["intent"] for row in train}
    redrawn, as_before = 0.04 * len(train), 1 / len(set(given.values()))
    spread = (redrawn * as_before * (1 - as_before)) ** 0.5
    assert abs(len(planted) - redrawn * (1 - as_before)) <= 4 * spread
    for row in planted:
        assert set(row) == {"id", "given", "true"}
        assert row["given"] == given[row["id"]] != row["true"]
        assert row["true"] in given.values()
    # The wrong labels are spread over the classes, not heaped on one.
    assert max(Counter(row["given"] for row in planted).values()) <= 0.1 * len(planted)


def test_the_sentences_read_like_sentences(train: list[dict[str, str]], test: list[dict[str, str]]) -> None:
    for row in train + test:
        text = row["text"]
        assert not set(text) & set("{}<>[]()|;:\n\t_"), text
        assert text == " ".join(text.split()), text
        assert not any(unicodedata.category(letter).startswith("C") for letter in text), text
        assert text.replace(" I ", " i ") == text.lower(), text
        assert not re.search(r"(light|lamp)s? (light|lamp)", text), text


def test_hassil_recognises_the_sentences_as_their_intent(
    train: list[dict[str, str]], test: list[dict[str, str]], truth: dict[str, str]
) -> None:
    """The recogniser of Home Assistant, which knows nothing of the sampling, finds the true intent."""
    intents = Intents.from_dict(get_intents("en"))
    names = [(name, name, {"domain": domain}) for domain, of_domain in NAMES.items() for name in of_domain]
    names += [(name, name, {"domain": "light"}) for name in LIGHTS_WITHOUT_THE_WORD]
    slots = {
        "name": TextSlotList.from_tuples(names),
        "area": TextSlotList.from_strings(AREAS),
        "floor": TextSlotList.from_strings(FLOORS),
    }
    for row in [*train[:100], *test[:100]]:
        found = recognize_all(
            row["text"], intents, slot_lists=slots, intent_context={"area": "kitchen"}, language="en"
        )
        assert truth.get(row["id"], row["intent"]) in {result.intent.name for result in found}, row


def test_the_same_seed_gives_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    """Also with another hash seed, so no order hangs on a set."""
    here = generate(tmp_path / "here", seed=3)
    code = "import pathlib, sys, thresher.demo as demo; demo.generate(pathlib.Path(sys.argv[1]), seed=3)"
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "there")], check=True, env={"PYTHONHASHSEED": "12345"}
    )
    for path in (here.train, here.test, here.planted):
        assert path.read_bytes() == (tmp_path / "there" / path.name).read_bytes()
    other = generate(tmp_path / "other", seed=4)
    assert other.train.read_bytes() != here.train.read_bytes()


@pytest.mark.parametrize("package", ["hassil", "home_assistant_intents"])
def test_without_the_demo_extra_there_is_one_line_with_the_remedy(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.delitem(sys.modules, "thresher.demo.templates")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=re.escape('pip install "thresher[demo]"')) as error:
        generate(tmp_path / "demo")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "demo").exists()


def test_a_folder_that_cannot_be_written_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot be written"):
        generate(tmp_path / "file")

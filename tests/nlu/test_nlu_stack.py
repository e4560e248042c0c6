"""The stack: it learns, answers with a path, is saved and loaded, and resumes; small domains work."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
import yaml
from toy import toy_config, toy_rows, utterance

from thresher.config import ModelConfig
from thresher.errors import UserError
from thresher.models.tokens import pad_batch
from thresher.nlu.rows import Slot, as_table, labels_of
from thresher.nlu.stack.answer import answer
from thresher.nlu.stack.build import train_one, train_stack
from thresher.nlu.stack.config import stack_config
from thresher.nlu.stack.encode import IGNORED, encode, joint_labels
from thresher.nlu.stack.evaluate import evaluate
from thresher.nlu.stack.folder import load_stack, settings_of
from thresher.nlu.stack.joint import freshly
from thresher.nlu.stack.rules import Rules, by_rule, read_rules
from thresher.nlu.stack.train import train_domain, train_joint
from tiny import tiny_model, tokenizer_of

TEMPLATES = """
intents:
  home/on:
    data:
      - sentences: ["(turn|switch) on [the] {room}"]
lists:
  room:
    wildcard: true
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stack")
    (folder / "templates.yaml").write_text(TEMPLATES)
    exact = as_table([utterance("play the weather", "weather", "query")])
    return train_stack(
        toy_rows(),
        folder / "out",
        toy_config(folder),
        exact=exact,
        templates=folder / "templates.yaml",
        workers=1,
    )


def test_it_learns_its_rows_by_every_metric(stack: Path) -> None:
    # Without its rules: the template takes "light in the kitchen" for a room.
    found = evaluate(replace(load_stack(stack), rules=Rules()), toy_rows(1))
    assert found["metrics"]["slot F1"] == 1.0
    assert {name: rate for name, rate in found["metrics"].items() if name != "slot F1"} == dict.fromkeys(
        ("DCER", "ICER", "SEMER", "F-SEMER", "IRER"), 0.0
    )
    assert found["paths"] == {"models": 8}
    assert found["domains"]["weather"]["n"] == 1 and found["unknown_labels"] == 0


def test_the_path_and_the_confidences_are_part_of_the_answer(stack: Path) -> None:
    said = answer(
        load_stack(stack),
        ["Play the weather", "switch on the dark kitchen", "what is the weather", "play some alarm"],
    )
    assert said["path"].to_list() == ["exact", "template", "models", "models"]
    assert said["domain"].to_list() == ["weather", "home", "weather", "music"]
    assert said["slots"].to_list()[1] == [{"start": 14, "end": 26, "label": "room"}]
    assert said["slots"].to_list()[3] == [{"start": 10, "end": 15, "label": "what"}]
    sure = said.select("domain_confidence", "intent_confidence", "slot_confidence")
    assert (sure[:2].to_numpy() == 1).all() and (sure.to_numpy() <= 1).all() and (sure.to_numpy() > 0.3).all()


def test_below_a_threshold_nothing_is_answered(stack: Path) -> None:
    text = ["play some alarm"]
    none = answer(load_stack(stack, domain_threshold=1.0), text).row(0, named=True)
    assert (none["path"], none["domain"], none["intent"], none["likeliest"]) == (
        "no domain",
        None,
        None,
        "music",
    )
    assert none["slots"] == [] and none["domain_confidence"] < 1
    half = answer(load_stack(stack, intent_threshold=1.0), ["set the kitchen"]).row(0, named=True)
    assert (half["path"], half["domain"], half["intent"], half["slots"]) == ("no intent", "home", None, [])


def test_an_answer_does_not_depend_on_the_other_texts(stack: Path) -> None:
    loaded = load_stack(stack)
    texts = [
        "play some alarm",
        "turn on the light in the kitchen",
        "set the light",
        "what is the weather in kitchen",
    ]
    together = answer(loaded, texts)
    for at, text in enumerate(texts):
        alone = answer(loaded, [text])
        assert alone.drop("domain_confidence", "intent_confidence", "slot_confidence").equals(
            together[at].drop("domain_confidence", "intent_confidence", "slot_confidence")
        )
        names = ["domain_confidence", "intent_confidence", "slot_confidence"]
        assert np.allclose(alone.select(names).to_numpy(), together[at].select(names).to_numpy(), atol=1e-5)


def test_loaded_again_and_moved_it_answers_the_same_bytes(stack: Path, tmp_path: Path) -> None:
    texts = toy_rows(1)["text"].to_list()
    before = answer(load_stack(stack), texts)
    shutil.copytree(stack, tmp_path / "moved")
    assert answer(load_stack(tmp_path / "moved"), texts).equals(before)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"domain_threshold": 2}, "setting 'domain_threshold': .* less than or equal to 1 .got 2"),
        ({"of_a_later_version": 1}, "setting 'of_a_later_version': extra inputs"),
        (None, "settings or labels are missing"),
    ],
)
def test_an_impossible_setting_in_stack_yaml_is_named(
    change: dict[str, Any] | None, problem: str, stack: Path, tmp_path: Path
) -> None:
    facts = yaml.safe_load((stack / "stack.yaml").read_text())
    facts["config"] = None if change is None else facts["config"] | change
    wrong = facts | ({"intents": []} if change is None else {})
    (tmp_path / "stack.yaml").write_text(yaml.safe_dump(wrong))
    with pytest.raises(UserError, match=rf"stack\.yaml: {problem}"):
        load_stack(tmp_path)


def test_a_file_of_settings_may_name_options_of_a_diet(tmp_path: Path) -> None:
    file = tmp_path / "stack.yaml"
    file.write_text("seed: 3\ndomain: {diet: infobatch, diet_options: {r: 0.7}}\n")
    config = stack_config({"domain.epochs": 2}, file)
    assert (config.seed, config.domain.diet_options, config.domain.epochs) == (3, {"r": 0.7}, 2)


def test_a_finished_model_is_not_retrained_and_a_missing_one_is_retrained_to_the_same_weights(
    stack: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(stack, copy)
    names = sorted(path.name for path in (copy / "models").iterdir())
    assert names == ["00-home", "01-music", "domain"]  # weather has one intent and no slot
    weights = {name: (copy / "models" / name / "model.safetensors").read_bytes() for name in names}
    shutil.rmtree(copy / "models" / "00-home")
    stamp = (copy / "models" / "01-music" / "done.json").stat().st_mtime_ns
    with pytest.raises(
        UserError, match=r"training is not finished \(home is missing\); run `thresher nlu train` again"
    ):
        load_stack(copy)
    train_one(copy, "home")
    assert (copy / "models" / "01-music" / "done.json").stat().st_mtime_ns == stamp
    assert {name: (copy / "models" / name / "model.safetensors").read_bytes() for name in names} == weights


@pytest.mark.parametrize("first", [True, False])
def test_a_stack_resumed_on_another_processor_keeps_its_precision(
    tmp_path: Path, processor: Callable[..., None], first: bool
) -> None:
    few = {"domain.max_steps": 2, "joint.max_steps": 2, "domain.bf16": "auto", "joint.bf16": "auto"}
    processor(amx_bf16=first)
    folder = train_stack(toy_rows(1), tmp_path / "S", toy_config(tmp_path, **few), workers=1)
    domain = folder / "models" / "domain"
    before = {file.name: file.read_bytes() for file in domain.iterdir() if file.suffix == ".safetensors"}
    shutil.rmtree(domain)
    processor(amx_bf16=not first)
    train_stack(toy_rows(1), folder, toy_config(tmp_path, **few, domain_threshold=0.5), workers=1)
    config, _ = settings_of(folder)
    assert (config.domain.bf16, config.joint.bf16, config.domain_threshold) == (first, first, 0.5)
    assert before and before == {name: (domain / name).read_bytes() for name in before}


def test_another_stack_in_the_folder_and_damage_are_refused(stack: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(stack, copy)
    with pytest.raises(
        UserError,
        match="holds a stack of other rows or settings; choose another --out, or give --force to start over",
    ):
        train_stack(toy_rows(2), copy, toy_config(stack.parent))
    file = copy / "models" / "domain" / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"model\.safetensors: cannot be read"):
        load_stack(copy)
    with pytest.raises(UserError, match="not a stack folder"):
        load_stack(tmp_path)
    for name in ("tokenizer*", "config.json"):
        again = Path(shutil.copytree(stack, tmp_path / f"without {name[:5]}"))
        for gone in (again / "encoder").glob(name):
            gone.unlink()
        with pytest.raises(
            UserError, match="the encoder's configuration or tokenizer is missing; train the stack again"
        ):
            load_stack(again)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("dear")
    with pytest.raises(UserError, match=r"has files but no stack\.yaml; choose another --out"):
        train_stack(toy_rows(1), tmp_path / "other", toy_config(stack.parent))


def test_rows_with_nothing_to_learn_are_refused(tmp_path: Path) -> None:
    rows = as_table([utterance("what is the weather", "weather", "query", number=at) for at in range(3)])
    with pytest.raises(
        UserError,
        match="the rows have one domain, one intent and no slots, so there is nothing to train; add labels",
    ):
        train_stack(rows, tmp_path / "out", toy_config(tmp_path))
    assert not (tmp_path / "out").exists()


def test_a_single_domain_needs_no_classifier(tmp_path: Path) -> None:
    rows = toy_rows(1).filter(domain="home")
    folder = train_stack(rows, tmp_path / "out", toy_config(tmp_path), workers=1)
    assert [path.name for path in (folder / "models").iterdir()] == ["00-home"]
    said = answer(load_stack(folder), ["set the kitchen"]).row(0, named=True)
    assert said["domain"] == "home" and said["domain_confidence"] == 1.0


@pytest.mark.parametrize("kind", ["bert", "roberta", "gpt2"])
def test_labels_are_at_the_first_token_of_every_word(kind: str) -> None:
    tokenizer = tokenizer_of(kind)
    encoded = encode(["play some music", "turn on"], tokenizer, 64)
    ids = [[int(encoded.tokens.ids[row][at]) for at in encoded.first[row]] for row in range(2)]
    assert ids == [tokenizer.convert_tokens_to_ids(text.split()) for text in ("play some music", "turn on")]
    labels = joint_labels(encoded, [4, 5], [[1, 2, 3], [6, 7]])
    assert labels[:, 0].tolist() == [4, 5]
    assert [label for label in labels[0, 1:] if label != IGNORED] == [1, 2, 3]
    assert [label for label in labels[1, 1:] if label != IGNORED] == [6, 7]


def test_words_of_several_tokens_and_words_cut_off() -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pieces = {"[UNK]": 0, "un": 1, "##able": 2, "play": 3, "##er": 4}
    raw = Tokenizer(models.WordPiece(pieces, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="[UNK]")
    encoded = encode(["player unable play"], tokenizer, 4)
    assert [position.tolist() for position in encoded.first] == [[0, 2]]
    assert len(encoded.spans[0]) == 3


def test_training_only_the_used_token_rows_gives_the_same_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from contextlib import nullcontext

    from thresher.training import fit

    rows = toy_rows(1).filter(domain="home")
    labels = labels_of(rows)
    config = toy_config(tmp_path, **{"joint.max_steps": 5})
    trimmed, _ = train_joint(rows, labels, "home", config, tmp_path / "a")
    monkeypatch.setattr(fit, "trimmed_vocabulary", lambda model, tokens, decay: nullcontext((tokens, dict)))
    whole, _ = train_joint(rows, labels, "home", config, tmp_path / "b")
    for (name, one), other in zip(trimmed.state_dict().items(), whole.state_dict().values(), strict=True):
        assert torch.allclose(one, other, atol=1e-5), name


def test_a_trained_model_is_back_on_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from thresher.nlu.stack import train

    def fit(model: Any, *rest: Any) -> None:
        # Stands for a training on another device, which leaves the model there.
        model.to("meta")
        model.cpu = lambda: "back"

    monkeypatch.setattr(train, "fit", fit)
    rows, config = toy_rows(1), toy_config(tmp_path)
    labels, home = labels_of(rows), rows.filter(domain="home")
    assert train_domain(rows, list(labels.intents), config, tmp_path / "a")[0] == "back"
    assert train_joint(home, labels, "home", config, tmp_path / "b")[0] == "back"


def test_the_loss_is_the_sum_of_both_cross_entropies_and_blind_to_padding(tmp_path: Path) -> None:
    from transformers import AutoModel

    encoder = AutoModel.from_pretrained(tiny_model("bert", tmp_path / "m"))
    model = freshly(encoder, 3, 5, ModelConfig(head_hidden=(8,), dropout=0.0), seed=0).eval()
    encoded = encode(["play some music", "turn on the light in the kitchen"], tokenizer_of("bert"), 64)
    labels = torch.from_numpy(joint_labels(encoded, [2, 0], [[0, 1, 2], [0, 0, 0, 3, 0, 0, 4]]))
    batch = pad_batch(encoded.tokens, [0, 1])
    output = model(**batch, labels=labels)
    intent = -torch.log_softmax(output["intent"], 1)[[0, 1], [2, 0]].mean()
    picked = [
        -torch.log_softmax(output["tags"][row, position], 0)[tag]
        for row, tags in enumerate(([0, 1, 2], [0, 0, 0, 3, 0, 0, 4]))
        for position, tag in zip(encoded.first[row], tags, strict=True)
    ]
    assert torch.allclose(output["loss"], intent + torch.stack(picked).mean(), atol=1e-6)
    alone = model(**pad_batch(encoded.tokens, [0]))
    assert torch.allclose(alone["tags"][0], output["tags"][0, : alone["tags"].shape[1]], atol=1e-5)


def test_frozen_layers_stay_as_pretrained(tmp_path: Path) -> None:
    rows = toy_rows(1).filter(domain="home")
    config = toy_config(tmp_path, **{"joint.max_steps": 3, "joint_frozen_layers": 1})
    from thresher.models.encoder import load_encoder

    before = load_encoder(config.model)[0].state_dict()
    after = train_joint(rows, labels_of(rows), "home", config, tmp_path / "a")[0].encoder.state_dict()
    changed = {
        name.split(".layer.")[-1].split(".")[0]
        for name in before
        if not torch.equal(before[name], after[name])
    }
    assert changed == {"1"}


def test_rules() -> None:
    row = utterance("wake me at NINE", "alarm", "set", "NINE", "time")
    rules = read_rules(as_table([row]))
    found = by_rule(rules, "  wake me  at nine ")
    assert found is not None and (found.path, found.slots) == ("exact", (Slot(11, 15, "time"),))
    assert by_rule(rules, "wake me") is None
    with pytest.raises(UserError, match="two answers"):
        read_rules(as_table([row, utterance("wake me at nine", "alarm", "get", number=1)]))


def test_broken_templates_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    for content, problem in (
        ("intents: {on: {data: [{sentences: [x]}]}}", "names no domain"),
        ("intents: [", "not sentence templates"),
        ("intents: {a/b: {data: [{sentences: ['(turn']}]}}", "not sentence templates"),
        (
            "intents: {a/b: {data: [{sentences: ['in {area}']}]}}",
            "'a/b' uses {area}, which is not defined under lists",
        ),
        (
            "intents: {a/b: {data: [{sentences: ['[<greet>] you']}]}}",
            "'a/b' uses <greet>, which is not defined under expansion_rules",
        ),
    ):
        path.write_text(content)
        with pytest.raises(UserError, match=problem):
            read_rules(templates=path)


def test_test_rows_with_labels_unknown_to_the_stack_count_as_errors(stack: Path) -> None:
    rows = pl.concat(
        [toy_rows(1).filter(domain="weather"), as_table([utterance("play some music", "radio", "on")])]
    )
    found = evaluate(load_stack(stack), rows)
    assert found["unknown_labels"] == 1 and found["metrics"]["DCER"] == 0.5


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"domain.schedule": "nope"}, "domain.schedule: unknown schedule 'nope'; supported are"),
        ({"joint.report_to": ("nope",)}, "joint.report_to: 'nope' is no logger"),
        ({"joint.diet": "nope"}, "joint.diet: unknown diet 'nope'"),
        (
            {"joint.diet": "infobatch"},
            "weighs rows by a single loss, and the joint models have two; use another diet",
        ),
        ({"domain.seed": 7}, "domain.seed has no effect in a stack: all trainings use its seed; set seed"),
        ({"joint.runs": 3}, "joint.runs has no effect in a stack: each model is trained once; leave it out"),
        ({"model.freeze": True, "joint_frozen_layers": 1}, "leave joint_frozen_layers at 0"),
    ],
)
def test_an_impossible_recipe_is_refused_before_there_is_a_folder(
    settings: dict[str, Any], says: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=says):
        train_stack(toy_rows(1), tmp_path / "out", toy_config(tmp_path, **settings), workers=1)
    assert not (tmp_path / "out").exists()


def test_bytes_of_another_encoding_are_one_line(stack: Path) -> None:
    with pytest.raises(UserError, match="is not valid Unicode"):
        answer(load_stack(stack), ["caf\udce9 time"])

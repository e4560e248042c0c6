"""`run.yaml`: it is read back unchanged; invalid content is refused in one line; a command reads it once or twice."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import thresher as th
from bare_run import CONFIG, bare_run
from thresher.cli import main
from thresher.errors import UserError
from thresher.run import Run
from thresher.run.files import digest
from thresher.run.manifest import HeldOut, Manifest, Recorded, checksum, read_manifest, write_manifest
from tiny import tiny_model

RECORDED = Recorded(trainer="T", model="M", name="n", epochs=1.5, batch_size=8, processes=2, seed=3)
HELD_OUT = HeldOut(rows=2, share=0.2, too_small=("y",))
WHOLE = bare_run(Path("RUN"), recorded=RECORDED, held_out=HELD_OUT, versions={"python": "3.11"}).manifest
# Run.yaml as plain values; every optional part of it is there.
PLAIN: dict[str, Any] = {**WHOLE.model_dump(mode="json"), "checksum": checksum(WHOLE)}
SECTIONS = [name for name in PLAIN["config"] if isinstance(PLAIN["config"][name], dict)]
# What no setting takes: a mapping of a kind that there is nowhere.
STRANGE = {"strange": {"strange": [{}]}}

Place = tuple[str, ...]


def places(values: dict[str, Any], before: Place = ()) -> Iterator[Place]:
    """Every field, sections too; what is inside a mapping of names to values is not a field."""
    for name, value in values.items():
        yield (*before, name)
        if isinstance(value, dict) and name not in ("versions", "options", "diet_options"):
            yield from places(value, (*before, name))


FIELDS = sorted(places(PLAIN))


def with_value(place: Place, value: Any) -> dict[str, Any]:
    """The plain values, with another one at a place."""
    changed = copy.deepcopy(PLAIN)
    inside = changed
    for name in place[:-1]:
        inside = inside[name]
    inside[place[-1]] = value
    return changed


def without(place: Place) -> dict[str, Any]:
    changed = copy.deepcopy(PLAIN)
    inside = changed
    for name in place[:-1]:
        inside = inside[name]
    del inside[place[-1]]
    return changed


def refusal(folder: Path, content: str | bytes) -> str:
    """What is said of a run folder whose run.yaml has this content, which must be refused in one line."""
    path = folder / "run.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError) as refused:
        Run.open(folder)
    said = str(refused.value)
    assert "\n" not in said and said.startswith((f"{path}: ", f"{folder}: ")), said
    return said


@pytest.mark.parametrize("place", FIELDS, ids=".".join)
def test_a_field_of_the_wrong_type_is_named(place: Place, tmp_path: Path) -> None:
    said = refusal(tmp_path, json.dumps(with_value(place, STRANGE)))
    if place == ("format",):
        assert (
            said == f"{tmp_path}: run folder of format {STRANGE}, this version reads 3; start over with --out"
        )
        return
    if place == ("checksum",):
        assert "edited after the run was started" in said
        return
    # Of a section it is the setting in it that is not known; a section of the config is named without "config".
    assert ".".join(place).removeprefix("config.") in said or place == ("config",)


@pytest.mark.parametrize("place", FIELDS, ids=".".join)
def test_a_field_of_any_value_is_read_or_refused_in_one_line(place: Place, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    for value in (None, -1, 0.5, True, "", "nonsense", [], [None], [[1]], {}, {"a": None}, 10**400):
        path.write_text(json.dumps(with_value(place, value)))
        try:
            found = read_manifest(tmp_path)
        except UserError as refused:
            assert "\n" not in str(refused) and str(refused).startswith((f"{path}: ", f"{tmp_path}: "))
        else:
            assert isinstance(found, Manifest)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("source", "proxy"),
        ("recorded", None),
        ("recorded.trainer", "Other"),
        ("key", "l"),
        ("rows_hash", "s"),
        ("test_hash", None),
        ("n_rows", 7),
        ("n_test", 3),
        ("held_out", None),
        ("held_out.rows", 3),
        ("classes", ["x", "y", "z"]),
        ("checksum", "0"),
        ("config.data.text", ["other"]),
        ("config.data.label", "other"),
        ("config.data.groups", ["other"]),
        ("config.data.id", "other"),
        ("config.model.name", "other"),
        ("config.model.freeze", True),
        ("config.train.epochs", 4),
        ("config.train.seed", 1),
        ("config.train.bf16", True),
        ("config.proxy.encoder", "frozen"),
    ],
)
def test_settings_that_determine_the_files_of_the_run_may_not_be_edited(
    place: str, value: Any, tmp_path: Path
) -> None:
    assert refusal(tmp_path, json.dumps(with_value(tuple(place.split(".")), value))) == (
        f"{tmp_path}/run.yaml: the rows, the classes, the model or the recipe in it were edited after the run was started;"
        " restore it or start over with --out"
    )


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("config.select.prune", 0.2),
        ("config.select.by", "el2n"),
        ("config.measure.chunk_rows", 7),
        ("config.score.options", {"vog": {"window": "late"}}),
        ("config.compare.seeds", 5),
        ("config.compare.hold_out", 0.1),
        ("config.how_much.margin", 1),
        ("config.sweep.fractions", [0.5]),
        ("config.noise.levels", [0.5]),
        ("config.train.workers", 3),
        ("config.data.train", "moved.jsonl"),
    ],
)
def test_settings_of_later_steps_may_be_edited(place: str, value: Any, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(json.dumps(with_value(tuple(place.split(".")), value)))
    found: Any = Run.open(tmp_path).manifest
    for name in place.split("."):
        found = getattr(found, name)
    assert (list(found) if isinstance(found, tuple) else found) == value


REQUIRED = [
    *(
        (name,)
        for name in PLAIN
        if name not in ("source", "recorded", "held_out", "decision", "task", "checksum")
    ),
    *(("recorded", name) for name in PLAIN["recorded"]),
    *(("held_out", name) for name in ("rows", "share")),
    *(("config", "data", name) for name in ("train", "text", "label")),
    ("config", "data"),
]


@pytest.mark.parametrize("place", REQUIRED, ids=".".join)
def test_a_field_that_is_missing_is_named(place: Place, tmp_path: Path) -> None:
    said = refusal(tmp_path, json.dumps(without(place)))
    if place == ("format",):
        assert said == f"{tmp_path}: run folder of format None, this version reads 3; start over with --out"
    elif place == ("config",):
        assert said == f"{tmp_path}/run.yaml: has no config; restore it or start over with --out"
    elif place[0] == "config":
        assert said == f"{tmp_path}/run.yaml: {'.'.join(place[1:])} is missing"
    else:
        name = ".".join(place)
        assert said == f"{tmp_path}/run.yaml: {name}: Field required; restore it or start over with --out"


@pytest.mark.parametrize("section", ["", "recorded", "config", *(f"config.{name}" for name in SECTIONS)])
def test_an_unknown_field_is_named(section: str, tmp_path: Path) -> None:
    place = (*section.split("."), "strange") if section else ("strange",)
    assert "strange" in refusal(tmp_path, json.dumps(with_value(place, 1)))


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (
            "config.select.prune",
            45,
            "select.prune must lie between 0 and 1 (got 45); for 45% give 0.45",
        ),
        ("config.train.epochs", 0, "train.epochs must be a number above 0 (got 0)"),
        ("config.train.runs", 0, "train.runs must be a whole number of at least 1 (got 0)"),
        ("config.data.text", [], "data.text must hold 1 to 2 names (got [])"),
        ("config.data.label", "text", "column 'text' is given as text and as label"),
        ("config.noise.levels", [2], "levels and fractions lie between 0 and 1 (got 2)"),
        ("config.select.end", "middle", "select.end must be 'easy' or 'hard' (got 'middle')"),
    ],
)
def test_a_setting_out_of_range_is_refused_with_the_usual_message(
    place: str, value: Any, said: str, tmp_path: Path
) -> None:
    found = refusal(tmp_path, json.dumps(with_value(tuple(place.split(".")), value)))
    assert found == f"{tmp_path}/run.yaml: {said}"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "run folder of format None, this version reads 3; start over with --out"),
        ("- 1\n", "run folder of format None, this version reads 3; start over with --out"),
        ("42\n", "run folder of format None, this version reads 3; start over with --out"),
        ("format: 2\nconfig: {}\n", "run folder of format 2, this version reads 3; start over with --out"),
        ("format: 3\n", "has no config; restore it or start over with --out"),
        ("format: 3\nconfig: []\n", "has no config; restore it or start over with --out"),
        ("train: [1\n", "broken YAML ("),
        ("a: 2026-13-45\n", "broken YAML ("),
        ("a: !!python/object:os.system {}\n", "broken YAML ("),
        ("a: *b\n", "broken YAML ("),
        (b"\xff\xfe\x00", "broken YAML ("),
        ("a: \x07\n", "broken YAML ("),
        ("{" * 5000, "broken YAML ("),
    ],
)
def test_a_file_that_is_not_a_manifest_is_refused(content: str | bytes, said: str, tmp_path: Path) -> None:
    assert said in refusal(tmp_path, content)


def test_a_folder_without_a_manifest_is_not_a_run(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(UserError) as refused:
            Run.open(folder)
        assert str(refused.value) == (
            f"{folder}: not a run folder (no run.yaml); make one with `thresher run` or `thresher train`"
        )


def test_a_folder_instead_of_run_yaml_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").mkdir()
    with pytest.raises(UserError, match=r"run\.yaml: cannot be read \(Is a directory\)$"):
        Run.open(tmp_path)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_cut_or_overwritten_file_is_read_or_refused_in_one_line(
    tmp_path: Path, data: st.DataObject
) -> None:
    write_manifest(tmp_path, WHOLE)
    path = tmp_path / "run.yaml"
    content = path.read_bytes()
    first, last = sorted(data.draw(st.tuples(*[st.integers(0, len(content))] * 2)))
    filling = data.draw(st.sampled_from([b"", b"\0", b"\xff", b":", b"[", b"'", b"\n", b"&a "])) * min(
        last - first, 9
    )
    path.write_bytes(content[:first] + filling + content[last:])
    try:
        read_manifest(tmp_path)
    except UserError as refused:
        assert "\n" not in str(refused) and str(refused).startswith((f"{path}: ", f"{tmp_path}: "))


@pytest.mark.parametrize(
    "text",
    ["plain", "schlüssel ⚡", "\x85 \u2028 \u202e", "true", "3", " ", "a: b # c", "- x", "*y", "'\"", "\t\n"],
)
def test_any_text_is_read_back_unchanged(text: str, tmp_path: Path) -> None:
    data = CONFIG.data.model_copy(update={"train": text, "label": text, "groups": (text,)})
    written = bare_run(
        tmp_path, classes=(text, "x"), config=CONFIG.model_copy(update={"data": data})
    ).manifest
    write_manifest(tmp_path, written)
    assert read_manifest(tmp_path) == written


def test_one_that_knows_of_no_held_out_rows_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Its checksum was made before there were any."""
    bare = bare_run(tmp_path).manifest.model_dump(mode="json", exclude={"held_out", "decision", "task"})
    del bare["config"]["generate"], bare["config"]["compare"]["loss_margin"]
    for name in ("task", "prompt", "completion", "messages"):
        del bare["config"]["data"][name]
    settings_then = {"thresher", "versions", "created"}
    content = {name: value for name, value in bare.items() if name not in settings_then}
    later = ("preset", "measure", "score", "select", "compare", "how_much", "sweep", "noise")
    config = {name: value for name, value in content["config"].items() if name not in later}
    config["data"] = {name: value for name, value in config["data"].items() if name not in ("train", "test")}
    config["train"] = {name: value for name, value in config["train"].items() if name != "workers"}
    del bare["config"]["compare"]["hold_out"], bare["config"]["preset"]
    former = {**bare, "checksum": digest({**content, "config": config})}
    (tmp_path / "run.yaml").write_text(json.dumps(former))
    found = read_manifest(tmp_path)
    assert found.held_out is None and found.config.compare.hold_out == "auto"


def test_a_changed_manifest_is_written_once_and_an_equal_one_not_at_all(tmp_path: Path) -> None:
    run = bare_run(tmp_path)
    write_manifest(run.folder, run.manifest)
    changed = run.with_manifest(test_hash="other", n_test=9)
    assert read_manifest(tmp_path) == changed.manifest != run.manifest
    before = (tmp_path / "run.yaml").stat().st_mtime_ns
    assert changed.with_manifest(n_test=9) == changed
    assert (tmp_path / "run.yaml").stat().st_mtime_ns == before


# -- commands on a finished run ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on a frozen encoder, and what it was made of."""
    folder = tmp_path_factory.mktemp("finished")
    tiny_model("bert", folder / "tiny")
    for name, count in (("train", 40), ("test", 20)):
        texts = [f"{('turn', 'play')[row % 2]} {name} it {row}" for row in range(count)]
        table = pl.DataFrame({"text": texts, "label": [("on", "off")[row % 2] for row in range(count)]})
        table.write_ndjson(folder / f"{name}.jsonl")
    with pytest.raises(SystemExit) as ended:
        main(whole_job(folder))
    assert ended.value.code == 0
    return folder


def whole_job(material: Path) -> list[str]:
    quick = "--freeze --epochs 2 --batch-size 8 --checkpoints 4 --set train.folds=0 --workers 1 --seeds 2 --prune 0.4"
    columns = ["--text", "text", "--label", "label", "--test", str(material / "test.jsonl")]
    place = ["--model", str(material / "tiny"), "--out", str(material / "RUN")]
    return ["run", str(material / "train.jsonl"), *columns, *place, *quick.split()]


@pytest.mark.parametrize(
    ("command", "most"),
    [
        ("run", 2),
        ("measure", 1),
        ("score", 1),
        ("select --prune 0.4", 1),
        ("compare", 1),
        ("report", 1),
        ("suspects --out OUT", 1),
    ],
)
def test_a_command_that_finds_everything_done_reads_run_yaml_once_or_twice(
    material: Path,
    command: str,
    most: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    parsed: list[str] = []
    load = yaml.load

    def counted(text: Any, loader: Any) -> Any:
        parsed.append(str(text)[:20])
        return load(text, loader)

    monkeypatch.setattr(yaml, "load", counted)
    name, *options = command.replace("OUT", str(material / "suspects.csv")).split()
    before = {path: path.read_bytes() for path in (material / "RUN").rglob("*.json") if path.is_file()}
    with pytest.raises(SystemExit) as ended:
        main(whole_job(material) if name == "run" else [name, str(material / "RUN"), *options])
    err = capsys.readouterr().err
    assert ended.value.code == 0, err
    assert 1 <= len(parsed) <= most
    after = {path: path.read_bytes() for path in (material / "RUN").rglob("*.json") if path.is_file()}
    told = {Run.open(material / "RUN").suspects_file} if name == "suspects" else set()
    assert set(after) - set(before) <= told
    assert {path: after[path] for path in before} == before, "nothing was done again"


def test_settings_of_a_command_are_its_options_over_run_yaml_and_are_not_remembered(material: Path) -> None:
    run = Run.open(material / "RUN")
    assert run.config.select.prune == 0.4
    before = (run.folder / "run.yaml").read_bytes()
    th.select(run, prune=0.2, end="hard")
    record = run.record("select")
    assert record is not None and (record.settings["prune"], record.settings["end"]) == (0.2, "hard")
    assert (run.folder / "run.yaml").read_bytes() == before
    kept = th.select(run)["kept"].sum()
    record = run.record("select")
    assert record is not None and (record.settings["prune"], record.settings["end"]) == (0.4, "easy")
    assert kept == 24


def test_the_settings_of_run_yaml_are_those_of_the_last_whole_job(material: Path) -> None:
    with pytest.raises(SystemExit):
        main([*whole_job(material)[:-1], "0.3"])
    assert Run.open(material / "RUN").config.select.prune == 0.3
    with pytest.raises(SystemExit):
        main(whole_job(material))
    assert Run.open(material / "RUN").config.select.prune == 0.4

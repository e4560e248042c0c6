"""The sources of settings and their precedence; every option is a setting."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from command_line import Call, write_jsonl

from thresher import api
from thresher.cli.job import RUN
from thresher.cli.options import flag_of, given
from thresher.cli.settings import parsed, resolve
from thresher.config import RunConfig
from thresher.errors import UserError
from thresher.results import WholeRun
from thresher.run import Run
from thresher.settings import changed, checked, setting

DATA = {"text": ["text"], "label": "label"}


def resolved(config: Path | None = None, overrides: tuple[str, ...] = (), **options: Any) -> RunConfig:
    parameters = {"text": ["text"], "label": "label", **options}
    return resolve(RUN, parameters, config, overrides, more={"data.train": "train.jsonl"})


def file_of(folder: Path, **sections: Any) -> Path:
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(sections))
    return path


def test_defaults_apply_if_nothing_is_given() -> None:
    now = resolved()
    assert now == RunConfig.model_validate({"data": {"train": "train.jsonl", **DATA}})


def test_an_option_overrides_the_file_and_the_file_the_default(tmp_path: Path) -> None:
    config = file_of(tmp_path, select={"prune": 0.2, "by": "el2n"}, train={"epochs": 7, "rate_x": None} | {})
    with pytest.raises(UserError, match=r"run\.yaml: train\.rate_x"):
        resolved(config)
    config = file_of(tmp_path, select={"prune": 0.2, "by": "el2n"}, train={"epochs": 7})
    now = resolved(config, prune="0.3")
    assert (now.select.prune, now.select.by, now.train.epochs) == (0.3, "el2n", 7)
    assert now.compare.seeds == 3


def test_set_reaches_every_setting_and_overrides_options(tmp_path: Path) -> None:
    texts = (
        "train.encoder_lr=2e-5",
        "train.weight_decay = 0.01",
        "train.bf16=true",
        "model.head_hidden=[64, 32]",
        "select.stratify=none",
        "select.options.temperature=0.5",
        "model.name=none",
    )
    now = resolved(None, texts, encoder_lr="1e-3", strategy="softmax")
    assert (now.train.encoder_lr, now.train.weight_decay, now.train.bf16) == (2e-5, 0.01, True)
    assert (now.model.head_hidden, now.select.stratify) == ((64, 32), None)
    assert now.select.options == {"temperature": 0.5}
    assert now.model.name == "none"  # text is taken as it is


def test_every_plain_setting_can_be_set_from_its_own_text() -> None:
    """So that `--set` takes what `run.yaml` shows."""
    written = RunConfig.model_validate({"data": {"train": "train.jsonl", **DATA}}).model_dump(mode="json")
    for section in ("model", "train", "measure", "select", "compare", "how_much", "sweep", "noise"):
        for name, value in written[section].items():
            text = ",".join(map(str, value)) if isinstance(value, list) else str(value).lower()
            if isinstance(value, dict):
                continue
            now = resolved(None, (f"{section}.{name}={text}",))
            assert now.model_dump(mode="json")[section][name] == value, (section, name)


def test_the_file_of_a_run_folder_is_a_configuration(tmp_path: Path) -> None:
    config = checked({"data": {"train": "old.jsonl", **DATA}, "select": {"prune": 0.2}})
    path = file_of(tmp_path, format=1, thresher="0.1.0", config=config.model_dump(mode="json"))
    now = resolved(path)
    assert (now.select.prune, now.data.train) == (0.2, "train.jsonl")


def test_text_in_the_file_may_be_one_name(tmp_path: Path) -> None:
    path = file_of(tmp_path, data={"train": "train.jsonl", "text": "body", "label": "kind"})
    now = resolve(RUN, {}, path, None)
    assert (now.data.text, now.data.label, now.data.train) == (("body",), "kind", "train.jsonl")


def test_score_options_come_from_file_and_command_line(tmp_path: Path) -> None:
    config = file_of(tmp_path, score={"options": {"vog": {"window": "late"}, "el2n": {"epoch": 1}}})
    now = resolve(
        RUN,
        {"text": ["text"], "label": "label"},
        config,
        None,
        ["vog.window=early"],
        {"data.train": "t.jsonl"},
    )
    assert now.score.options == {"vog": {"window": "early"}, "el2n": {"epoch": 1}}
    with pytest.raises(UserError, match="windw"):
        resolved(file_of(tmp_path, score={"options": {"vog": {"windw": "late"}}}))


@pytest.mark.parametrize("text", ["a b,c", "[a b, c]", '["a b", "c"]', "['a b', 'c']", "(a b,c)"])
def test_a_list_may_be_written_in_any_usual_way(text: str) -> None:
    assert resolved(overrides=(f"data.groups={text}",)).data.groups == ("a b", "c")


def test_lists_take_commas_and_repetition() -> None:
    now = resolved(text=["premise,hypothesis"], group=["a, b", "c"], protect=["room=hall, north", "x=1"])
    assert now.data.text == ("premise", "hypothesis")
    assert now.data.groups == ("a", "b", "c")
    assert now.select.protect == ("room=hall, north", "x=1")


def test_one_option_may_set_several_settings() -> None:
    now = resolved(seed="4", workers="3")
    assert (now.train.seed, now.select.seed) == (4, 4)
    assert (now.train.workers, now.measure.workers, now.compare.workers) == (3, 3, 3)


def test_every_option_sets_existing_settings() -> None:
    for option in RUN:
        assert all(setting(place) is not None for place in option.places), option.flag
    assert len({option.flag for option in RUN}) == len(RUN)
    assert flag_of(RUN)["select.prune"] == "--prune"


def test_a_flag_that_is_off_counts_as_given() -> None:
    assert given(RUN, {"same_steps": False}) == {"compare.same_steps": False}
    assert given(RUN, {"same_steps": None, "protect": []}) == {}


@pytest.mark.parametrize("text", ["epochs=3", "train.epochs", "", "=3"])
def test_set_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"SECTION\.SETTING=VALUE"):
        parsed([text])


@pytest.mark.parametrize(
    ("place", "value", "says"),
    [
        ("select.prune", 0, "select.prune must lie between 0 and 1 (got 0)"),
        ("select.prune", "x", "select.prune must lie between 0 and 1 (got 'x')"),
        ("model.dropout", 1, "model.dropout must lie between 0 and 1, 1 not included (got 1)"),
        ("train.epochs", -1, "train.epochs must be a number above 0 (got -1)"),
        ("train.epochs", 20_000, "train.epochs must be at most 10,000 (got 20000)"),
        ("train.batch_size", 2.5, "train.batch_size must be a whole number of at least 1 (got 2.5)"),
        ("train.folds", -1, "train.folds must be a whole number of at least 0 or 'auto' (got -1)"),
        (
            "proxy.encoder",
            0,
            "proxy.encoder must be a whole number of at least 1 or 'none' or 'frozen' or 'frozen-N' (got 0)",
        ),
        ("train.encoder_lr", float("inf"), "train.encoder_lr must be a number of at least 0 (got inf)"),
        ("compare.same_steps", "maybe", "compare.same_steps must be true or false (got 'maybe')"),
        ("model.layers", "x", "model.layers must be a whole number or 'auto' or 'all' (got 'x')"),
        ("select.end", "x", "select.end must be 'easy' or 'hard' (got 'x')"),
        ("data.text", [], "data.text must hold 1 to 2 names (got [])"),
        ("data.label", "text", "column 'text' is given as text and as label"),
        ("train", 3, "train must be a section of settings (got 3)"),
    ],
)
def test_a_refused_setting_names_what_it_takes(place: str, value: object, says: str) -> None:
    section, _, name = place.partition(".")
    settings: dict[str, Any] = {"data": {"train": "train.jsonl", **DATA}}
    settings[section] = {**settings.get(section, {}), name: value} if name else value
    with pytest.raises(UserError) as refused:
        checked(settings)
    assert str(refused.value) == says


def test_a_single_value_is_accepted_for_any_list() -> None:
    data = {"train": "train.jsonl", "text": "t", "label": "y", "groups": "g"}
    now = checked({"data": data, "select": {"protect": "g=x"}, "noise": {"levels": 0.2, "kinds": "class"}})
    assert (now.data.text, now.data.groups, now.select.protect) == (("t",), ("g",), ("g=x",))
    assert (now.noise.levels, now.noise.kinds) == ((0.2,), ("class",))
    with pytest.raises(UserError, match=r"noise\.levels"):
        checked({"data": data, "noise": {"levels": "much"}})


def test_settings_change_only_the_section_they_are_given_for() -> None:
    base = checked({"data": {"train": "train.jsonl", **DATA}})
    now = changed(base, "train", {"seed": 5, "workers": 1})
    assert (now.train.seed, now.train.workers) == (5, 1)
    assert now.model_copy(update={"train": base.train}) == base
    with pytest.raises(UserError, match="no setting is called 'sped'"):
        changed(base, "train", {"sped": 1})


def test_an_argument_that_a_function_does_not_have_is_refused_with_the_nearest_one() -> None:
    import thresher as th

    with pytest.raises(UserError, match=r"^select\(\) has no argument 'prun'; did you mean 'prune'\?$"):
        th.select("RUN", prun=0.3)
    with pytest.raises(UserError, match=r"^score\(\) has no argument 'zzz'; it takes run, options, force$"):
        th.score("RUN", zzz=1)


@pytest.mark.parametrize("name", api.__all__)
def test_public_functions_name_and_type_every_parameter(name: str) -> None:
    parameters = inspect.signature(getattr(api, name)).parameters.values()
    assert all(one.kind is not one.VAR_KEYWORD for one in parameters)
    assert all(one.annotation is not one.empty for one in parameters)


def test_what_the_command_line_gives_arrives_in_the_run(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_jsonl(
        tmp_path / "t.jsonl", [{"a": f"{i}", "b": "", "l": i % 2, "g": "x", "k": i} for i in range(4)]
    )
    seen: dict[str, Any] = {}

    def job(rows: Any, out: Path, test: Any, config: RunConfig, *, force: bool) -> WholeRun:
        seen.update(rows=rows, out=out, test=test, config=config, force=force)
        return WholeRun(cast(Run, "R"), 4, 2, "s", "k", "d", "u", "r", {"sentence": "Drop."}, None)

    monkeypatch.setattr("thresher.api.whole_job.whole_job", job)
    columns = ["--text", "a,b", "--label", "l", "--id", "k", "--group", "g"]
    options = ["--prune", 0.3, "--end", "hard", "--strategy", "softmax", "--strategy-option", "temperature=2"]
    more = ["--same-steps", "--floor-group", "g", "--floor", 2, "--score-option", "vog.window=late"]
    answer = call("run", tmp_path / "t.jsonl", *columns, *options, *more, "--out", tmp_path / "R", "--force")
    assert answer.code == 0, answer.err
    config = seen["config"]
    assert (seen["out"], seen["force"], seen["test"]) == (tmp_path / "R", True, None)
    assert seen["rows"].table["id"].to_list() == ["0", "1", "2", "3"]
    assert config.data.text == ("a", "b") and config.data.groups == ("g",)
    select = config.select
    assert (select.prune, select.end, select.strategy) == (0.3, "hard", "softmax")
    assert (select.options, select.floor, select.floor_group) == ({"temperature": 2.0}, 2, ("g",))
    assert config.compare.same_steps is True
    assert config.score.options == {"vog": {"window": "late"}}

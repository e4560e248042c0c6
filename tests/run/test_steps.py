"""The step engine: what it skips, repeats and refuses, and what a killed step leaves."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from bare_run import bare_run
from thresher.errors import UserError
from thresher.run import Run
from thresher.run.integrity import write_json
from thresher.run.lock import lock
from thresher.run.manifest import write_manifest
from thresher.run.run import TRAIN_AGAIN
from thresher.run.steps import Facts, Step, remove_step, step

NAMES = ("train", "measure", "score")


class Number(BaseModel):
    """A setting that counts, and one that does not."""

    number: int = 0
    workers: int = 1


class Sums:
    """Three steps: each writes the sum of its setting and of what the step before it wrote, and notes that it worked.

    `source` is an input of the first step beside its settings; `refused` is what `check` refuses; `during` is called halfway
    through the work, when the former file is gone and the new one is not there yet.
    """

    def __init__(self) -> None:
        self.worked: list[str] = []
        self.cleared: list[str] = []
        self.source = "a"
        self.refused: str | None = None
        self.during: Callable[[Run], None] = lambda run: None
        self.steps: dict[str, Step[Number]] = {}
        for name, before in zip(NAMES, (None, *NAMES), strict=False):
            self.steps[name] = self.make(name, before)

    def make(self, name: str, before: str | None) -> Step[Number]:
        @step(
            name,
            after=before,
            ignore=("workers",),
            inputs=lambda run, settings: {} if before else {"source": self.source},
            check=self.check,
            problem=lambda run, facts: (
                None if result(run, name).is_file() else f"{result(run, name)}: missing"
            ),
            clear=lambda run, settings: (self.cleared.append(name), remove_step(run, name)),
        )
        def work(run: Run, settings: Number) -> Facts:
            result(run, name).unlink(missing_ok=True)
            self.during(run)
            total = settings.number + (int(result(run, before).read_text()) if before else 0)
            result(run, name).parent.mkdir(parents=True, exist_ok=True)
            result(run, name).write_text(str(total))
            self.worked.append(name)
            return {"total": total}

        return work

    def check(self, run: Run, settings: Number) -> None:
        if self.refused:
            raise UserError(self.refused)

    def __call__(self, run: Run, name: str, *, force: bool = False, **settings: int) -> Facts:
        return self.steps[name](run, Number(**settings), force=force)


def result(run: Run, name: str) -> Path:
    return run.step_folder(name) / "total.txt"


def contents(run: Run) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = bare_run(tmp_path / "RUN")
    write_manifest(run.folder, run.manifest)
    return run


@pytest.fixture
def sums() -> Sums:
    return Sums()


def test_each_step_reads_what_the_step_before_it_wrote(run: Run, sums: Sums) -> None:
    found = [sums(run, name, number=number) for name, number in zip(NAMES, (1, 10, 100), strict=True)]
    assert found == [{"total": 1}, {"total": 11}, {"total": 111}]
    assert sums.worked == list(NAMES)


def test_the_record_holds_keys_settings_times_and_facts(run: Run, sums: Sums) -> None:
    sums(run, "train", number=1)
    sums(run, "measure", number=10, workers=3)
    first, second = run.record("train"), run.record("measure")
    assert first is not None and second is not None
    assert (first.after, second.after) == ({}, {"train": first.key})
    assert (second.settings, second.facts) == ({"number": 10, "workers": 3}, {"total": 11})
    assert second.seconds >= 0 and second.finished.startswith("20")
    assert second.key == sums.steps["measure"].key(run, Number(number=10)) != first.key


def test_a_finished_step_is_skipped_with_a_message(
    run: Run, sums: Sums, capsys: pytest.CaptureFixture[str]
) -> None:
    sums(run, "train", number=1)
    before = contents(run)
    assert sums(run, "train", number=1) == {"total": 1}
    assert sums.worked == ["train"] and contents(run) == before
    assert capsys.readouterr().err.splitlines()[-1] == f"train: already done in {run}; --force redoes it"


def test_the_folder_may_be_given_by_its_path(run: Run, sums: Sums) -> None:
    assert sums.steps["train"](str(run), Number(number=1)) == {"total": 1}
    assert sums.steps["train"](run.folder, Number(number=1)) == {"total": 1}
    assert sums.worked == ["train"]


@pytest.mark.parametrize(
    ("settings", "source", "again"),
    [
        ({"number": 1, "workers": 7}, "a", False),  # a setting that changes no result
        ({"number": 2}, "a", True),
        ({}, "a", True),  # settings do not leak from one call to the next: this is the default, 0
        ({"number": 1}, "b", True),  # an input beside the settings
    ],
)
def test_the_key_is_that_of_the_settings_that_count_and_of_the_inputs(
    run: Run, sums: Sums, settings: dict[str, int], source: str, again: bool
) -> None:
    sums(run, "train", number=1)
    sums.source = source
    assert sums(run, "train", **settings) == {"total": settings.get("number", 0)}
    assert sums.worked == ["train"] * (2 if again else 1)


def test_a_step_is_repeated_if_the_step_before_has_another_result(run: Run, sums: Sums) -> None:
    sums(run, "train", number=1)
    assert sums(run, "measure") == {"total": 1}
    sums(run, "train", number=2)
    assert run.outdated("measure") == "train" and run.current("measure") is None
    assert sums(run, "measure") == {"total": 2}
    assert run.outdated("measure") is None and run.current("measure") == run.record("measure")
    assert sums.worked == ["train", "measure", "train", "measure"]


def test_a_step_stays_done_if_the_step_before_has_the_same_result(run: Run, sums: Sums) -> None:
    for name in NAMES:
        sums(run, name, number=1)
    sums(run, "train", number=1, force=True)
    assert [run.outdated(name) for name in NAMES] == [None] * 3
    sums(run, "train", number=2)
    sums(run, "train", number=1)
    assert sums(run, "score", number=1) == {"total": 3}
    assert sums.worked == [*NAMES, "train", "train", "train"]


@pytest.mark.parametrize("changed", NAMES[:2])
def test_an_outdated_chain_is_refused_with_the_name_of_the_step_that_changed(
    run: Run, sums: Sums, changed: str
) -> None:
    for name in NAMES:
        sums(run, name, number=1)
    sums(run, changed, number=5)
    assert run.outdated("score") == changed
    step_of_result = step("select", after="score")(lambda run, settings: {"total": 0})
    before = contents(run)
    with pytest.raises(UserError) as refused:
        step_of_result(run, Number())
    assert str(refused.value) == (
        f"{run}: `{changed}` was run again after `score`, with another result; run `thresher score {run}` first"
    )
    if changed == "train":
        with pytest.raises(UserError, match=r"`train` was run again after `measure`, with another result"):
            sums(run, "score", number=1)
    assert contents(run) == before


@pytest.mark.parametrize("name", NAMES[1:])
def test_a_step_whose_step_before_is_not_finished_is_refused(run: Run, sums: Sums, name: str) -> None:
    before = NAMES[NAMES.index(name) - 1]
    with pytest.raises(UserError) as refused:
        sums(run, name)
    # A training has rows and a recipe, which only the command that made the run can give it again.
    remedy = TRAIN_AGAIN if before == "train" else f"run `thresher {before} {run}` first"
    assert str(refused.value) == f"{run}: `{before}` has not been run; {remedy}"
    assert not run.home.exists()


def test_a_damaged_result_is_repeated_with_a_message(
    run: Run, sums: Sums, capsys: pytest.CaptureFixture[str]
) -> None:
    sums(run, "train", number=1)
    result(run, "train").unlink()
    assert sums(run, "train", number=1) == {"total": 1}
    assert sums.worked == ["train", "train"] and sums.cleared == []
    assert capsys.readouterr().err == f"train: {result(run, 'train')}: missing; doing it again\n"


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: whole[:-9],
        lambda whole: whole.replace(b'"total": 1', b'"total": 7'),
        lambda whole: b"{}",
        lambda whole: b"[]",
        lambda whole: b"\xff\xfe",
        lambda whole: b"",
    ],
)
def test_a_step_with_a_damaged_record_is_not_finished(
    run: Run, sums: Sums, damage: Callable[[bytes], bytes]
) -> None:
    sums(run, "train", number=1)
    record = run.record_file("train")
    record.write_bytes(damage(record.read_bytes()))
    assert run.record("train") is None
    with pytest.raises(UserError, match="`train` has not been run"):
        sums(run, "measure")
    sums(run, "train", number=1)
    assert sums.worked == ["train", "train"]


def test_force_clears_what_is_there_and_does_it_again(run: Run, sums: Sums) -> None:
    sums(run, "train", number=1)
    (run.step_folder("train") / "kept from before").touch()
    assert sums(run, "train", number=1, force=True) == {"total": 1}
    assert (sums.worked, sums.cleared) == (["train", "train"], ["train"])
    assert not (run.step_folder("train") / "kept from before").exists()


@pytest.mark.parametrize("force", [False, True])
def test_what_is_refused_is_refused_before_anything_is_removed(run: Run, sums: Sums, force: bool) -> None:
    sums(run, "train", number=1)
    before = contents(run)
    sums.refused = "there is nothing to add"
    with pytest.raises(UserError, match=r"^there is nothing to add$"):
        sums(run, "train", number=2, force=force)
    assert contents(run) == before and sums.worked == ["train"] and sums.cleared == []
    sums.refused = None
    assert sums(run, "train", number=1) == {"total": 1} and sums.worked == ["train"]


def test_a_step_that_fails_halfway_is_not_finished(run: Run, sums: Sums) -> None:
    sums(run, "train", number=1)

    def fail(run: Run) -> None:
        assert run.record("train") is None
        raise KeyboardInterrupt

    sums.during = fail
    with pytest.raises(KeyboardInterrupt):
        sums(run, "train", number=2)
    assert run.record("train") is None
    with pytest.raises(UserError, match="`train` has not been run"):
        sums(run, "measure")
    sums.during = lambda run: None
    assert sums(run, "train", number=2) == {"total": 2}
    assert sums.worked == ["train", "train"]


def test_a_killed_step_is_not_finished_and_its_lock_is_free(run: Run, sums: Sums) -> None:
    sums(run, "train", number=1)
    sums.during = lambda run: os._exit(9)
    if (child := os.fork()) == 0:
        sums(run, "train", number=1, force=True)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert run.record("train") is None and not result(run, "train").exists()
    sums.during = lambda run: None
    assert sums(run, "train", number=1) == {"total": 1}
    assert sums.worked == ["train", "train"]


def test_one_at_a_time(run: Run, sums: Sums) -> None:
    sums(run, "train", number=1)
    before = contents(run)
    with lock(run.folder), pytest.raises(UserError) as refused:
        sums(run, "train", number=2)
    assert str(refused.value) == (f"{run}: another thresher process works on this folder; wait for it to end")
    assert contents(run) == before

    def second(run: Run) -> None:
        with pytest.raises(UserError, match="another thresher process works on this folder"):
            sums(run, "train", number=3)

    sums.during = second
    assert sums(run, "train", number=2) == {"total": 2}


def test_a_recorded_run_cannot_be_trained(tmp_path: Path, sums: Sums) -> None:
    run = bare_run(tmp_path / "RUN", source="recorded")
    write_manifest(run.folder, run.manifest)
    sums(run, "train", number=1)
    worked: list[Run] = []
    of_own = step("compare", after="train", own=True)(lambda run, settings: {"worked": worked.append(run)})
    with pytest.raises(UserError) as refused:
        of_own(run, Number())
    assert str(refused.value).startswith(
        f"{run}: was recorded from someone else's training, which cannot be repeated"
    )
    assert worked == [] and run.record("compare") is None
    assert sums(run, "measure") == {"total": 1}  # what does not train is done


def test_the_steps_of_a_proxy_are_those_of_the_run_that_it_scores_for(tmp_path: Path, sums: Sums) -> None:
    run = bare_run(tmp_path / "RUN", source="proxy")
    write_manifest(run.folder, run.manifest)
    select = step("select", after="score")(lambda run, settings: {"total": 5})
    with pytest.raises(UserError, match="`score` has not been run"):
        select(run, Number())
    proxy = bare_run(run.proxy_folder)
    write_manifest(proxy.folder, proxy.manifest)
    for name in NAMES:
        sums(proxy, name, number=1)
    run = Run.open(run.folder)
    assert [run.record(name) for name in NAMES] == [proxy.record(name) for name in NAMES]
    assert select(run, Number()) == {"total": 5}
    assert (run.record("select") is None, proxy.record("select")) == (False, None)
    sums(proxy, "train", number=2)
    assert run.outdated("select") == "train"
    assert run.scores_file == proxy.scores_file


def test_a_record_is_checked_json(run: Run, sums: Sums) -> None:
    sums(run, "train", number=1)
    written: dict[str, Any] = json.loads(run.record_file("train").read_text())
    assert sorted(written) == ["after", "checksum", "facts", "finished", "key", "seconds", "settings"]


def test_a_folder_that_is_not_a_run_is_refused_and_left_as_it_is(tmp_path: Path, sums: Sums) -> None:
    with pytest.raises(UserError, match="not a run folder"):
        sums.steps["train"](tmp_path, Number())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("step", ["train", "measure"])
def test_of_a_recorded_run_another_recording_is_the_remedy(step: str, tmp_path: Path) -> None:
    """No command repeats someone else's training."""
    recorded = bare_run(tmp_path, source="recorded")
    with pytest.raises(UserError) as refused:
        recorded.require(step)
    place = recorded.record_file(step)
    assert str(refused.value) == (
        f"{place}: missing or damaged; record the training again with thresher.watch"
    )
    assert recorded.again("score") == f"run `thresher score {tmp_path}` first"


def test_a_damaged_record_is_not_taken_for_another_result(tmp_path: Path) -> None:
    run = bare_run(tmp_path)
    facts = {"settings": {}, "finished": "", "seconds": 1, "facts": {}}
    write_json(run.record_file("score"), {"key": "s", "after": {"measure": "k"}, **facts})
    with pytest.raises(UserError, match=r"measure/step\.json: missing or damaged; run `thresher measure"):
        run.require("score")

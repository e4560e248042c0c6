"""The page of a study: it reports the results, is self-contained, and runs nothing from the data."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from thresher.errors import UserError
from thresher.nlu.page.figures import errors_figure, headline
from thresher.nlu.page.write import content, write_page
from thresher.nlu.stack.config import StackConfig
from thresher.run.integrity import write_json, write_table

HOSTILE = "<script>window.hacked=1</script>\"'\x1b[31m"
DOMAINS = ("alarm", "music", HOSTILE)
METRICS = ("DCER", "ICER", "SEMER", "F-SEMER", "IRER")


def interval(mean: float) -> dict[str, Any]:
    return {
        "mean": mean,
        "low": mean - 0.03,
        "high": mean + 0.03,
        "samples": 3,
        "rows": 100,
        "error": 0.1,
        "full": 0.1,
    }


def technique(name: str, prune: float, mean: float, pool: str = "historical") -> dict[str, Any]:
    values = {metric: interval(mean) for metric in METRICS}
    domains = {
        domain: {"n_train": 12, "removed": prune, "n_test": 9, "metrics": values} for domain in DOMAINS
    }
    return {
        "technique": name,
        "title": {"random": "random"}.get(name, "VoG, dataset-normalised"),
        "prune": prune,
        "pool": pool,
        "n_train": 480,
        "removed": prune,
        "metrics": values,
        "beside random": {} if name == "random" else values,
        "tests": {},
        "domains": domains,
        "sources": [{"value": "historical", "rows": 100, "kept": 48, "removed": 0.52}],
        "sigma": dict.fromkeys(METRICS, -100 * mean / prune),
    }


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    rate = {"mean": 0.1, "std": 0.002, "values": [0.1, 0.1, 0.1]}
    row = {
        "rows": 3,
        "intents": 2,
        "intent_entropy": 1.5,
        "trail_entropy": 14.8,
        "mean_intent_trail_entropy": 9.0,
    }
    results = {
        "samples": 3,
        "n_train": 1000,
        "tests": {"hwu64": 70, HOSTILE: 30},
        "full": {
            "historical": {"n_train": 1000, "metrics": {**dict.fromkeys(METRICS, rate), "slot F1": rate}}
        },
        "techniques": [
            technique("vog-dataset", 0.52, 0.021),
            technique("random", 0.52, 0.061),
            technique("vog-dataset", 0.14, -0.002),
            technique("vog-dataset", 0.52, 0.04, "mixed"),
        ],
        "scores": [],
        "entropy": [{"domain": domain, **row} for domain in DOMAINS],
        "seconds": 4000.0,
    }
    write_json(folder / "results.json", results)
    write_json(folder / "study.json", {"made_with": "x", "config": StackConfig().model_dump(mode="json")})
    rng = np.random.default_rng(0)
    scores = {name: rng.normal(size=60) for name in ("vog", "vog_class", "vog_dataset", "trail_entropy")}
    table = pl.DataFrame({"id": range(60), "domain": list(DOMAINS) * 20, **scores})
    write_table(folder / "scores.parquet", table)
    write_page(folder)
    return folder


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def parsed(study: Path) -> _Page:
    page = _Page()
    page.feed((study / "nlu.html").read_text())
    return page


def test_it_leads_with_the_result_and_has_every_section(study: Path) -> None:
    page = parsed(study)
    text = " ".join(" ".join(page.text).split())
    assert (
        "Without 52% of the rows, selected by VoG, dataset-normalised, domain errors change by +2.10%" in text
    )
    assert "+2.10% [−0.90, +5.10]; without as many random rows by +6.10%" in text
    ids = {attributes.get("id") for _, attributes in page.tags}
    links = {attributes["href"] for tag, attributes in page.tags if tag == "a"}
    assert links <= {f"#{one}" for one in ids if one} and len(links) == 8
    assert "14.80" in text and "σ" in text and "small" in text


def test_it_loads_and_runs_nothing_and_data_is_only_text(study: Path) -> None:
    page = parsed(study)
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "iframe", "object", "embed", "form", "img"}
    for _, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes)
        assert not str(attributes.get("href", "")).startswith(("http", "//"))
    assert "\x1b" not in (study / "nlu.html").read_text()
    assert any("window.hacked" in piece for piece in page.text)


def test_marks_are_at_the_positions_of_the_figures() -> None:
    figure = errors_figure([technique("vog-dataset", 0.52, 0.021), technique("random", 0.52, 0.061)], "DCER")
    first, second = figure["rows"]
    assert first["from"] < first["at"] < first["to"] and first["at"] < second["at"]
    assert figure["zero"] < second["from"]  # 6.1% less 3% is above zero
    per_point = (second["at"] - first["at"]) / 4
    assert first["at"] - figure["zero"] == pytest.approx(2.1 * per_point, rel=0.02)


def test_the_headline_is_the_first_technique_at_the_largest_share_even_if_another_is_better() -> None:
    entries = [
        technique("vog-dataset", 0.14, -0.5),
        technique("random", 0.52, 0.01),
        technique("vog-dataset", 0.52, 0.03),
        technique("mixed", 0.52, 0.02),
    ]
    found = headline(entries)
    assert found is not None and found["error"] == "+3.00%" and found["random"] == "+1.00%"
    assert headline([]) is None


def test_domains_are_shown_where_mixed_rows_were_pruned_deeper() -> None:
    entries = [technique("random", 0.3, 0.1), technique("random", 0.52, 0.2, pool="mixed")]
    facts = {"config": StackConfig().model_dump()}
    results = {"techniques": entries, "seconds": 1.0}
    scores = pl.DataFrame({"id": ["a", "b"], "domain": ["x", "x"], "source": ["", ""], "vog": [1.0, 2.0]})
    assert len(content(facts, results, scores)["domains"]) == 2


def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a study folder"):
        write_page(tmp_path)
    (tmp_path / "study.json").write_text("{}")
    with pytest.raises(UserError, match="no results yet"):
        write_page(tmp_path)


@pytest.mark.parametrize("name", ["study.json", "results.json", "scores.parquet"])
@pytest.mark.parametrize("content", ["", "null", "[]", "{}"])
def test_a_damaged_file_of_a_study_is_named(study: Path, name: str, content: str, tmp_path: Path) -> None:
    shutil.copytree(study, tmp_path, dirs_exist_ok=True)
    (tmp_path / name).write_text(content)
    with pytest.raises(
        UserError, match=rf"{name}: damaged .*; the `thresher nlu study` command that made it"
    ):
        write_page(tmp_path)


@pytest.mark.browser
@pytest.mark.skipif(
    not (shutil.which("chromium") and shutil.which("chromedriver")),
    reason="chromium or chromedriver is missing; apt-get install chromium chromium-driver",
)
def test_in_a_browser_it_draws_without_an_error_or_a_request(study: Path) -> None:
    for browser in _browser():
        browser.get((study / "nlu.html").as_uri())
        assert browser.get_log("browser") == []
        messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
        asked = {
            one["params"]["request"]["url"]
            for one in messages
            if one["method"] == "Network.requestWillBeSent"
        }
        assert {url for url in asked if not url.startswith("data:")} == {(study / "nlu.html").as_uri()}
        assert browser.execute_script("return window.hacked") is None
        boxes = browser.execute_script(
            "return [...document.querySelectorAll('#errors .track .mark')].map((one) => one.getBoundingClientRect().x)"
        )
        assert len(boxes) == 16 and len(set(boxes)) > 2
        for width in (1280, 400):
            size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            assert browser.execute_script("return document.documentElement.scrollWidth") <= width


def _browser() -> Iterator[Any]:
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = str(shutil.which("chromium"))
    # Containers have neither the sandbox's rights nor a large /dev/shm.
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(shutil.which("chromedriver"))))
    try:
        yield driver
    finally:
        driver.quit()

"""The page in a real browser: it draws, reacts to mouse and keyboard, makes no request and runs nothing from the data."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from fake_pictures import add_pictures
from fake_run import HOSTILE, class_names, fake_run
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from thresher.report import write
from thresher.report.format import visible
from thresher.run import Run

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER),
        reason="chromium or chromedriver is missing; apt-get install chromium chromium-driver",
    ),
]
Page = Callable[[str], Path]
DRAWN = "return document.documentElement.dataset.drawn"


@pytest.fixture(scope="module")
def chromium() -> Iterator[webdriver.Chrome]:
    options = Options()
    options.binary_location = str(CHROMIUM)
    # Containers have neither the sandbox's rights nor a large /dev/shm.
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    yield driver
    driver.quit()


@pytest.fixture
def browser(chromium: webdriver.Chrome) -> Iterator[webdriver.Chrome]:
    yield chromium
    chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
    chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    chromium.get("about:blank")
    chromium.get_log("browser")
    chromium.get_log("performance")


def load(browser: webdriver.Chrome, path: Path, *, width: int = 1280, dark: bool = False) -> None:
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    # A page that still scrolls smoothly moves away under the mouse.
    features = {"prefers-color-scheme": "dark" if dark else "light", "prefers-reduced-motion": "reduce"}
    listed = [{"name": name, "value": value} for name, value in features.items()]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": listed})
    browser.get(path.as_uri())


def scroll_to_charts(browser: webdriver.Chrome) -> str:
    browser.execute_script("document.getElementById('scores').scrollIntoView()")
    return str(WebDriverWait(browser, 60).until(lambda driver: driver.execute_script(DRAWN)))


def choose(browser: webdriver.Chrome, name: str, value: str) -> None:
    """Click a choice, and wait for the charts where they follow it."""
    before = browser.execute_script(DRAWN)
    browser.find_element(By.CSS_SELECTOR, f'input[name="{name}"][value="{value}"] + span').click()
    if name.startswith("chart"):
        WebDriverWait(browser, 60).until(lambda driver: driver.execute_script(DRAWN) != before)


def bars(browser: webdriver.Chrome) -> list[list[int]]:
    """Heights of the drawn bars: kept, removed."""
    return list(
        browser.execute_script("return document.getElementById('chart-rows').data.map((trace) => trace.y)")
    )


def caption(browser: webdriver.Chrome) -> str:
    return browser.find_element(By.ID, "chart-rows-caption").text


def requests(browser: webdriver.Chrome) -> list[str]:
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    ]


@pytest.mark.parametrize("stage", ["whole", "many", "pair", "selected", "scored", "trained", "untested"])
def test_the_page_has_no_error_makes_no_request_and_runs_nothing_from_the_data(
    browser: webdriver.Chrome, page: Page, stage: str
) -> None:
    load(browser, page(stage))
    if stage not in ("trained",):
        scroll_to_charts(browser)
        assert browser.find_elements(By.CSS_SELECTOR, "#chart-rows .bars .point path")
    assert browser.get_log("browser") == []
    asked = {url for url in requests(browser) if not url.startswith(("data:", "about:", "blob:"))}
    assert asked == {page(stage).as_uri()}
    assert browser.execute_script("return window.hacked") is None


def test_hostile_texts_are_shown_as_they_are(browser: webdriver.Chrome, page: Page) -> None:
    load(browser, page("whole"))
    read = "return [...document.querySelectorAll('#examples div.text')].map((text) => text.textContent)"
    shown = browser.execute_script(read)
    for hostile in HOSTILE:
        assert visible(hostile) in shown, hostile[:60]


def test_hostile_class_names_are_only_text_in_the_charts(browser: webdriver.Chrome, page: Page) -> None:
    load(browser, page("whole"))
    scroll_to_charts(browser)
    legend = [one.text for one in browser.find_elements(By.CSS_SELECTOR, "#chart-classes .legendtext")]
    assert len(legend) == 3 and any(name.startswith("<script>window.hack") for name in legend)
    assert any("<b>&amp;</b>" in name for name in legend)
    assert not browser.find_elements(
        By.CSS_SELECTOR, "#chart-classes .legendtext a, #chart-classes .legendtext tspan[style]"
    )


def test_the_content_security_policy_blocks_injected_scripts_and_requests(
    browser: webdriver.Chrome, page: Page
) -> None:
    load(browser, page("whole"))
    tried = browser.execute_async_script("""
        const done = arguments[arguments.length - 1], stopped = [];
        document.addEventListener("securitypolicyviolation", (event) => stopped.push(event.effectiveDirective));
        const script = document.createElement("script");
        script.textContent = "window.hacked = 9";
        const image = document.createElement("img");
        image.src = "http://127.0.0.1:9/x.png";
        document.body.append(script, image);
        setTimeout(() => done([window.hacked ?? null, stopped.sort()]), 500);
    """)
    assert tried == [None, ["img-src", "script-src-elem"]]


def test_another_score_form_and_class_change_the_charts(browser: webdriver.Chrome, page: Page) -> None:
    path = page("many")
    load(browser, path)
    assert scroll_to_charts(browser) == "vog class 0"
    run = Run.open(path.parent)
    table = pl.read_parquet(run.scores_file).join(
        pl.read_parquet(run.selection_file("vog_class-easy-cutoff-0.45")).select("id", "kept"), on="id"
    )
    n_kept = int(table["kept"].sum())
    assert [sum(part) for part in bars(browser)] == [n_kept, 15_000 - n_kept]
    first = bars(browser)
    choose(browser, "chart-score", "forgetting")
    assert "forgetting, not normalised" in caption(browser)
    expected = [
        table.filter(pl.col("kept") == keep, forgetting=value).height
        for keep in (True, False)
        for value in range(7)
    ]
    assert [value for part in bars(browser) for value in part] == expected and bars(browser) != first
    choose(browser, "chart-form", "dataset")
    assert "normalised over all rows" in caption(browser)
    selector = Select(browser.find_element(By.ID, "chart-class"))
    selector.select_by_index(3)
    WebDriverWait(browser, 60).until(lambda driver: driver.execute_script(DRAWN) == "forgetting dataset 3")
    sizes = table["label"].value_counts().sort("count", "label", descending=[True, False])
    assert sum(map(sum, bars(browser))) == sizes["count"][2]
    assert f"{sizes['count'][2]:,} rows" in caption(browser)


def test_the_keyboard_alone_chooses_a_score(browser: webdriver.Chrome, page: Page) -> None:
    load(browser, page("whole"))
    scroll_to_charts(browser)
    browser.find_element(By.CSS_SELECTOR, 'input[name="chart-score"]:checked').send_keys(Keys.ARROW_RIGHT)
    WebDriverWait(browser, 60).until(lambda driver: driver.execute_script(DRAWN) == "el2n raw 0")


def test_the_class_table_has_the_figures_of_the_chart(browser: webdriver.Chrome, page: Page) -> None:
    load(browser, page("many"))
    scroll_to_charts(browser)
    read = """
        const rows = [...document.querySelectorAll("#chart-summary tbody tr")];
        return rows.map((row) => [...row.cells].map((cell) => cell.textContent));
    """
    lines = {line[0]: line[1:] for line in browser.execute_script(read)}
    assert set(lines) == set(class_names(150))
    table = pl.read_parquet(Run.open(page("many").parent).scores_file).filter(label="intent_007")
    assert lines["intent_007"][0] == f"{table.height:,}"
    median = float(lines["intent_007"][5].replace("−", "-"))
    assert median == pytest.approx(float(table["vog_class"].median()), rel=1e-3)  # type: ignore[arg-type]


def column(browser: webdriver.Chrome, heading: str) -> list[str]:
    return list(
        browser.execute_script(
            """
            const table = document.getElementById("group-table");
            const place = [...table.tHead.rows[0].cells].findIndex((cell) => cell.innerText.trim() === arguments[0]);
            return [...table.tBodies[0].rows].filter((row) => !row.hidden).map((row) => row.cells[place].dataset.value);
            """,
            heading,
        )
    )


def press(browser: webdriver.Chrome, heading: str) -> str:
    (button,) = [
        one for one in browser.find_elements(By.CSS_SELECTOR, "#group-table th button") if one.text == heading
    ]
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)
    button.click()
    return str(button.find_element(By.XPATH, "..").get_attribute("aria-sort"))


def test_the_group_table_sorts_both_ways_and_keeps_what_is_empty_last(
    browser: webdriver.Chrome, page: Page
) -> None:
    load(browser, page("many"))
    start = [float(value) for value in column(browser, "Change") if value]
    assert start == sorted(start)
    assert press(browser, "Train rows") == "descending"
    rows = [int(value) for value in column(browser, "Train rows")]
    assert rows == sorted(rows, reverse=True) and len(rows) == 154
    assert press(browser, "Train rows") == "ascending"
    assert [int(value) for value in column(browser, "Train rows")] == sorted(rows)
    press(browser, "Full data")
    full = column(browser, "Full data")
    assert "" in full, "the tiny group has no test row"
    measured = [float(value) for value in full if value]
    assert measured == sorted(measured, reverse=True) and full[: len(measured)] == [
        value for value in full if value
    ]
    assert press(browser, "Full data") == "ascending"
    full = column(browser, "Full data")
    assert [float(value) for value in full[: len(measured)]] == sorted(measured) and set(
        full[len(measured) :]
    ) == {""}
    assert press(browser, "Name") == "ascending"
    assert len(browser.find_elements(By.CSS_SELECTOR, "#group-table th[aria-sort]")) == 1


def test_groups_are_found_by_name_and_by_column(browser: webdriver.Chrome, page: Page) -> None:
    load(browser, page("many"))
    Select(browser.find_element(By.ID, "group-name")).select_by_value("domain")
    assert sorted(column(browser, "Name")) == ["<i>tiny</i>", "home", "media", "weather"]
    browser.find_element(By.ID, "group-find").send_keys("ME")
    assert sorted(column(browser, "Name")) == ["home", "media"]
    assert browser.find_element(By.ID, "group-count").text == "2 of 154"


def test_examples_show_one_score_and_unfold_long_texts(browser: webdriver.Chrome, page: Page) -> None:
    load(browser, page("whole"))
    choose(browser, "example-score", "pvi")
    panels = [one for one in browser.find_elements(By.CSS_SELECTOR, "[data-panel]") if one.is_displayed()]
    assert [panel.get_attribute("data-panel") for panel in panels] == ["pvi"]
    button = next(one for one in panels[0].find_elements(By.CSS_SELECTOR, "button.more"))
    text = button.find_element(By.XPATH, "preceding-sibling::div[1]")
    before = text.size["height"]
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)
    button.click()
    assert text.size["height"] > 2 * before and button.get_attribute("aria-expanded") == "true"
    button.click()
    assert text.size["height"] == before


@pytest.mark.parametrize("stage", ["whole", "many", "pair", "selected", "trained"])
@pytest.mark.parametrize("width", [390, 768])
def test_a_narrow_screen_never_scrolls_sideways(
    browser: webdriver.Chrome, page: Page, stage: str, width: int
) -> None:
    load(browser, page(stage), width=width)
    if stage != "trained":
        scroll_to_charts(browser)
    page_width, screen_width = browser.execute_script(
        "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert page_width == screen_width <= width
    # What is wider has a scroll bar of its own.
    beyond = browser.execute_script("""
        const own = (one) => ["auto", "scroll", "hidden"].includes(getComputedStyle(one).overflowX);
        const scrolls = (one) => one && (own(one) || scrolls(one.parentElement));
        const over = (one) => one.getBoundingClientRect().right > innerWidth + 1 && !scrolls(one.parentElement);
        return [...document.querySelectorAll("main *")].filter(over).map((one) => one.outerHTML.slice(0, 120));
    """)
    assert beyond == []


def test_the_dark_theme_reaches_page_and_charts(browser: webdriver.Chrome, page: Page) -> None:
    read = "return [getComputedStyle(document.body).backgroundColor, document.getElementById('chart-rows').data[0].marker.color]"
    load(browser, page("whole"))
    scroll_to_charts(browser)
    light = browser.execute_script(read)
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    )
    WebDriverWait(browser, 20).until(lambda driver: driver.execute_script(read)[1] != light[1])
    assert browser.execute_script(read) == ["rgb(17, 21, 26)", "#58aee8"] and light == [
        "rgb(246, 247, 248)",
        "#0072b2",
    ]


def test_in_print_tables_are_complete_and_controls_are_hidden(browser: webdriver.Chrome, page: Page) -> None:
    load(browser, page("many"), dark=True)
    scroll_to_charts(browser)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    shown: Any = browser.execute_script("""
        const region = document.getElementById("group-table").parentElement;
        const style = (one) => getComputedStyle(document.querySelector(one));
        return [region.scrollHeight - region.clientHeight, style("nav").display, style(".controls").display, style(".tile").color]
    """)
    assert shown[0] <= 1 and shown[1:3] == ["none", "none"] and shown[3] == "rgb(23, 32, 42)"


def test_without_javascript_everything_but_the_charts_is_there(browser: webdriver.Chrome, page: Page) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    load(browser, page("whole"))
    found = browser.execute_script("""
        const seen = (one) => getComputedStyle(one).display !== "none";
        const number = (what) => [...document.querySelectorAll(what)].filter(seen).length;
        return [number("[data-panel]"), number(".controls, .more"), number("#scores p.needs-no-script")];
    """)
    assert found == [5, 0, 1]


def test_pictures_are_drawn_and_a_click_shows_the_row_as_text(
    browser: webdriver.Chrome, tmp_path: Path
) -> None:
    """Row 0 is a script: it is shown, and it does not run."""
    load(browser, write(add_pictures(fake_run(tmp_path / "R", n=len(HOSTILE) + 3))))
    for name in ("sweep", "sweep-groups", "data-map", "meaning-map", "checkpoints", "stability"):
        box = browser.find_element(By.ID, f"picture-{name}")
        browser.execute_script("arguments[0].scrollIntoView()", box)
        WebDriverWait(browser, 60).until(lambda _, box=box: box.get_attribute("data-drawn") == "yes")
        assert browser.execute_script("return arguments[0].querySelectorAll('svg').length", box) > 0
    fire = "document.getElementById('picture-data-map').emit('plotly_click', {points: [{curveNumber: 0, pointNumber: 0}]})"
    browser.execute_script(fire)
    picked = browser.find_element(By.ID, "picked-data-map")
    assert HOSTILE[0] in picked.text
    assert browser.execute_script("return window.hacked") is None
    Select(browser.find_element(By.ID, "menu-sweep-groups")).select_by_visible_text("vog, hard by label")
    shown = browser.execute_script(
        "return document.getElementById('picture-sweep-groups').data.map((trace) => trace.visible)"
    )
    assert shown.count(True) == 1
    assert [one for one in browser.get_log("browser") if one["level"] == "SEVERE"] == []

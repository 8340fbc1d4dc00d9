"""The report in a browser: nothing goes wrong, nothing is loaded, nothing is wider than a phone."""

import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from search_fakes import tasks

from ansorc.compiler.measuring.trial import Trial
from ansorc.compiler.records.database import Record, Records
from ansorc.compiler.search.sample import sample_points
from ansorc.compiler.target import parse_target, target_key
from ansorc.compiler.task_job import machine_of
from ansorc.tools.limits import Level, Limits
from ansorc.tools.tune_report import Here, page
from ansorc.tools.workloads import BatchMatmul
from ansorc.tools.workloads_convolution import Convolution

PHONE = (390, 844)
LAYERS = (Convolution("C2D", (14, 14), 32, 64, 3, 1, 1), BatchMatmul("GMM", 64, 64, 64))
BROWSER, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a page about invented times of real candidates, one of them a failure."""
    folder = tmp_path_factory.mktemp("report")
    target = parse_target("native")
    with Records(folder / "r.db") as records:
        run = records.begin("run", '{"processor": "a <processor>", "cores": 2, "system": "any"}')
        undone: dict[str, dict[str, float]] = {}
        for task in tasks(*LAYERS, target=target):
            records.add_task(task.name, task.shape, task.flops, task.text)
            for k, point in enumerate(sample_points(task, 40, random.Random(1))):
                failed = k == 7
                trial = Trial("crash", reason="<SIGSEGV>") if failed else Trial("measured", (1e-3 / (1 + k % 13),))
                candidate, key = task.candidate(point), target_key(target)
                records.add(run, [Record(task.name, key, 2, candidate, trial, 1e9 + k, trial.seconds)])
                undone[f"{task.name}-{key}-2"] = {"unroll": 1.25}
        limits = Limits("cpu", 2, 512, 100.0, 200.0, (Level("L3", 1 << 25, 50.0, 80.0), Level("memory", 0, 20.0, 30.0)),
                        10.0, 20.0, 900.0)  # fmt: skip
        text = page(records, Here([target_key(target)], machine_of(target), limits, undone))
    (folder / "report.html").write_text(text)
    return folder / "report.html"


@pytest.fixture
def browser() -> Iterator[Any]:
    pytest.importorskip("selenium")
    if BROWSER is None or DRIVER is None:
        pytest.skip("no chromium with its driver")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for flag in ("headless=new", "no-sandbox", "disable-gpu", "disable-background-networking", "no-first-run"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    made = webdriver.Chrome(options, Service(DRIVER))
    made.set_window_size(*PHONE)
    made.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": PHONE[0], "height": PHONE[1], "deviceScaleFactor": 1, "mobile": True},
    )
    made.execute_cdp_cmd("Network.enable", {})
    nothing = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
    made.execute_cdp_cmd("Network.emulateNetworkConditions", nothing)
    yield made
    made.quit()


def test_a_browser_shows_it_on_a_phone_without_a_network(report: Path, browser: Any) -> None:
    browser.get(report.as_uri())
    assert browser.get_log("browser") == []
    assert browser.execute_script("return document.documentElement.scrollWidth") <= PHONE[0]
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
    sizes = browser.execute_script(
        "return [...document.querySelectorAll('svg text')].map(t => t.getBoundingClientRect().height)"
    )
    assert len(sizes) > 20
    assert min(sizes) > 9
    assert "1.25" in browser.execute_script("return document.body.innerText")
    assert "a <processor>" in browser.execute_script("return document.body.innerText")
    heads = browser.execute_script("return [...document.querySelectorAll('h2')].map(h => h.innerText)")
    assert heads[:3] == ["Roofline", "What made the best better", "Predicted and measured"]


def test_links_of_the_table_lead_to_their_tasks(report: Path, browser: Any) -> None:
    browser.get(report.as_uri())
    broken = browser.execute_script(
        "return [...document.querySelectorAll('a')].filter(a => !document.getElementById(a.hash.slice(1))).length"
    )
    assert broken == 0

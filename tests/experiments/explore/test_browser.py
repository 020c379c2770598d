"""The page in a browser: interactions, keys, addresses, hostile texts, accessibility.

They run in headless Chromium, and are skipped where there is none.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from experiments.explore.page import pack, write_file
from experiments.explore.series import Series, Source
from tests.experiments.explore.pages import (
    HOSTILE,
    folder,
    group,
    one_file,
    rollout,
    visit,
    with_reset,
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return one_file(tmp_path_factory.mktemp("page") / "page.html", count=40)


@pytest.fixture
def show(browser: Any) -> Iterator[Any]:
    """Opens an address; whatever a page complains of fails the test."""
    complaints: list[str] = []
    contexts = []

    def opened(path: Path, address: str = "", before: Any = None, **settings: Any) -> Any:
        contexts.append(
            browser.new_context(**{"viewport": {"width": 1280, "height": 800}} | settings)
        )
        page = contexts[-1].new_page()
        page.on(
            "console",
            lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None,
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request",
            lambda r: (
                complaints.append(r.url) if not r.url.startswith(("file:", "data:")) else None
            ),
        )
        if before is not None:
            before(page)
        page.goto(path.as_uri() + address)
        page.wait_for_selector("html[data-ready]")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


def title(page: Any) -> str:
    return page.inner_text("#detail h2")


def notice(page: Any) -> str:
    return page.inner_text("#notice")


def count(page: Any) -> str:
    return page.inner_text("#count")


def first(page: Any) -> str:
    """Title of the first prompt of the list, which may have to be scrolled to."""
    page.evaluate("document.getElementById('list').scrollTop = 0")
    return page.inner_text(".row[aria-posinset='1'] .title")


def until(page: Any, condition: str) -> None:
    """Wait until something holds; Playwright's own way evaluates text, which the page forbids."""
    begun = time.monotonic()
    while not page.evaluate(condition):
        assert time.monotonic() - begun < 20, condition
        time.sleep(0.02)


def test_the_first_prompt_is_shown(show: Any, file: Path) -> None:
    page = show(file)
    assert title(page) == "sums · SRPO · seed 0 · update 5 · prompt 0"
    assert page.inner_text("#detail pre") == "Q: question 0"
    assert count(page) == "120 prompts, 320 rollouts"
    groups = page.locator(".groups button").all_inner_texts()
    assert groups == ["from the prompt (2)", "reset of #1 before thought 2 (2)"]


def test_a_reset_shows_its_prefix_once_and_where_suffixes_differ(show: Any, file: Path) -> None:
    page = show(file, "#at=0.5.0&group=1")
    assert page.locator(".prefix .step .text").all_inner_texts() == ["1two and two"]
    heads = page.locator(".rollout > header .name button").all_inner_texts()
    assert heads == ["#1, the failure itself", "#3", "#4"]
    # " is fish" leaves " is four" after " is f"; " is four" stops where the failure went on.
    marked = page.locator(".rollout mark").all_inner_texts()
    assert marked == ["ish"]
    failure = page.locator(".rollout.parent")
    assert "named by FirstErrorReset" in failure.inner_text()
    assert "reset to before this" in failure.inner_text()
    assert "first wrong step, exact" in failure.locator(".step").nth(1).inner_text()
    numbers = page.locator(".rollout").nth(1).locator(".step .numbers").all_inner_texts()
    assert "A −1" in numbers[0]
    assert "pull 0.25" in numbers[0]
    assert "A −0.5" in numbers[1]
    assert "log p −1.5" in numbers[1]
    assert "A +2.5" in page.locator(".rollout").nth(2).inner_text()


def test_filters_narrow_and_sorts_order(show: Any, file: Path) -> None:
    page = show(file)
    for flag, prompts, begins in (
        ("refusal", 80, "question 1"),
        ("constant group", 40, "question 1"),
        ("cut off", 40, HOSTILE[:40]),
        ("localiser wrong", 40, "question 0"),
        ("reset", 40, "question 0"),
    ):
        button = page.locator(f"#flags button:text-is('{flag}')")
        button.click()
        assert count(page).startswith(f"{prompts} prompts")
        assert first(page).startswith(begins)
        assert button.get_attribute("aria-pressed") == "true"
        button.click()
    for flag in ("refusal", "cut off"):  # both
        page.click(f"#flags button:text-is('{flag}')")
    assert count(page).startswith("40 prompts")
    page.keyboard.press("x")
    page.select_option("#sort", "advantage")
    assert first(page).startswith(HOSTILE[:40])
    page.select_option("#sort", "high")
    assert first(page) == "question 1"
    page.select_option("#update", "10")
    assert count(page).startswith("40 prompts")
    page.fill("#search", "seed 39")
    assert count(page) == "1 prompt, 2 rollouts"
    page.fill("#search", "nowhere at all")
    assert "Nothing fits" in count(page)


def test_series_have_their_own_updates(show: Any, file: Path) -> None:
    page = show(file)
    page.select_option("#series", label="sums · SRPO · seed 7")
    assert count(page) == "3 prompts, 8 rollouts"
    assert page.locator("#update option").all_inner_texts() == ["all", "5", "10"]


def test_keys_do_what_the_help_says(show: Any, file: Path) -> None:
    page = show(file)
    press = page.keyboard.press
    press("j")
    until(page, "document.querySelector('#detail h2').textContent.endsWith('prompt 1')")
    press("k")
    until(page, "document.querySelector('#detail h2').textContent.endsWith('prompt 0')")
    press("]")
    assert page.locator(".groups [aria-current=true]").inner_text().startswith("reset of #1")
    press("n")
    press("n")
    assert page.locator(".rollout.chosen").get_attribute("data-rollout") == "3"
    press("[")
    assert page.locator(".groups [aria-current=true]").inner_text().startswith("from the prompt")
    press("2")
    assert count(page).startswith("40 prompts")
    press("s")
    assert page.input_value("#sort") == "advantage"
    press("/")
    page.keyboard.type("jk?1")  # typing is no command
    assert page.input_value("#search") == "jk?1"
    press("Escape")
    press("x")
    assert count(page).startswith("120 prompts")
    press("?")
    assert page.locator("dialog[open]").count() == 1
    press("Escape")
    assert page.locator("dialog[open]").count() == 0
    page.focus("#list")
    press("End")
    until(page, "document.querySelector('#detail h2').textContent.includes('seed 39')")
    active = page.get_attribute("#list", "aria-activedescendant")
    assert page.locator(f"#{active}").is_visible()


def test_an_address_leads_back_to_what_it_names(show: Any, file: Path) -> None:
    page = show(file)
    page.select_option("#series", label="sums · SRPO · seed 3")
    page.click("#flags button:text-is('reset')")
    page.locator(".row").first.click()
    page.locator(".groups button").nth(1).click()
    page.locator(".rollout > header .name button").nth(2).click()
    address = page.evaluate("location.hash")
    again = show(file, address)
    assert title(again) == "sums · SRPO · seed 3 · update 5 · prompt 0"
    assert count(again).startswith("1 prompt")
    assert again.locator(".groups [aria-current=true]").inner_text().startswith("reset")
    assert again.locator(".rollout.chosen").get_attribute("data-rollout") == "3"
    again.click("#flags button:text-is('reset')")
    again.locator(".row").nth(1).click()
    again.go_back()
    until(again, "document.querySelector('#detail h2').textContent.endsWith('prompt 0')")


def test_an_address_of_nothing_does_no_harm(show: Any, file: Path) -> None:
    page = show(
        file, "#at=9.9.9&series=x&update=%3Cb%3E&group=-4&rollout=zz&sort=constructor&only=,"
    )
    assert title(page).endswith("prompt 0")
    assert count(page).startswith("120 prompts")
    assert notice(page) == (
        "Not on this page: series=x, update=<b>, sort=constructor, at=9.9.9, group=-4, rollout=zz. "
        "Shown is sums · SRPO · seed 0 · update 5 · prompt 0."
    )


SHOWN = "Shown is sums · SRPO · seed 0 · update 5 · prompt"


@pytest.mark.parametrize(
    ("address", "said", "group", "chosen", "left"),
    [
        ("#at=0.5.0&group=8", "Not on this page: group=8.", 0, None, "#at=0.5.0"),
        (
            "#at=0.5.0&group=1&rollout=7",
            "Not on this page: rollout=7.",
            1,
            None,
            "#at=0.5.0&group=1",
        ),
        ("#at=0.5.0&rollout=3", "", 1, "3", "#at=0.5.0&rollout=3"),
        (
            "#at=0.5.0&group=1&rollout=1",
            "Not on this page: rollout=1 in group=1.",
            0,
            "1",
            "#at=0.5.0&rollout=1",
        ),
        ("#update=7", "Not on this page: update=7.", 0, None, "#at=0.5.0"),
    ],
)
def test_what_an_address_asks_for_in_vain_is_said(
    show: Any, file: Path, address: str, said: str, group: int, chosen: str | None, left: str
) -> None:
    page = show(file, address)
    assert notice(page) == (f"{said} {SHOWN} 0." if said else "")
    groups = page.locator(".groups button")
    assert groups.nth(group).get_attribute("aria-current") == "true"
    marked = page.locator(".rollout.chosen")
    found = marked.get_attribute("data-rollout") if marked.count() else None
    assert found == chosen
    assert page.evaluate("location.hash") == left
    page.keyboard.press("j")
    until(page, "document.querySelector('#detail h2').textContent.endsWith('prompt 1')")
    assert notice(page) == ""  # it was about the address, which now names something else


@pytest.mark.parametrize("filters", ["series=3", "update=10", "only=reset", "search=fish"])
def test_filters_that_hide_what_an_address_asks_for_are_switched_off(
    show: Any, file: Path, filters: str
) -> None:
    page = show(file, f"#{filters}&at=0.5.1")
    assert title(page).endswith("seed 0 · update 5 · prompt 1")
    assert count(page).startswith("120 prompts")
    said = f"The address asks for a prompt that its filters hide; switched off: {filters}."
    assert notice(page) == f"{said} {SHOWN} 1."


def test_a_filter_that_hides_what_is_shown_goes_to_what_it_shows(show: Any, file: Path) -> None:
    """So that a copy of the address leads to the same prompt, list and filters."""
    page = show(file, "#at=0.5.1")
    page.click("#flags button:text-is('reset')")
    until(page, "document.querySelector('#detail h2').textContent.endsWith('prompt 0')")
    here = page.url.partition("#")[2]
    assert "only=reset" in here
    assert "at=0.5.0" in here
    shown, listed = title(page), count(page)
    again = show(file, f"#{here}")
    assert (title(again), count(again), notice(again)) == (shown, listed, "")
    page.fill("#search", "nothing of the kind")
    until(page, "!document.querySelector('#detail h2')")
    assert "at=" not in page.url
    page.fill("#search", "")
    assert count(page) == listed


def test_keys_of_filters_count_those_that_are_shown(show: Any, tmp_path: Path) -> None:
    cut = visit(1, [rollout(["b"], None)], [])
    shown = [Series("sums", "SRPO", 0, [(5, with_reset()), (10, cut)])]
    write_file(pack(Source("train", "thought", iter(shown)), "run", 100), tmp_path / "page.html")
    page = show(tmp_path / "page.html")
    words = page.locator("#flags button").all_inner_texts()
    assert words == ["cut off", "localiser wrong", "reset"]
    for key, prompt in (("1", "question 1"), ("2", "question 0"), ("3", "question 0")):
        page.keyboard.press(key)
        assert count(page).startswith("1 prompt,")
        assert page.locator(".row .title").first.inner_text() == prompt
        page.keyboard.press(key)
    for key in ("4", "5"):
        page.keyboard.press(key)
        assert count(page).startswith("2 prompts")
    assert "only" not in page.evaluate("location.hash")


def test_where_there_is_nothing_every_key_does_nothing(show: Any, tmp_path: Path) -> None:
    for number, visits in enumerate(([], [(1, visit(0, [], []))])):
        series = iter([Series("sums", "GRPO", 0, visits)])
        path = tmp_path / f"{number}.html"
        write_file(pack(Source("train", "thought", series), "run", 100), path)
        page = show(path)
        for key in ("j", "k", "]", "[", "n", "p", "1", "s", "x", "End", "Escape"):
            page.keyboard.press(key)
        assert "group" not in page.evaluate("location.hash")
    assert "Nothing was drawn." in page.inner_text("#group")


def test_what_a_model_writes_is_text(show: Any, file: Path) -> None:
    page = show(file, "#at=0.10.2")
    assert page.evaluate("window.hacked") is None
    assert page.inner_text("#detail pre") == HOSTILE
    assert page.locator("#detail img, #detail script, #list img").count() == 0
    assert HOSTILE in page.locator(".rollout .step .text").first.inner_text()
    assert f"answer {HOSTILE}" in page.locator(".rollout > header").first.inner_text()
    assert page.locator(".row .title").nth(2).inner_text() == HOSTILE[:160]


def test_no_script_runs_but_the_page_s_own(browser: Any, file: Path) -> None:
    """Even markup that reached the page would stay dead."""
    page = browser.new_page()
    page.goto(file.as_uri())
    page.wait_for_selector("html[data-ready]")
    page.evaluate(
        "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.hacked=1\">')"
    )
    page.evaluate(
        "const s = document.createElement('script'); s.text = 'window.hacked=2'; "
        "document.body.append(s)"
    )
    page.wait_for_timeout(100)
    assert page.evaluate("window.hacked") is None
    page.close()


def test_a_folder_loads_its_parts_from_disk(show: Any, tmp_path: Path) -> None:
    page = show(folder(tmp_path / "out"))
    assert title(page).endswith("prompt 0")
    # What is looked at and what comes next, and no more.
    until(page, "document.querySelectorAll('script[src]').length === 2")
    page.wait_for_timeout(200)
    assert page.locator("script[src]").count() == 2
    page.keyboard.press("j")
    until(page, "document.querySelector('#detail h2').textContent.endsWith('prompt 1')")
    until(page, "document.querySelectorAll('script[src]').length === 3")


def test_a_part_that_comes_late_does_not_take_the_place_of_another(
    show: Any, tmp_path: Path
) -> None:
    held: list[Any] = []
    page = show(
        folder(tmp_path / "out"),
        before=lambda page: page.route("**/part-1.js", lambda route: held.append(route)),
    )
    page.keyboard.press("j")
    page.keyboard.press("k")
    while not held:
        page.wait_for_timeout(20)
    held[0].continue_()
    page.wait_for_timeout(300)
    assert title(page).endswith("prompt 0")
    page.keyboard.press("j")
    until(page, "document.querySelector('#detail h2').textContent.endsWith('prompt 1')")


def test_groups_are_called_after_where_they_begin(show: Any, tmp_path: Path) -> None:
    rollouts = [
        rollout(["a", "b"]),
        rollout(["c"], 1.0, **{"from": [0, 1]}),
        rollout(["d"], **{"from": "elsewhere", "given": HOSTILE}),
    ]
    groups = [group([0], [0.0]), group([1], [1.0]), group([2], [1.0]), group([0, 1], [1.0, 1.0])]
    shown = [Series("sums", "GRPO", 0, [(1, visit(0, rollouts, groups))])]
    write_file(pack(Source("train", "thought", iter(shown)), "run", 100), tmp_path / "page.html")
    page = show(tmp_path / "page.html", "#at=0.1.0&group=2")
    assert page.locator(".groups button").all_inner_texts() == [
        "from the prompt (1)",
        "from #1 before thought 2 (1)",
        "from elsewhere (1)",
        "from several places (2)",
    ]
    page.click("summary:has-text('what it was given')")
    assert page.inner_text(".rollout pre") == HOSTILE
    assert page.locator("#flags button:visible").count() == 0  # nothing to filter by


def test_a_part_that_is_gone_is_said(browser: Any, tmp_path: Path) -> None:
    path = folder(tmp_path / "out")
    (path.parent / "explore-data" / "part-0.js").unlink()
    page = browser.new_page()
    page.goto(path.as_uri())
    page.wait_for_selector("[role=alert]")
    assert "part-0.js cannot be read" in page.inner_text("[role=alert]")
    page.close()


def test_many_rollouts_come_by_and_by(show: Any, tmp_path: Path) -> None:
    many = visit(0, [rollout([f"thought {i}"], float(i % 2)) for i in range(70)], [])
    shown = Source("train", "thought", iter([Series("sums", "GRPO", 0, [(1, many)])]))
    write_file(pack(shown, "run", 100), tmp_path / "page.html")
    page = show(tmp_path / "page.html", "#at=0.1.0&rollout=20")
    until(page, "document.querySelectorAll('.rollout').length === 24")
    page.wait_for_selector(".rollout.chosen[data-rollout='20']")
    page.click("text=46 more")
    until(page, "document.querySelectorAll('.rollout').length === 48")
    page.click("text=22 more")
    until(page, "document.querySelectorAll('.rollout').length === 70")
    texts = page.locator(".rollout .text").all_inner_texts()
    assert texts == [f"1thought {i}" for i in range(70)]


def test_only_rows_in_sight_are_in_the_list(show: Any, file: Path) -> None:
    page = show(file)
    assert page.locator(".row").count() < 30
    page.locator("#list").evaluate("list => { list.scrollTop = 90 * 58; }")
    until(page, "document.querySelector('.row').getAttribute('aria-posinset') > 80")
    assert page.locator(".row").count() < 40


def test_a_phone_shows_the_list_and_then_the_prompt(show: Any, file: Path) -> None:
    page = show(file, viewport={"width": 390, "height": 780})
    assert page.locator("#list").is_visible()
    assert not page.locator("#detail").is_visible()
    page.locator(".row").first.click()
    page.wait_for_selector("#detail h2")
    assert not page.locator("#list").is_visible()
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 390
    page.click("#back")
    assert page.locator("#list").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("address", ["#at=0.5.0&group=1&rollout=3", "#at=0.10.2", "#at=9.9.9"])
def test_nothing_is_found_by_axe(show: Any, file: Path, scheme: str, address: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = show(file, address, color_scheme=scheme, bypass_csp=True)
    results = axe.Axe().run(page)
    assert results.violations_count == 0, results.generate_report()

"""How long an interaction takes in the page of a run of 10,000 rollouts.

The run is made up: two trainings that have kept 625 prompts of 16 rollouts each. Each interaction
is timed in headless Chromium from the event to the frame that shows its result, parts that have to
be unpacked included; they come a tenth of a second apart. The slowest of all repetitions counts,
beside the time that we allow.

    python -m benchmarks.bench_explore [--quick] [--folder]
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from experiments.execution.settings import Execution
from experiments.explore.command import run
from experiments.explore.config import ExploreConfig
from experiments.explore.page import PAGE
from experiments.rollouts.files import write_visits
from experiments.runs.encoding import canonical, plain
from experiments.runs.store import Run
from experiments.train.config import TrainConfig
from tools.browsers import chromium

ALLOWED = 100.0
"""Milliseconds of an interaction."""

WORDS = ("the", "sum", "of", "two", "odd", "numbers", "is", "even", "so", "we", "may", "add", "it")


def thoughts(rng: random.Random, count: int, words: int) -> list[str]:
    """Some thoughts of about so many words."""
    return [f"{' '.join(rng.choices(WORDS, k=rng.randint(2, 2 * words)))}.\n" for _ in range(count)]


def made_up_visit(rng: random.Random, prompt: int, rollouts: int, words: int) -> dict[str, Any]:
    """A prompt with a base group and suffixes of a reset, as training keeps them."""
    base = rollouts // 2
    found = []
    for i in range(rollouts):
        texts = thoughts(rng, rng.randint(4, 12), words)
        reward = float(rng.random() < 0.4)
        named = [] if i else [{"by": "FirstErrorReset", "step": 2, "localizes": True}]
        row = {
            "texts": texts,
            "tokens": [len(t.split()) for t in texts],
            "answer": str(rng.random()),
        }
        row |= {"logprobs": [round(-20 * rng.random(), 3) for _ in texts]}
        row |= {"least": [round(-5 * rng.random(), 3) for _ in texts]}
        row |= {"reward": reward, "failed": not reward, "ending": "answered"}
        row |= {"ended": "success" if reward else "wrong outcome"}
        if not reward:
            row["true"] = rng.randrange(len(texts))
        found.append(row | {"from": [0, 2] if i >= base else None, "named": named})
    numbers = list(range(rollouts))
    halves = [(numbers[:base], None, None), (numbers[base:], 0, 2)]
    groups = [
        {
            "rollouts": half,
            "advantages": [round(rng.gauss(0, 1), 3) for _ in half],
            "signal": [[round(rng.random(), 4) for _ in found[i]["texts"]] for i in half],
            "parent": parent,
            "step": step,
        }
        for half, parent, step in halves
    ]
    question = " ".join(rng.choices(WORDS, k=20))
    about = {"prompt": prompt, "problem": f"p{prompt}", "question": question, "text": question}
    about |= {"reference": "4", "refused": ["not failed"] * (rng.random() < 0.2)}
    return about | {"rollouts": found, "groups": groups}


def made_up_run(folder: Path, rollouts: int = 10_000, each: int = 16, words: int = 14) -> Path:
    """A run of train of so many rollouts, `each` for a prompt, eight prompts for an update."""
    rng, config = random.Random(0), TrainConfig(worlds=("sparse",), methods=("GRPO", "SRPO"))
    record = Run.open(folder, "train", config, 0)
    record.write("curves", [{"value": 0.0}])
    specs = config.specs()[:2]
    for spec in specs:
        training = record.directory / "models" / f"{spec.world.name}-{spec.method.name}-0"
        training.mkdir(parents=True)
        (training / "made-by.json").write_text(canonical({"spec": plain(spec)}))
        for update in range(1, rollouts // each // 8 // len(specs) + 2):
            write_visits(training, update, [made_up_visit(rng, p, each, words) for p in range(8)])
    return record.directory


# From the event to the frame after the one in which its result is there.
_TIMED = """async ([action, key, settled]) => {
  const frame = () => new Promise((done) => requestAnimationFrame(() => {
    const channel = new MessageChannel();
    channel.port1.onmessage = done; channel.port2.postMessage(null);
  }));
  await new Promise((done) => setTimeout(done, 100));
  await frame();
  const start = performance.now();
  const event = { key, bubbles: true };
  if (action === 'key') document.dispatchEvent(new KeyboardEvent('keydown', event));
  else if (action === 'search') {
    const field = document.getElementById('search');
    field.value = key; field.dispatchEvent(new Event('input', { bubbles: true }));
  } else if (action === 'scroll') document.getElementById('list').scrollTop = key;
  else if (action === 'choose') {
    const field = document.getElementById(key[0]);
    field.value = key[1]; field.dispatchEvent(new Event('change', { bubbles: true }));
  } else document.querySelector(key).click();
  const look = () => document.querySelector(settled)?.textContent ?? '';
  if (settled) {
    const before = window.lastSeen ?? '';
    while (look() === before && performance.now() - start < 2000) await frame();
    window.lastSeen = look();
  } else await frame();
  return performance.now() - start;
}"""

_HEAD = "#detail h2"

INTERACTIONS: dict[str, list[tuple[str, Any, str | None]]] = {
    "next prompt": [("key", "j", _HEAD)] * 40,
    "next group": [("key", "]", None), ("key", "[", None)] * 10,
    "next rollout": [("key", "n", None)] * 8,
    "a filter": [("key", str(i), None) for i in (1, 1, 4, 4, 5, 5)],
    "sorting": [("key", "s", None)] * 5,
    "searching": [("search", word, None) for word in ("o", "od", "odd", "odd sum", "")],
    "a series": [("choose", ["series", value], None) for value in ("1", "0", "")],
    "scrolling the list": [("scroll", top, None) for top in range(0, 30_000, 1500)],
    "a prompt far away": [("scroll", 20_000, None), ("click", "#rows .row:nth-child(5)", _HEAD)],
}


def measured(page: Any) -> dict[str, list[float]]:
    """Milliseconds of every repetition of each interaction."""
    page.evaluate(f"window.lastSeen = document.querySelector('{_HEAD}').textContent")
    return {
        name: [page.evaluate(_TIMED, list(step)) for step in steps]
        for name, steps in INTERACTIONS.items()
    }


def row(name: str, size: str, taken: float, allowed: float, unit: str = "ms") -> dict[str, Any]:
    """A line of the table; the ratio is what is allowed over what is taken."""
    return {
        "workload": f"explore: {name}",
        "size": size,
        "row": "against what we allow",
        "ours": taken,
        "theirs": allowed,
        "unit": unit,
        "ratio": allowed / taken,
        "goal": 1.0,
        "met": taken <= allowed,
    }


def rows(quick: bool = False, as_folder: bool = False) -> Iterator[dict[str, Any]]:
    """The table; `quick` makes up a tenth."""
    from playwright.sync_api import sync_playwright

    rollouts = 1_000 if quick else 10_000
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        for each in (16, 2):
            yield from rows_of(browser, rollouts, each, as_folder)
        browser.close()


def rows_of(browser: Any, rollouts: int, each: int, as_folder: bool) -> Iterator[dict[str, Any]]:
    """The rows of one run, of `each` rollouts for a prompt."""
    size = f"{rollouts:,} rollouts, {each} for a prompt"
    with tempfile.TemporaryDirectory() as folder:
        made = made_up_run(Path(folder), rollouts, each)
        target = made / ("page" if as_folder else PAGE)
        begun = time.process_time()
        config = ExploreConfig((str(made),), target)
        run(config, Path(folder), Execution(), Console(file=sys.stderr))
        yield row("making the page, CPU", size, time.process_time() - begun, 10.0, "s")
        path = target / PAGE if as_folder else target
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        begun = time.perf_counter()
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready]")
        opened = 1000 * (time.perf_counter() - begun)
        yield row(f"opening {path.stat().st_size / 1e6:.1f} MB", size, opened, 2000.0)
        for name, times in measured(page).items():
            yield row(f"{name}, slowest of {len(times)}", size, max(times), ALLOWED)
        page.close()


def main() -> int:
    """Print one JSON object per row."""
    for line in rows("--quick" in sys.argv[1:], "--folder" in sys.argv[1:]):
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())

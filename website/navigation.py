"""The site's table of contents, and the settings file that mkdocs is started with."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from experiments.commands import COMMANDS
from website import method_pages, reference, reset_pages

Entry = str | dict[str, Any]

TUTORIALS = (
    "verify_your_bound",
    "write_and_race",
    "audit_your_estimator",
    "diagnose_a_model",
    "one_gpu",
    "scale_out",
)
HOW_TO = ("slurm", "vllm_server", "lora", "resume", "own_task", "sandbox")


def entries() -> list[Entry]:
    """Every page that has a place in the contents."""
    return [
        {"Two minutes": "index.md"},
        {"Five minutes": "start.md"},
        {"The method in pictures": "pictures.md"},
        {"Tutorials": ["tutorials/index.md", *_pages("tutorials", TUTORIALS), "your_own_model.md"]},
        {"How to": ["howto/index.md", *_pages("howto", HOW_TO)]},
        {
            "Theory": ["theory.md", "property_testing.md"],
        },
        {"Methods": ["methods.md", *_titled("methods", method_pages.PAGES)]},
        {"Reset policies": ["resets/index.md", *_titled("resets", reset_pages.pages())]},
        {
            "In depth": [
                *("running.md", "language_models.md", "diagnose.md", "audit.md", "plan.md"),
                *("explore.md", "data.md", "trl.md", "paper.md", "examples/README.md"),
            ]
        },
        {
            "Measured": [
                *("measurements/README.md", "measurements/training.md", "measurements/smollm2.md"),
                *("measurements/frontier.md", "league.md", "measurements/localization.md"),
                "measurements/diagnose.md",
                {"Measured speed, tabular worlds": "measurements/tabular.md"},
                {"Measured speed, language models": "measurements/llm.md"},
                *("measurements/mutation.md", "records/README.md", "limits.md"),
            ]
        },
        {"Beside others": ["comparison.md", "defects.md"]},
        {"Commands": ["commands/index.md", *_pages("commands", COMMANDS)]},
        {"Reference": ["reference/index.md", *_reference()]},
        {"Project": ["architecture.md", "contributing.md", "changelog.md"]},
    ]


def _pages(folder: str, names: Iterable[str]) -> list[Entry]:
    return [f"{folder}/{name}.md" for name in names]


def _titled(folder: str, pages: Iterable[Any]) -> list[Entry]:
    return [{page.title: f"{folder}/{page.slug}.md"} for page in pages]


def _reference() -> list[Entry]:
    return [
        {part: f"reference/{part}.md"}
        for package in reference.PACKAGES
        for part in reference.parts(package)
    ]


def settings() -> str:
    """A settings file for mkdocs, in a folder beside the sources; JSON is YAML."""
    # Paths are seen from the folder of this file.
    places = {"docs_dir": "docs", "site_dir": "site", "hooks": ["../website/hooks.py"]}
    return json.dumps({"INHERIT": "../mkdocs.yml", **places, "nav": entries()}, indent=1)

"""A page per method: its source, what it estimates and costs, what it drew, and its curve."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from cpi_theory.algorithms.collecting import collect
from cpi_theory.algorithms.conservative import ConservativePolicyIteration
from cpi_theory.algorithms.grpo import RLOO, DrGRPO
from cpi_theory.algorithms.reset_grpo import RRPO, SRPO
from cpi_theory.seam import Algorithm, Collection
from experiments.methods import (
    LANGUAGE_METHODS,
    REVISING,
    TABULAR_METHODS,
    ConservativeMethod,
)
from website import curves, groups, inspecting, worlds
from website.links import ROOT, rooted, sections, slug

OVERVIEW = "docs/methods.md"
PROMPTS = 256
"""Prompts of the collection in which costs are counted."""


@dataclass(frozen=True)
class MethodPage:
    """What a page is about.

    Attributes:
        title: of the page.
        names: in commands; the first one stands for the object.
        row: what begins its row in the table of the overview; "" if it has none.
        section: of the overview that tells its details; or a section of docs/theory.md.
        factory: the function that makes it, where the class serves several methods.
        names_resets: whether it is the page of a reset policy, which stands elsewhere.
    """

    title: str
    names: tuple[str, ...]
    row: str
    section: str
    factory: Callable[..., Any] | None = None

    @property
    def slug(self) -> str:
        """Its file below methods/."""
        return slug(self.title.replace(".", "").replace(" ", "-"))

    @property
    def method(self) -> Any:
        """The entry of the tables of methods."""
        name = self.names[0]
        return TABULAR_METHODS[name] if name in TABULAR_METHODS else LANGUAGE_METHODS[name]

    @property
    def conservative(self) -> bool:
        """Whether it is conservative policy iteration, which has no plan and no groups."""
        return isinstance(self.method, ConservativeMethod)

    @property
    def revises(self) -> bool:
        """Whether it needs second attempts."""
        return self.names[0] in REVISING


_PLAIN, _RESETS = "GRPO, Dr. GRPO, RLOO", "RRPO, SRPO, and without the gate"
_PREFIX, _CPI = "Prefix starts", "From bounds to algorithms"

PAGES: tuple[MethodPage, ...] = (
    MethodPage("GRPO", ("GRPO",), "GRPO", _PLAIN),
    MethodPage("Dr. GRPO", ("Dr. GRPO",), "Dr. GRPO", _PLAIN, DrGRPO),
    MethodPage("RLOO", ("RLOO",), "RLOO", _PLAIN, RLOO),
    MethodPage("RRPO", ("RRPO",), "RRPO, SRPO", _RESETS, RRPO),
    MethodPage("SRPO", ("SRPO", "SRPO-70", "SRPO-40", "ORACLE"), "RRPO, SRPO", _RESETS, SRPO),
    MethodPage("RRPO, any", ("RRPO, any",), "RRPO without the gate", _RESETS, RRPO),
    MethodPage("Frontier", ("Frontier", "Frontier-70"), "Frontier", "Frontier"),
    MethodPage(
        "Adaptive Frontier",
        ("Adaptive Frontier", "Adaptive SRPO"),
        "Adaptive Frontier",
        "Adaptive Frontier and SRPO",
    ),
    MethodPage("VinePPO", ("VinePPO",), "VinePPO", "VinePPO"),
    MethodPage("SPO-chain", ("SPO-chain",), "SPO-chain", "SPO-chain"),
    MethodPage("SPO-tree", ("SPO-tree",), "SPO-tree", "SPO-tree"),
    MethodPage("TreeRPO", ("TreeRPO",), "TreeRPO", "TreeRPO"),
    MethodPage("TreeRL", ("TreeRL",), "TreeRL", "TreeRL"),
    MethodPage("VPPO", ("VPPO",), "VPPO", "VPPO"),
    MethodPage("CAPO", ("CAPO", "CAPO, every step"), "CAPO", "CAPO"),
    MethodPage("lambda-GRPO", ("lambda-GRPO",), "lambda-GRPO", "lambda-GRPO"),
    MethodPage("GiGPO", ("GiGPO",), "GiGPO", "GiGPO"),
    MethodPage("R3", ("R3", "R3, mixed"), "R3", _PREFIX),
    MethodPage("AdaBack", ("AdaBack",), "AdaBack", _PREFIX),
    MethodPage("own prefixes", ("own prefixes",), "own prefixes", _PREFIX),
    MethodPage("SCoRe", ("SCoRe",), "SCoRe", "SCoRe"),
    MethodPage("Critique-GRPO", ("Critique-GRPO",), "Critique-GRPO", "Critique-GRPO"),
    MethodPage("CPI-RR", ("CPI-RR", "CPI-RR, exact"), "", _CPI),
    MethodPage("CPI-CARO", ("CPI-CARO", "CPI-CARO, exact"), "", _CPI),
)

OF_RESETS = ("UnsureReset", "EntropyReset", "ValueDropReset")
"""Names of methods whose pages are those of their reset policies."""


@cache
def overview() -> str:
    """The text of the overview, its links from the root."""
    return rooted((ROOT / OVERVIEW).read_text(), OVERVIEW)


@cache
def details() -> dict[str, str]:
    """Sections that pages show, by heading."""
    theory = rooted((ROOT / "docs/theory.md").read_text(), "docs/theory.md")
    told = dict(sections(overview()))
    return {**told, _CPI: dict(sections(theory))[_CPI].split("\n### ")[0]}


def row(title: str) -> dict[str, str]:
    """The cells of a row of the overview's table, by the heads of their columns."""
    lines = [line for line in overview().splitlines() if line.startswith("| ")]
    start = next(i for i, line in enumerate(lines) if line.startswith("| method |"))
    heads = _cells(lines[start])
    for line in lines[start + 2 :]:
        cells = _cells(line)
        if re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", cells[0]) == title:
            return dict(zip(heads, cells, strict=True))
    raise LookupError(title)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


@cache
def collection(page: MethodPage, prompts: int) -> Collection:
    """What the method collects: for one prompt of the small tree, or for many of `learn`'s world.

    Args:
        page: of a method with groups.
        prompts: 1, or more.
    """
    make = worlds.small_world if prompts == 1 else worlds.measured_world
    world = make(page.revises)
    algorithm: Algorithm = page.method.algorithm
    starts = world.start_states(prompts, key=1)
    return max(
        (collect(algorithm, world, starts, key=key) for key in range(20 if prompts == 1 else 1)),
        key=_tells,
    )


def _tells(one: Collection) -> tuple[bool, int, int]:
    """What makes a collection worth a look: a reset, and credit that differs. First ones win."""
    differing = sum(group.informative for group in one)
    return any(group.parent is not None for group in one), differing, 0


def files(page: MethodPage) -> Iterator[tuple[str, str]]:
    """The page and its pictures: path below the site's sources, and text."""
    lines = [f"# {page.title}", *_about(page), *_source(page)]
    if not page.conservative:
        world = worlds.small_world(page.revises)
        drawn = groups.picture(list(groups.rows(collection(page, 1), world)), page.title)
        yield f"methods/{page.slug}-groups.svg", drawn
        lines += _drawn(page)
        lines += _cost(page)
    lines += _details(page)
    found = curves.of(page.names)
    for name, figure in curves.figures(page.slug, found):
        yield f"methods/{name}", figure
    lines += curves.text(page.slug, found)
    yield f"methods/{page.slug}.md", "\n".join(lines) + "\n"


def _about(page: MethodPage) -> list[str]:
    named = ", ".join(f"`{name}`" for name in page.names)
    lines = ["", f"Names in commands: {named}."]
    if page.row:
        told = row(page.row)
        lines += [
            "",
            "| kind | estimates | rollouts per prompt | asks of the world |",
            "| --- | --- | --- | --- |",
            f"| {told['kind']} | {told['estimates']} | {told['rollouts per prompt']} "
            f"| {told['asks of the world']} |",
        ]
    return [*lines, "", "```bash", *_commands(page), "```"]


def _commands(page: MethodPage) -> Iterator[str]:
    name = f'"{page.names[0]}"' if " " in page.names[0] else page.names[0]
    if page.names[0] in TABULAR_METHODS:
        sampled = "" if page.conservative else " --sampled-worlds"
        yield f"cpi-resets learn --methods {name} --worlds {worlds.MEASURED}{sampled}"
    if page.names[0] in LANGUAGE_METHODS:
        yield f"cpi-resets train --methods {name} --worlds sparse"


def _source(page: MethodPage) -> list[str]:
    method = ConservativePolicyIteration if page.conservative else type(page.method.algorithm)
    entry = "run" if page.conservative else "plan"
    value = "" if page.conservative else f"\n\nIts value in commands is `{page.method.algorithm}`."
    parts: list[inspecting.Source] = [method] if page.factory is None else [page.factory, method]
    ran = None if page.conservative else _ran(page)
    shown = "\n\n\n".join(inspecting.code(part, entry, ran) for part in parts)
    where = inspecting.path(method)
    said = [inspecting.doc(part) for part in parts]
    return [
        *("", "## What it does, in code", "", "```python", shown, "```", ""),
        f"From [{where}](/{where}), without docstrings and what this value does not run.{value}",
        *("", "## What its docstring says", ""),
        *(f"```text\n{text}\n```\n" for text in said),
    ]


def _ran(page: MethodPage) -> set[str]:
    """Methods of its class that this value comes through, on the small tree."""
    world = worlds.small_world(page.revises)
    starts = world.start_states(8, key=1)
    algorithm = page.method.algorithm
    return inspecting.methods_run(
        type(algorithm), lambda: [collect(algorithm, world, starts, key=key) for key in range(4)]
    )


def _drawn(page: MethodPage) -> list[str]:
    return [
        "## What it drew",
        "",
        "One prompt of a reasoning tree of six steps, of which two are hard: the groups that this "
        "very object returned, made when this page was built. Of keys 0 to 19 the first was "
        "taken whose groups teach most.",
        "",
        f"![Groups of {page.title} for one prompt, a box per step]({page.slug}-groups.svg)",
        "",
    ]


def _cost(page: MethodPage) -> list[str]:
    found = collection(page, PROMPTS)
    refused = (
        ", ".join(
            f"{reason.value} {n}"
            for reason, n in sorted(found.refusals.items(), key=lambda item: item[0].value)
        )
        or "none"
    )
    informative = sum(group.informative for group in found)
    return [
        "## What it costs",
        "",
        f"{PROMPTS} prompts of the world `{worlds.MEASURED}` under its base policy (value "
        f"{worlds.measured_world(page.revises).value():.3f}), counted when this page was built:",
        "",
        "| per prompt: rollouts | steps generated | rollouts localised | groups | of which teach "
        "anything | refusals, all prompts |",
        "| --- | --- | --- | --- | --- | --- |",
        f"| {found.generated_rollouts / PROMPTS:.2f} | {found.generated_steps / PROMPTS:.1f} "
        f"| {found.localizations / PROMPTS:.2f} | {len(found) / PROMPTS:.2f} "
        f"| {informative / len(found):.0%} | {refused} |",
        "",
    ]


def _details(page: MethodPage) -> list[str]:
    title = page.section
    said = details()[title].strip()
    beside = [other for other in PAGES if other.section == title and other is not page]
    lines = ["## Details that matter", "", said, ""]
    if beside:
        links = ", ".join(f"[{other.title}](/site/methods/{other.slug}.md)" for other in beside)
        lines += [f"The same is told of {links}.", ""]
    return lines

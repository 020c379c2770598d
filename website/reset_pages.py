"""A page per reset policy: its source, its reset weight, and what the bounds make of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from matplotlib.figure import Figure

from cpi_theory.bounds import best_step
from cpi_theory.resets.first_error import FirstErrorReset
from cpi_theory.resets.oracle import (
    AdvantageReset,
    ImperfectReset,
    ImprovableReset,
    WrongStepReset,
)
from cpi_theory.resets.uniform import StartReset, UniformReset
from cpi_theory.resets.unsure import UnsureReset
from cpi_theory.resets.value_drop import ValueDropReset
from cpi_theory.seam import ResetPolicy
from paper_figs.style import GOOD, MUTED, panels, render, styled
from tabular.resets.updates import greedy_on, improvable, reset_step
from website import curves, inspecting, method_pages, worlds
from website.links import slug

SAMPLES = 2_000
"""Rollouts where no recursion gives the weight."""


@dataclass(frozen=True)
class ResetPage:
    """What a page is about.

    Attributes:
        reset: the policy, with values that suit the small tree.
        used: how it is used.
        methods: names of methods in commands that are made with it.
    """

    reset: ResetPolicy
    used: str
    methods: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The name of its class."""
        return type(self.reset).__name__

    @property
    def slug(self) -> str:
        """Its file below resets/."""
        return slug(self.title)


@cache
def pages() -> tuple[ResetPage, ...]:
    """Every reset policy of the package."""
    tau = float(worlds.small_tree().tau)
    conservative = "ConservativePolicyIteration(reset={}, ...)"
    group = 'ResetGRPO({}, on_refusal="fresh")'
    return (
        ResetPage(StartReset(), conservative),
        ResetPage(UniformReset(), group, ("RRPO", "RRPO, any", "CPI-RR")),
        ResetPage(FirstErrorReset(), group, ("SRPO", "Frontier")),
        ResetPage(ImprovableReset(tau), conservative, ("CPI-CARO",)),
        ResetPage(ImperfectReset(0.6, 0.8, tau), conservative),
        ResetPage(AdvantageReset(tau / 2), conservative),
        ResetPage(WrongStepReset(), "CAPO(judge={})", ("CAPO, every step",)),
        ResetPage(UnsureReset(), group, ("UnsureReset", "EntropyReset")),
        ResetPage(ValueDropReset(4), group, ("ValueDropReset",)),
    )


@dataclass(frozen=True)
class Induced:
    """The weight that a reset policy induces on the small tree, and what follows.

    Attributes:
        exact: whether a recursion gave it.
        visited, selected, wanted: share of each step, shape (H,): of resets under this policy's
            law, and of the improvable visits.
        coverage, precision, recall: p_w, P_nu(I_tau) and E_d[w | I_tau].
        advantage, remaining: of the candidate that is greedy on I_tau.
        alpha, gain: T2's step and what it guarantees.
    """

    exact: bool
    selected: tuple[float, ...]
    wanted: tuple[float, ...]
    coverage: float
    precision: float
    recall: float
    advantage: float
    remaining: float
    alpha: float
    gain: float


@cache
def induced(page: ResetPage) -> Induced:
    """Worked out exactly where a recursion exists, else from :data:`SAMPLES` rollouts."""
    tree, world = worlds.small_tree(), worlds.small_world()
    found = world.reset_weight(page.reset, samples=SAMPLES, key=0)
    weight = np.asarray(found, np.float64)
    evaluation = world.evaluation
    visits = np.asarray(evaluation.occupancy, np.float64)
    wanted = np.asarray(improvable(evaluation, float(tree.tau)), np.float64)
    law = visits * weight
    step = reset_step(evaluation, greedy_on(evaluation, wanted > 0), weight)
    alpha, gain = best_step(step)
    return Induced(
        found.exact,
        tuple(law.sum(axis=1) / law.sum()),
        tuple((visits * wanted).sum(axis=1) / (visits * wanted).sum()),
        *(
            float(x)
            for x in (
                law.sum(),
                (law * wanted).sum() / law.sum(),
                (law * wanted).sum() / (visits * wanted).sum(),
                step.advantage,
                step.remaining,
                alpha,
                gain,
            )
        ),
    )


@styled
def shares(found: Induced) -> Figure:
    """Where it resets to, beside where something can be improved."""
    figure, axes = panels(1, 1, width=5.0, height=2.0)
    (ax,), steps = axes[0], np.arange(1, len(found.selected) + 1)
    ax.bar(steps - 0.2, found.selected, 0.4, color=GOOD, label="resets before this step")
    ax.bar(steps + 0.2, found.wanted, 0.4, color=MUTED, label="visits that can be improved")
    ax.set_xlabel("step")
    ax.set_ylabel("share")
    ax.legend(loc="upper right")
    return figure


def files() -> Iterator[tuple[str, str]]:
    """Pages, pictures and the overview: path below the site's sources, and text."""
    yield "resets/index.md", _overview()
    for page in pages():
        yield f"resets/{page.slug}.svg", render(shares(induced(page)), "svg").decode()
        found = curves.of(page.methods) if page.title in ("UnsureReset", "ValueDropReset") else []
        for name, figure in curves.figures(page.slug, found):
            yield f"resets/{name}", figure
        yield f"resets/{page.slug}.md", "\n".join(_lines(page, found)) + "\n"


_HEAD = [
    "| reset policy | coverage | precision | recall | advantage | remaining | step | sure gain |",
    "| --- | --- | --- | --- | --- | --- | --- | --- |",
]


def _overview() -> str:
    tree = worlds.small_tree()
    rows = [f"{_numbers(page, f'[{page.title}]({page.slug}.md)')}" for page in pages()]
    return "\n".join(
        [
            "# Reset policies",
            "",
            "A reset policy says how strongly each step of a rollout is selected as the state to "
            "go back to. It is a frozen value with one method, and knows no backend "
            "([seam.py](/cpi_theory/seam.py)). What the bounds need of it is the weight w(s, h) "
            "that it induces ([theory](/docs/theory.md#notation)).",
            "",
            f"All on one reasoning tree of {tree.horizon} steps, two of them hard, with tau "
            f"= {float(tree.tau):.4g}: coverage p_w, precision and recall of the improvable "
            "states, advantage and remaining horizon under the reset distribution for the "
            "candidate that is greedy on the improvable states, and T2's step with the gain "
            "that is sure. Worked out "
            f"when the page was built, exactly or (marked *) from {SAMPLES:,} rollouts.",
            "",
            *_HEAD,
            *rows,
            "",
            "Read: precision is what a localiser buys. Random resets have the precision of chance; "
            "an oracle has 1, and a larger step that is sure to gain more.",
            "",
        ]
    )


def _numbers(page: ResetPage, name: str) -> str:
    one = induced(page)
    star = "" if one.exact else " *"
    values = (one.coverage, one.precision, one.recall, one.advantage, one.remaining, one.alpha)
    cells = [*(f"{value:.3g}" for value in values), f"{one.gain:.2g}"]
    return f"| {name}{star} | {' | '.join(cells)} |"


def _lines(page: ResetPage, found: list[curves.Found]) -> Iterator[str]:
    where, one = inspecting.path(type(page.reset)), induced(page)
    entry = "weights_at" if hasattr(page.reset, "weights_at") else "step_weights"
    value = str(page.reset)
    yield from (f"# {page.title}", "", f"Used as `{page.used.format(value)}`.", "")
    for name in page.methods:
        yield (
            f"- method [{name}]({_method_link(name)}) of commands"
            if _method_link(name)
            else (
                f"- method `{name}` of commands: `cpi-resets "
                f"{'train' if name == 'EntropyReset' else 'learn'} --methods {name}`"
            )
        )
    yield from ("", "## What it does, in code", "", "```python")
    yield inspecting.code(type(page.reset), entry)
    yield from ("```", "", f"From [{where}](/{where}), docstrings left out.", "")
    yield from (
        "## What its docstring says",
        "",
        "```text",
        inspecting.doc(type(page.reset)),
        "```",
    )
    yield from (
        "",
        "## Where it resets to",
        "",
        f"`{value}` on the tree of [the overview](index.md):",
    )
    yield from ("", f"![Share of resets by step, beside improvable visits]({page.slug}.svg)", "")
    yield from (*_HEAD, _numbers(page, page.title), "")
    if not one.exact:
        yield f"From {SAMPLES:,} rollouts; no recursion is known for its weight."
    if page.title in ("UnsureReset", "ValueDropReset"):
        yield from ("## Details that matter", "")
        yield method_pages.details()["Reset policies that ask nobody"].strip()
        yield ""
    yield from curves.text(page.slug, found) if found else ()


def _method_link(name: str) -> str:
    for page in method_pages.PAGES:
        if name in page.names:
            return f"/site/methods/{page.slug}.md"
    return ""

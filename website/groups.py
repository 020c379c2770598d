"""What an algorithm collects for one prompt, as a picture: a box per step, coloured by its credit.

The picture is of a real collection, drawn by the algorithm itself from a small world.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

import numpy as np

from cpi_theory.seam import Collection, Group, Rollout, Sample
from tabular.simulation.simulator import TabularSimulator

BOX, ROW, LEFT, TOP = 46, 24, 96, 30
"""Pixels: width of a step, height of a row, room for names, room above."""

STYLE = (
    "text{font:11px sans-serif;fill:#222}.name{font-weight:bold}.small{font-size:10px;fill:#555}"
    ".middle{text-anchor:middle}.step{stroke:#888}.kept{fill:#eee;stroke:#bbb;stroke-dasharray:3 2}"
    ".wrong{stroke:#b00;stroke-width:2.2}.reset{stroke:#36c;stroke-width:2.5}"
)


@dataclass(frozen=True)
class Row:
    """A line of the picture.

    Attributes:
        label: on its left.
        begin: column of its first step.
        wrong: whether each step lowered the value, by the exact advantage.
        credit: advantage that each step is learned with; None: shown, not learned from.
        reward: of the rollout; None where it is told elsewhere.
        reset: column of the state that a group starts from.
    """

    label: str
    begin: int
    wrong: Sequence[bool]
    credit: Sequence[float] | None
    reward: float | None
    reset: int | None = None


def rows(collection: Collection, world: TabularSimulator) -> Iterator[Row | str]:
    """The groups of a collection: a heading each, the parent, and the samples."""
    for number, group in enumerate(collection, 1):
        yield f"group {number}{_kind(group)}"
        begin = 0
        if group.parent is not None and group.step is not None:
            begin = group.step
            yield Row("failed parent", 0, _wrong(group.parent, world), None, None, begin)
        for sample in group.samples:
            yield _row(sample, begin, world)


def _kind(group: Group) -> str:
    if group.parent is None:
        return ": from the start" if not group.samples or _layer(group.samples[0]) == 0 else ""
    return f": from before step {group.step + 1} of a failure" if group.step is not None else ""


def _layer(sample: Sample) -> int:
    states = sample.rollout.states
    return int(states[0][0]) if len(states) else 0  # type: ignore[index]


def _row(sample: Sample, begin: int, world: TabularSimulator) -> Row:
    rollout, credit = sample.rollout, [float(a) for a in sample.advantages]
    column = begin or _layer(sample)
    return Row("", column, _wrong(rollout, world), credit, rollout.reward)


def _wrong(rollout: Rollout, world: TabularSimulator) -> list[bool]:
    if not len(rollout):
        return []
    return [bool(a < -1e-9) for a in world.step_advantages([rollout])[0]]


def picture(lines: Sequence[Row | str], title: str) -> str:
    """The picture as SVG.

    Args:
        lines: rows, and headings as texts.
        title: for readers who do not see it.
    """
    drawn = [line for line in lines if isinstance(line, Row)]
    columns = max((row.begin + len(row.wrong) for row in drawn), default=1)
    largest = max((abs(c) for row in drawn for c in row.credit or ()), default=1.0) or 1.0
    width, height = LEFT + columns * BOX + 70, TOP + ROW * len(lines) + 34
    shapes = [
        f'<text class="small middle" x="{x:g}" y="{TOP - 10}">step {k + 1}</text>'
        for k in range(columns)
        for x in (LEFT + (k + 0.5) * BOX,)
    ]
    for number, line in enumerate(lines):
        y = TOP + number * ROW
        if isinstance(line, str):
            shapes.append(f'<text class="name" x="8" y="{y + 17}">{escape(line)}</text>')
        else:
            shapes += _shapes(line, y, largest)
    note = (
        "number: advantage that the step is learned with; red frame: the step that lowered the "
        "value; blue: where the group starts"
    )
    shapes.append(f'<text class="small" x="8" y="{height - 12}">{note}</text>')
    width = max(width, 640)
    frame = f'xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}"'
    body = "\n".join(shapes)
    back = f'<rect width="{width}" height="{height}" rx="6" fill="#fff"/>'
    named = f'role="img" aria-label="{escape(title)}"'
    return f"<svg {frame} {named}>\n<style>{STYLE}</style>\n{back}\n{body}\n</svg>\n"


def _shapes(row: Row, y: int, largest: float) -> Iterator[str]:
    yield f'<text class="small" x="16" y="{y + 16}">{escape(row.label)}</text>'
    for k, wrong in enumerate(row.wrong):
        x = LEFT + (row.begin + k) * BOX
        # Only the step itself is wrong; what follows an error has nothing left to lose.
        kind = "wrong" if wrong else "step" if row.credit is not None else "kept"
        fill = "" if row.credit is None else f' fill="{_colour(row.credit[k] / largest)}"'
        if wrong and row.credit is None:
            fill = ' fill="#eee"'
        yield (
            f'<rect class="{kind}" x="{x + 1}" y="{y + 2}" width="{BOX - 3}" height="{ROW - 5}"'
            f' rx="3"{fill}/>'
        )
        if row.credit is not None:
            text = _number(row.credit[k])
            yield f'<text class="middle" x="{x + BOX / 2:g}" y="{y + 16}">{text}</text>'
    if row.reset is not None:
        x = LEFT + row.reset * BOX
        yield f'<line class="reset" x1="{x}" x2="{x}" y1="{y}" y2="{y + ROW}"/>'
    if row.reward is not None and np.isfinite(row.reward):
        x = LEFT + (row.begin + len(row.wrong)) * BOX + 8
        yield f'<text x="{x}" y="{y + 16}">= {row.reward:g}</text>'


def _number(value: float) -> str:
    return "0" if abs(value) < 5e-4 else f"{value:+.2f}"


def _colour(share: float) -> str:
    """From orange (-1) over white to green (+1): colours that the colour-blind tell apart."""
    end = (0, 158, 115) if share > 0 else (230, 120, 40)
    strength = 0.6 * min(abs(share), 1.0)
    return "#" + "".join(f"{round(255 + (c - 255) * strength):02x}" for c in end)

"""MDPs as text that a person can read: a line per (layer, state, action), short numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from tabular.mdp.validation import Array, is_sparse

MOST_LINES = 64
"""Tables with more lines are named by their sizes alone."""
MOST_SUPPORT = 8
"""Distributions over more states are named by their number."""


def describe(
    mdp: Any, title: str, states: Mapping[str, Array], actions: Mapping[str, Array]
) -> str:
    """Write a header and, of a small MDP, what each action does; like layers are one block.

    Args:
        mdp: finite-horizon or discounted.
        title: what the header begins with.
        states: further columns by name, each of shape (H, S), or (S,) for every layer.
        actions: further columns by name, each of shape (H, S, A), or (S, A) for every layer.
    """
    layers = _layers(mdp, states, actions)
    lines = [f"{title}: {_sizes(mdp)}"]
    if len(layers) * mdp.states * mdp.actions > MOST_LINES:
        return lines[0]
    for h in layers:
        layer = f"h={h} " if len(layers) > 1 else ""
        lines += (f"  {layer}{line}" for line in _layer(mdp, h, states, actions))
    return "\n".join(lines)


def pretty_lines(self: Any, printer: Any, _cycle: bool) -> None:
    """Print a `repr` of several lines in hypothesis and IPython, as method ``_repr_pretty_``."""
    for number, line in enumerate(repr(self).splitlines()):
        if number:
            printer.break_()
        printer.text(line)


def _sizes(mdp: Any) -> str:
    horizon = getattr(mdp, "horizon", None)
    parts = [
        f"discount {_number(mdp.discount)}" if horizon is None else _count(horizon, "layer"),
        _count(mdp.states, "state"),
        _count(mdp.actions, "action"),
        f"returns in [0, {_number(mdp.reward_bound)}]",
        f"start {_law(mdp.start)}",
    ]
    return ", ".join([*parts, *(["sparse"] if mdp.sparse else [])])


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _layers(mdp: Any, states: Mapping[str, Array], actions: Mapping[str, Array]) -> range:
    """The layers to print: the first alone if all are alike."""
    horizon = getattr(mdp, "horizon", None)
    if horizon is None:
        return range(1)
    tables = [table for table in states.values() if table.ndim == 2]
    tables += [table for table in (*actions.values(), mdp.rewards) if table.ndim == 3]
    alike = mdp.stationary or _all_equal([mdp.kernel(h) for h in range(horizon)])
    alike = alike and all(_all_equal(list(table)) for table in tables)
    return range(1 if alike else horizon)


def _all_equal(tables: list[Any]) -> bool:
    return not any(_differ(tables[0], other) for other in tables[1:])


def _differ(one: Any, other: Any) -> bool:
    if is_sparse(one):
        return bool((one != other).nnz > 0)
    return bool((one != other).any())


def _layer(
    mdp: Any, h: int, states: Mapping[str, Array], actions: Mapping[str, Array]
) -> Iterator[str]:
    kernel = mdp.kernel(h)
    for s in range(mdp.states):
        ends = getattr(mdp, "terminal", np.zeros(mdp.states, dtype=bool))[s]
        notes = [f"{name} {_number(_at(table, h, 1)[s])}" for name, table in states.items()]
        if ends:
            yield "  ".join([f"s={s}  terminal", *notes])
            continue
        for a in range(mdp.actions):
            row = kernel[[s * mdp.actions + a]].toarray()[0] if mdp.sparse else kernel[s, a]
            more = [f"{name} {_number(_at(table, h, 2)[s, a])}" for name, table in actions.items()]
            pays = f"pays {_number(mdp.reward(h)[s, a])}"
            yield "  ".join([f"s={s} a={a}", *notes, *more, pays, f"to {_law(row)}"])


def _at(table: Array, h: int, axes: int) -> Array:
    """The layer of a table with so many axes beside that of layers, if it has that one."""
    return table if table.ndim == axes else table[h]


def _law(law: Array) -> str:
    """A distribution by its support: "2", or "(0: 1/2, 2: 1/2)"."""
    support = np.flatnonzero(law)
    if len(support) == 1:
        return str(support[0])
    if len(support) > MOST_SUPPORT:
        return f"in {len(support)} states"
    return f"({', '.join(f'{s}: {_number(law[s])}' for s in support)})"


def _number(number: Any) -> str:
    return str(number) if isinstance(number, Fraction) else f"{float(number):.6g}"

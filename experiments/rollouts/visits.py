"""What happened at one prompt in one update, as a record that can be shown.

A record is of JSON data alone. `rollouts` are all that were drawn or learned from, `groups` name
them by number. Steps are counted from 0 among a rollout's own: those that it was given, kept from
another one, belong to that one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cpi_theory.seam import Group, Prompt, Refusal, Rollout, State
from experiments.rollouts.witness import Named, Seen
from experiments.runs.files import Row

ELSEWHERE = "elsewhere"
"""Where a rollout began that began neither at the prompt nor in a rollout of the same record."""

BEFORE = -1
"""In place of a step: it is not among a rollout's own, but in what it was given."""


class Describer(Protocol):
    """Tells of a world's prompts and rollouts what readers want to know."""

    def prompt(self, prompt: Prompt) -> Row:
        """Fields of the record: `problem` (its name), `question`, `reference` and `text`."""
        ...

    def start(self, rollout: Rollout) -> str:
        """What a rollout was given, as text."""
        ...

    def rollout(self, rollout: Rollout) -> Row:
        """Fields of a rollout: `texts` of its steps, and whatever a world knows of them.

        A list has one entry per step: `logprobs` (nats, of the whole step), `least` (of its least
        likely token), `tokens`. `true` is the first wrong step, null where none is, -1 where it
        lies in what the rollout was given, and left out where that is unknown.
        """
        ...


Signals = Sequence[Sequence[NDArray[np.float64]]]
"""Of each sample of each group how hard the loss pulls at each step, shape (len(rollout),)."""


def visit_row(
    seen: Seen, groups: Sequence[Group], world: Describer, signals: Signals | None = None
) -> Row:
    """Put together what is known of a prompt.

    Args:
        seen: what its plan saw.
        groups: what the plan returned.
        world: describes.
        signals: of the groups' samples.

    Returns:
        `prompt`, the fields of :meth:`Describer.prompt`, `refused` (reasons), and

        - `rollouts`: fields of :meth:`Describer.rollout`, `reward` (null: cut), `failed`, `ended`
          (see :class:`cpi_theory.seam.Outcome`), `from` (null: the prompt; a rollout and
          the step before which it began; or "elsewhere") and `named`: who (`by`) named which `step`
          (null where the answer was a `reason`, or spread over several);
        - `groups`: the numbers of `rollouts` and their `advantages` (one number where all steps of
          a rollout have the same), `parent` and `step` where it starts at a reset, and `signal`.
    """
    numbered = _Numbered()
    for rollout, state in seen.drawn:
        numbered.add(rollout, _origin(state, seen.prompt, numbered.rollouts))
    for one in seen.named:
        numbered.add(one.rollout, ELSEWHERE)
    for group in groups:
        _add_group(numbered, group)
    said: dict[int, list[Row]] = {}
    for one in seen.named:
        said.setdefault(numbered.of(one.rollout), []).append(_answer(one))
    return {
        "prompt": seen.prompt.id,
        **world.prompt(seen.prompt),
        "refused": [reason.value for reason in seen.refused],
        "rollouts": [
            {**world.rollout(r), **_outcome(r), **_begun(r, begun, world), "named": said.get(i, [])}
            for i, (r, begun) in enumerate(zip(numbered.rollouts, numbered.begun, strict=True))
        ],
        "groups": [
            _group_row(numbered, group, None if signals is None else signals[i])
            for i, group in enumerate(groups)
        ],
    }


@dataclass(slots=True, eq=False)
class _Numbered:
    """Rollouts by number, and where each began; the very objects count, not their contents."""

    rollouts: list[Rollout] = field(default_factory=list)
    begun: list[Any] = field(default_factory=list)
    _numbers: dict[int, int] = field(default_factory=dict)

    def add(self, rollout: Rollout, begun: Any) -> None:
        """Number a rollout that has no number yet."""
        if id(rollout) not in self._numbers:
            self._numbers[id(rollout)] = len(self.rollouts)
            self.rollouts.append(rollout)
            self.begun.append(begun)

    def of(self, rollout: Rollout) -> int:
        """The number of a rollout."""
        return self._numbers[id(rollout)]


def _origin(state: State, prompt: Prompt, earlier: Sequence[Rollout]) -> Any:
    if state == prompt.start:
        return None
    for number, rollout in enumerate(earlier):
        for step in range(len(rollout)):
            if rollout.states[step] == state:
                return [number, step]
    return ELSEWHERE


def _add_group(numbered: _Numbered, group: Group) -> None:
    if group.parent is None:
        for rollout in group.rollouts:
            numbered.add(rollout, None)
        return
    numbered.add(group.parent, ELSEWHERE)
    begun = [numbered.of(group.parent), group.step]
    for rollout in group.rollouts:
        numbered.add(rollout, begun)
        # Where several rollouts pass through a state, the group knows which one was reset.
        numbered.begun[numbered.of(rollout)] = begun


def _answer(one: Named) -> Row:
    by = type(one.reset).__name__
    if isinstance(one.answer, Refusal):
        return {"by": by, "step": None, "reason": one.answer.reason.value}
    step = int(np.argmax(one.answer))
    certain = bool(one.answer[step] == one.answer.sum())
    return {"by": by, "step": step if certain else None, "localizes": one.reset.localizes}


def _outcome(rollout: Rollout) -> Row:
    reward = None if np.isnan(rollout.reward) else float(rollout.reward)
    return {"reward": reward, "failed": bool(rollout.failed), "ended": rollout.outcome.value}


def _begun(rollout: Rollout, begun: Any, world: Describer) -> Row:
    return {"from": begun} | ({"given": world.start(rollout)} if begun == ELSEWHERE else {})


def _group_row(
    numbered: _Numbered, group: Group, signals: Sequence[NDArray[np.float64]] | None
) -> Row:
    row: Row = {
        "rollouts": [numbered.of(rollout) for rollout in group.rollouts],
        "advantages": [_short(sample.advantages) for sample in group.samples],
        "parent": None if group.parent is None else numbered.of(group.parent),
        "step": group.step,
    }
    return row if signals is None else row | {"signal": [rounded(one) for one in signals]}


def _short(values: NDArray[np.float64]) -> Any:
    """One number where all are the same."""
    shown = rounded(values)
    return shown[0] if len(set(shown)) == 1 else shown


def rounded(values: NDArray[Any]) -> list[float]:
    """Four significant digits: what is read by people."""
    return [float(f"{value:.4g}") for value in values.tolist()]

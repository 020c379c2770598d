"""What a prompt's groups show of resets: how the base went, what was reset, what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import comb

from cpi_theory.seam import Collection, Group, Rollout


@dataclass(frozen=True, slots=True)
class Suffixes:
    """Rollouts from before a named step.

    Attributes:
        step: the step, 0-based.
        length: steps of the parent.
        count: fresh rollouts; the parent's own continuation is none.
        successes: among them.
    """

    step: int
    length: int
    count: int
    successes: int

    @property
    def pairs(self) -> float:
        """Share of pairs of them that both succeed: unbiased for the squared success probability.

        A single rollout has no pairs; whether it succeeds is then above that in expectation.
        """
        pairs = comb(self.count, 2)
        return comb(self.successes, 2) / pairs if pairs else float(self.successes)

    def taught(self, known_failure: bool) -> float:
        """Realised signal: 1 - step / length if outcomes differ, else 0.

        Args:
            known_failure: whether the parent's own continuation is in the group.
        """
        most = self.count if known_failure else self.count - 1
        return 1 - self.step / self.length if 1 <= self.successes <= most else 0.0


@dataclass(frozen=True, slots=True)
class PromptRecord:
    """Outcomes of a prompt whose first rollouts were looked at before the others were spent.

    Attributes:
        base: rollouts that were looked at.
        solved: successes among them.
        rest: further rollouts from the start.
        rest_solved: successes among those.
        suffixes: of the reset, if there was one.
        named: step and length of each failure whose first error the world named.
    """

    base: int
    solved: int
    rest: int
    rest_solved: int
    suffixes: Suffixes | None = None
    named: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, groups: Sequence[Group], base: int, kept: bool) -> PromptRecord:
        """Read the groups of one prompt as :class:`FrontierGRPO` returns them.

        Args:
            groups: one from the start, and one of suffixes if there was a reset.
            base: rollouts that were looked at.
            kept: whether the parent's own continuation is the last of its suffix group.
        """
        start = next(group for group in groups if group.parent is None)
        solved = [not r.failed for r in start.rollouts]
        suffixes = next((g for g in groups if g.parent is not None), None)
        if suffixes is None:
            rest = solved[base:]
            return cls(base, sum(solved[:base]), len(rest), sum(rest), None, start.named)
        return cls(base, sum(solved), 0, 0, _suffixes(suffixes, kept), start.named)

    @property
    def failed(self) -> bool:
        """Whether all of the base failed."""
        return self.solved == 0

    def fresh_behind_failures(self, count: int) -> float:
        """Estimate P(all of the base fail, and `count` fresh rollouts hold a success), unbiased.

        It looks at prompts whose base holds a success alone, so that a prompt whose base failed may
        be reset. All n + m outcomes are exchangeable: of those with S >= 1 successes a share h(S)
        would have begun with n failures, and 1 - h(S) did not.

        Formula: h / (1 - h) with h = C(n + m - S, n) / C(n + m, n), 0 if the base failed.

        Args:
            count: m; as many as the prompt's `rest`.
        """
        if self.failed:
            return 0.0
        n, found = self.base, self.solved + self.rest_solved
        h = comb(n + count - found, n) / comb(n + count, n)
        return h / (1 - h)

    def pass_rate_behind_failures(self, count: int) -> float:
        """Estimate E[1{all of the base fail} v], v the pass rate, unbiased and in [0, 1 / base].

        As :meth:`fresh_behind_failures`, for one of the fresh rollouts instead of any.

        Formula: h / (1 - h) S / m.
        """
        found = self.solved + self.rest_solved
        return self.fresh_behind_failures(count) * found / count

    def taught_behind_failures(self, known_failure: bool) -> float:
        """Realised signal of what was done after the base had failed, 0 if it had not.

        That of a reset is :meth:`Suffixes.taught`, that of fresh rollouts whether any succeeds.
        """
        if not self.failed:
            return 0.0
        if self.suffixes is not None:
            return self.suffixes.taught(known_failure)
        return float(self.rest_solved > 0)


def prompt_records(collection: Collection, base: int, kept: bool) -> Iterator[PromptRecord]:
    """Read all prompts of a collection, in the order of their ids, whichever ended first."""
    groups: dict[int, list[Group]] = {}
    for group in collection:
        groups.setdefault(group.prompt, []).append(group)
    for prompt in sorted(groups):
        yield PromptRecord.of(groups[prompt], base, kept)


def _suffixes(group: Group, kept: bool) -> Suffixes:
    fresh: Sequence[Rollout] = group.rollouts[:-1] if kept else group.rollouts
    assert group.parent is not None
    assert group.step is not None
    solved = sum(not r.failed for r in fresh)
    return Suffixes(int(group.step), len(group.parent), len(fresh), solved)

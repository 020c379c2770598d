"""Iterative self-correction at inference: attempt, find the first error, write on from before it.

Nothing is learned from what this draws; it is a plan like those that train, so that it runs, and is
tested, in every world.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from cpi_theory.algorithms.pieces import draw_index, from_start
from cpi_theory.checks import InvalidInput, check_choice, check_count
from cpi_theory.randomness import Key
from cpi_theory.resets.first_error import FirstErrorReset
from cpi_theory.seam import (
    Draw,
    Group,
    NameSteps,
    Plan,
    Prompt,
    Reason,
    Refusal,
    ResetPolicy,
    Rollout,
)

Stop = Literal["own", "oracle"]

Unnamed = Literal["stop", "fresh"]


@dataclass(frozen=True, slots=True)
class SelfCorrection:
    """One attempt, and up to `rounds` corrections of it, each of the whole attempt before it.

    A round asks the reset policy for the first error of the attempt as a whole, keeps the steps
    before it and draws a new continuation. So an error that an earlier round kept can still be
    found, which resets of a suffix alone could not.

    Who says that an attempt is right makes two different things of this:

    - "own": whoever names first errors is asked about every attempt, as if it had failed, and
      finding none (NO_ERROR) accepts it. No outcome is looked at before the last round, so that
      the last attempt is an answer that somebody without the reference could have given.
    - "oracle": the world's outcome ends it at the first success, and errors are asked for in
      failures alone. Its success rate is an upper bound of what self-correction can reach, and no
      pass@1: it is one of "some attempt was right", as that of the best of n by an oracle is.

    Each attempt is a group of its one rollout, without credit. That of a correction has the whole
    attempt before it as its parent, and the step that was reset to.

    Attributes:
        reset: where an attempt is reset to; its refusal NO_ERROR says that nothing is to mend.
        rounds: most corrections.
        stop: who says that an attempt is right.
        unnamed: when no step is named and the attempt is not accepted by that: "stop" with it, or
            give a "fresh" attempt in this round. Each case is counted under its reason.

    Source: arXiv 2605.25507 (iterative self-correction with shared prefixes).
    """

    reset: ResetPolicy = field(default_factory=FirstErrorReset)
    rounds: int = 3
    stop: Stop = "own"
    unnamed: Unnamed = "stop"

    def __post_init__(self) -> None:
        if not isinstance(self.reset, ResetPolicy):
            remedy = "give e.g. FirstErrorReset()"
            raise InvalidInput("reset", self.reset, "not a reset policy", remedy)
        check_count("rounds", self.rounds)
        check_choice("stop", self.stop, get_args(Stop))
        check_choice("unnamed", self.unnamed, get_args(Unnamed))

    @property
    def rows_per_prompt(self) -> int:
        """The first attempt and its corrections."""
        return 1 + self.rounds

    def plan(self, prompt: Prompt, key: Key) -> Plan:
        """Attempt and correct; see :class:`~cpi_theory.seam.Algorithm`.

        Returns:
            A group per attempt, in order: the last one's rollout has the answer that stands.
        """
        (attempt,) = yield from_start(prompt, key, "attempt", 1)
        groups = [Group.of([attempt], [0.0], prompt.id)]
        for number in range(1, self.rounds + 1):
            if self.stop == "oracle" and not attempt.failed:
                break
            step = yield from self._step(attempt, key, number)
            again = key.child("again", number).integers(1)
            if isinstance(step, int):
                (suffix,) = yield Draw(attempt.states[step], again)
                groups.append(Group.of([suffix], [0.0], prompt.id, attempt, step))
                attempt = suffix.behind(attempt, step)
            elif self.unnamed == "stop" or self._accepts(step):
                break
            else:
                (attempt,) = yield Draw(prompt.start, again)
                groups.append(Group.of([attempt], [0.0], prompt.id))
        return groups

    def _step(
        self, attempt: Rollout, key: Key, number: int
    ) -> Generator[NameSteps, Any, int | Refusal]:
        """The step that an attempt is reset to in a round, or why there is none."""
        # Taken for a failure: otherwise "not failed" would tell what only the reference knows.
        suspect = attempt if self.stop == "oracle" else replace(attempt, failed=True)
        (answer,) = yield NameSteps(self.reset, [suspect], locating_key(key, number))
        if isinstance(answer, Refusal):
            return answer
        return draw_index(answer, key.child("step", number))

    def _accepts(self, refusal: Refusal) -> bool:
        # Under the oracle the attempt has failed, and "no error" is a mistake like any other.
        return self.stop == "own" and refusal.reason is Reason.NO_ERROR


def locating_key(key: Key, number: int) -> Any:
    """Return the key, uint64 (1,), under which a prompt's round asks for the first error.

    Args:
        key: of the prompt.
        number: of the round, from 1.
    """
    return key.child("locate", number).integers(1)

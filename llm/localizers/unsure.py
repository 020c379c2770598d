"""Localisation without asking anybody: the first thought in which the model was unsure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from cpi_theory.checks import check_choice, check_in_range
from cpi_theory.randomness import Keys
from cpi_theory.seam import FailedLocalization, Localization, Reason
from llm.localizers.base import Answer, Located, refusal_unasked
from llm.text.rollouts import TextRollout

Measure = Literal["least", "mean"]


@dataclass(frozen=True, slots=True)
class UnsureLocalizer:
    """Names the first thought of a failure whose probability is below a level.

    It costs no token, for the log-probabilities of what was sampled are there. They say where the
    model might have gone another way, not where it was wrong: a rival that localisers which read
    the solution have to beat.

    Attributes:
        probability: the level, in (0, 1].
        measure: the probability of a thought is that of its least likely token ("least"), or the
            geometric mean over its tokens ("mean"), whose negative logarithm is an estimate of the
            mean entropy of the next token from one sample of each.
        ask_single: whether rollouts of a single thought are looked at.
    """

    probability: float = 0.1
    measure: Measure = "least"
    ask_single: bool = True

    def __post_init__(self) -> None:
        check_in_range("probability", self.probability, 1e-9, 1)
        check_choice("measure", self.measure, get_args(Measure))

    def locate(self, rollouts: Sequence[TextRollout], keys: Keys) -> list[Located]:
        """See :class:`~llm.localizers.base.Localizer`; NO_ERROR where the model was never unsure.

        Args:
            rollouts: any number.
            keys: uint64 (len(rollouts),); nothing is drawn from them.
        """
        del keys
        return [Located(refusal_unasked(r, self.ask_single) or self._first(r)) for r in rollouts]

    def _first(self, rollout: TextRollout) -> Answer:
        of = np.min if self.measure == "least" else np.mean
        level = math.log(self.probability)
        for step, (begin, end) in enumerate(rollout.spans):
            if of(rollout.logprobs[begin:end]) < level:
                return Localization(step)
        return FailedLocalization(Reason.NO_ERROR)

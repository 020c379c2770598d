"""Balanced brackets on the seam: a bigram model writes them, states are the texts so far."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cpi_theory import Ending, FailedLocalization, Keys, Localization, Reason, Rollout

PAIRS = {")": "(", "]": "["}
LETTERS = "()[]."


def open_brackets(text: str) -> str | None:
    """The brackets that are open, or None where the text can no longer be balanced."""
    stack = ""
    for letter in text.rstrip("."):
        if letter in PAIRS.values():
            stack += letter
        elif stack[-1:] == PAIRS[letter]:
            stack = stack[:-1]
        else:
            return None
    return stack


class Brackets:
    """Writes a letter after the other until "." or `longest` letters; right if balanced."""

    def __init__(self, logits: np.ndarray | None = None, longest: int = 12) -> None:
        self.logits = np.zeros((6, 5)) if logits is None else logits
        self.longest = longest

    def probabilities(self, text: str) -> np.ndarray:
        """Of the next letter, by the last one alone: the model cannot count."""
        row = self.logits[LETTERS.index(text[-1]) if text else 5]
        weights = np.exp(row - row.max())
        return weights / weights.sum()

    def rollout(self, states: Sequence[str], keys: Keys) -> list[Rollout]:
        """One continuation of the model from each text."""
        return [self._one(state, int(key)) for state, key in zip(states, keys, strict=True)]

    def _one(self, text: str, key: int) -> Rollout:
        states, actions = [], []
        while not text.endswith(".") and len(text) < self.longest:
            rng = np.random.default_rng([key, len(text)])
            states.append(text)
            actions.append(LETTERS[int(rng.choice(5, p=self.probabilities(text)))])
            text += actions[-1]
        finished = text.endswith(".")
        right = finished and open_brackets(text) == ""
        ended = Ending.TERMINAL if finished else Ending.HORIZON
        return Rollout(states, actions, float(right), not right, ended)

    def score(self, state: str, action: str) -> np.ndarray:
        """Gradient of log pi(action | state) with respect to the logits, shape (6, 5)."""
        gradient = np.zeros((6, 5))
        row = LETTERS.index(state[-1]) if state else 5
        gradient[row] = -self.probabilities(state)
        gradient[row, LETTERS.index(action)] += 1
        return gradient

    def locate_first_error(
        self, rollouts: Sequence[Rollout], keys: Keys
    ) -> list[Localization | FailedLocalization]:
        """The first letter that no ending can make good, or the full stop that came too soon."""
        del keys  # nothing is drawn
        return [self._locate(rollout) for rollout in rollouts]

    def _locate(self, rollout: Rollout) -> Localization | FailedLocalization:
        if not rollout.failed:
            return FailedLocalization(Reason.NOT_FAILED)
        for i, (text, letter) in enumerate(zip(rollout.states, rollout.actions, strict=True)):
            now = open_brackets(text + letter)
            if open_brackets(text) is not None and (now is None or (letter == "." and now)):
                return Localization(i)
        return FailedLocalization(Reason.NO_ERROR)


if __name__ == "__main__":
    from cpi_theory import SRPO, Key, collect, policy_gradient

    world = Brackets()
    for update in range(200):
        groups = collect(SRPO(), world, [""] * 4, Key.of(0).child(update))
        world.logits = world.logits + 0.05 * np.asarray(policy_gradient(groups, world.score))
    keys = Key.of(1).integers(500)
    print("balanced:", np.mean([not r.failed for r in world.rollout([""] * 500, keys)]))

"""Expected draws are those that the algorithms make where every rollout passes by luck alone."""

from __future__ import annotations

import pytest

from cpi_theory.algorithms.adaptive import AdaptiveFrontier
from cpi_theory.algorithms.collecting import collect
from cpi_theory.algorithms.frontier import FrontierGRPO
from cpi_theory.algorithms.grpo import GRPO
from cpi_theory.algorithms.reset_grpo import RRPO, SRPO, ResetGRPO
from cpi_theory.checks import InvalidInput
from cpi_theory.resets.first_error import FirstErrorReset
from cpi_theory.seam import Ending, FailedLocalization, Localization, Reason, Rollout
from experiments.methods import FAMILY
from experiments.plan.draws import draws, informative
from tests.cpi_theory.chain import uniform

PROMPTS = 700


class Coins:
    """Three steps whose outcome is a coin; first errors are named by another coin."""

    def __init__(self, passes, named):
        self.passes, self.named = passes, named
        self.whole = self.suffixes = 0

    def rollout(self, states, keys):
        return [self._one(s, int(k)) for s, k in zip(states, keys, strict=True)]

    def _one(self, state, key):
        self.whole += state == 0
        self.suffixes += state > 0
        steps = range(state, 3)
        right = uniform(key, 1) < self.passes
        return Rollout(tuple(steps), tuple(steps), float(right), not right, Ending.HORIZON)

    def locate_first_error(self, rollouts, keys):
        # A later step than the first, so that suffixes are told from rollouts.
        return [
            Localization(1)
            if r.failed and uniform(int(k), 2) < self.named
            else FailedLocalization(Reason.UNPARSABLE if r.failed else Reason.NOT_FAILED)
            for r, k in zip(rollouts, keys, strict=True)
        ]


ALGORITHMS = {
    "GRPO": GRPO(8),
    "SRPO": SRPO(),
    "fresh": SRPO(on_refusal="fresh"),
    "uniform": SRPO(on_refusal="uniform", parents=2),
    "2x4": ResetGRPO.layout("2x4", FirstErrorReset(), on_refusal="fresh"),
    "published": SRPO(parent="published", on_refusal="fresh"),
    "published 2x4": ResetGRPO.layout(
        "2x4", FirstErrorReset(), parent="published", on_refusal="fresh"
    ),
    "published 1x8": ResetGRPO.layout("1x8", FirstErrorReset(), parent="published"),
    "Frontier": FrontierGRPO(parent=1),
    "any": FAMILY["RRPO, any"],
    "adaptive": AdaptiveFrontier(FrontierGRPO(parent=1)),
    "relabelled": FAMILY["GiGPO"],
}


@pytest.mark.parametrize("passes", [0.2, 0.8])
@pytest.mark.parametrize("named", [1.0, 0.6])
@pytest.mark.parametrize("name", ALGORITHMS)
def test_what_is_expected_is_what_is_drawn(name, passes, named):
    algorithm, world = ALGORITHMS[name], Coins(passes, named)
    collection = collect(algorithm, world, [0] * PROMPTS, 5)
    expected = draws(algorithm, passes, named)
    mean = {"abs": 0.35, "rel": 0.03}
    if name not in ("uniform", "any"):  # there a reset may be to the start, and counts as whole
        assert world.whole / PROMPTS == pytest.approx(expected.whole.expected, **mean)
        assert world.suffixes / PROMPTS == pytest.approx(expected.suffixes.expected, **mean)
    total = expected.whole.expected + expected.suffixes.expected
    assert collection.generated_rollouts / PROMPTS == pytest.approx(total, **mean)
    assert collection.generated_rollouts <= PROMPTS * expected.whole.most
    asked = collection.localizations / PROMPTS
    assert asked == pytest.approx(expected.localizations.expected, abs=0.1)
    rows = sum(len(g.samples) for g in collection) / PROMPTS
    assert rows == pytest.approx(expected.learned_whole + expected.learned_suffixes, **mean)


@pytest.mark.parametrize(("passes", "chains"), [(0.1, 9.0), (0.5, 9.1), (0.8, 10.3), (0.9, 12.1)])
def test_the_published_search_draws_what_is_known_of_it(passes, chains):
    found = draws(SRPO(parent="published", on_refusal="fresh"), passes, 1.0)
    assert found.whole.expected + found.suffixes.expected == pytest.approx(chains, abs=0.06)


def test_random_resets_ask_nobody():
    assert draws(RRPO(), 0.3, 1.0).localizations.most == 0


@pytest.mark.parametrize("name", ["VinePPO", "UnsureReset"])
def test_a_method_of_which_nothing_is_worked_out_is_refused(name):
    with pytest.raises(InvalidInput, match=f"methods = '{name}'"):
        draws(FAMILY[name], 0.5, 1.0)


def test_groups_that_teach_something():
    assert informative(0.5, 2) == 0.5
    assert informative(0.0, 8) == informative(1.0, 8) == informative(0.4, 0) == 0

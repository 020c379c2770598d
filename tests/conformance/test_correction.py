"""Self-correction keeps the laws of algorithms in every world, language models among them."""

from __future__ import annotations

import pytest

from cpi_theory.algorithms.collecting import collect
from cpi_theory.algorithms.correction import SelfCorrection
from cpi_theory.resets.uniform import UniformReset
from cpi_theory.testing import check_algorithm
from llm.text.rollouts import TextRollout
from tests.conformance.worlds import LANGUAGE, WORLDS, starts

ALGORITHMS = {
    "own": SelfCorrection(),
    "oracle": SelfCorrection(stop="oracle", unnamed="fresh"),
    "blind": SelfCorrection(UniformReset(), rounds=2, stop="oracle"),
}


@pytest.mark.parametrize("make", WORLDS.values(), ids=WORLDS)
@pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=ALGORITHMS)
def test_it_keeps_the_laws(make, algorithm):
    check_algorithm(algorithm, make, starts(make(), 8))


@pytest.mark.parametrize("name", LANGUAGE)
def test_texts_are_put_together_token_for_token(name):
    world = WORLDS[name]()
    groups = collect(SelfCorrection(rounds=4, stop="oracle"), world, starts(world, 8), 3).groups
    seen = 0
    for group in groups:
        if group.parent is None:
            continue
        (suffix,) = group.rollouts
        whole = suffix.behind(group.parent, group.step)
        assert isinstance(whole, TextRollout)
        # The model read the kept thoughts as ids of its prompt, and nothing else.
        assert suffix.start.tokens == whole.states[group.step].tokens
        assert whole.start == group.parent.start
        assert whole.tokens == whole.start.kept + suffix.start.kept[len(whole.start.kept) :] + (
            suffix.tokens
        )
        assert [whole.tokens[a:b] for a, b in whole.spans] == list(whole.actions)
        assert len(whole.logprobs) == len(whole.tokens)
        again = whole.cut(group.step) if group.step < len(whole) else None
        assert again is None or (again.tokens, again.spans) == (suffix.tokens, suffix.spans)
        seen += 1
    assert seen

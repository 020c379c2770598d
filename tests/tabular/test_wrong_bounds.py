"""The recipe of the README notices every wrong bound that claims too much, and only those."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tabular.strategies import localised_instances, step_sizes
from tests.tabular.wrong_bounds import CHECKS, FALSE, LOOSE

# hypothesis' default number of examples; the first counterexample will do as it is.
SEARCH = settings(
    max_examples=100,
    phases=[Phase.generate],
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
BRIEF = settings(SEARCH, max_examples=30)


def recipe(theorem, bound, effort):
    """The property test of a bound."""
    discounted = theorem == "T8"

    @effort
    @given(localised_instances(exact=True, discounted=discounted), step_sizes(exact=True))
    def holds(instance, alpha):
        CHECKS[theorem](bound, instance, alpha)

    return holds


def variants(bounds):
    return [
        pytest.param(theorem, bound, id=f"{theorem}, {name}")
        for theorem, named in bounds.items()
        for name, bound in named.items()
    ]


@pytest.mark.parametrize(("theorem", "bound"), variants(FALSE))
def test_a_false_variant_is_noticed(theorem, bound):
    with pytest.raises(AssertionError):
        recipe(theorem, bound, SEARCH)()


@pytest.mark.parametrize(("theorem", "bound"), variants(LOOSE))
def test_the_bound_and_what_is_looser_pass(theorem, bound):
    recipe(theorem, bound, BRIEF)()


def test_every_theorem_has_variants_of_both_kinds():
    assert FALSE.keys() == LOOSE.keys() == CHECKS.keys()
    assert min(len(named) for named in FALSE.values()) >= 7

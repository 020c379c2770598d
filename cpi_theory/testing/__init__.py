"""The laws of the seam as tests for your own worlds, reset policies and algorithms.

Call them from a test of yours; the first law that is broken raises an `AssertionError` that says
which and shows where::

    def test_my_world_keeps_the_laws():
        check_simulator(MyWorld, starts=["a", "b"])
"""

from cpi_theory.testing.algorithms import check_algorithm
from cpi_theory.testing.reset_policies import check_reset_policy
from cpi_theory.testing.simulators import check_resets, check_simulator

__all__ = ["check_algorithm", "check_reset_policy", "check_resets", "check_simulator"]

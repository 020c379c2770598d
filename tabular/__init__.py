"""Finite MDPs on the seam of :mod:`cpi_theory.seam`: exact evaluation, simulation and learning.

Names are imported when they are first used, so that ``import tabular`` costs nothing and a use
that simulates nothing loads no numba. Hypothesis strategies live in :mod:`tabular.strategies`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

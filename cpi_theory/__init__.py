"""The theory of resets and the algorithm objects: numpy and scipy only.

Bounds T1 to T8 (:mod:`cpi_theory.bounds`), the seam between algorithms and worlds
(:mod:`cpi_theory.seam`), reset policies, group-relative and conservative algorithms, what can be
estimated from rollouts alone (:func:`diagnose`), and the laws as tests for your own worlds and
methods (:mod:`cpi_theory.testing`). Names are imported when they are first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

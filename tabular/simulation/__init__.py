"""MDPs as simulators on the seam of :mod:`cpi_theory.seam`."""

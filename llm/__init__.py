"""Language models on the seam of :mod:`cpi_theory.seam`: not written yet, nothing pretends."""

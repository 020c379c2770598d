"""Language models on the seam of :mod:`cpi_theory.seam`: thoughts, tasks, sampling, training."""

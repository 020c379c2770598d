"""Finite MDPs on the seam of :mod:`cpi_theory.seam`: exact evaluation, simulation and learning."""

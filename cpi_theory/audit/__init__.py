"""Advantage estimators judged exactly: on worlds small enough to list everything that can happen.

:mod:`~cpi_theory.audit.forest` holds the worlds, whose gradients are known;
:mod:`~cpi_theory.audit.branching` runs an algorithm along every branch of chance,
:mod:`~cpi_theory.audit.law` adds up what its updates are in expectation, and
:mod:`~cpi_theory.audit.judgement` says what objective they follow.
"""

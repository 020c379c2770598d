"""Advantage estimators of other libraries, called as they are installed.

Each module turns a batch of `cpi_theory.audit.batch` into what the library's own code is given, and
what that returns into one weight per token. Nothing of an estimator is written down here.
"""

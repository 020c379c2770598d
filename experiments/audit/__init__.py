"""Any advantage estimator judged exactly on worlds whose gradient is known."""

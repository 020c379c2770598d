"""Sums in plain English with an exact step checker, for models that come from elsewhere."""

"""Trained models as plain folders for other programs."""

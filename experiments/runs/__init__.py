"""Runs on disk and the sweeps that fill them, resumable, on this machine or a cluster."""

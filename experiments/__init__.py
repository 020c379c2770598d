"""Every run: typed configuration, run store, sweeps and the command line."""

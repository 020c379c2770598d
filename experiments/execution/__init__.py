"""Where the work of a command runs: in this process, in others of this machine, on a cluster."""

"""What reset policies induce on an MDP, and the conservative updates that they localise."""

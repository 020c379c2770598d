"""Starting files for classes of a user's own: methods, reset policies, worlds, tasks."""

"""Starting files for methods, reset policies, worlds and tasks of a user's own, with their tests."""

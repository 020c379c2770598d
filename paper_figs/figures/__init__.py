"""The figures, a module per subject and a function per figure."""

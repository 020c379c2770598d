"""Models on held-out problems: several attempts each, methods compared in pairs."""

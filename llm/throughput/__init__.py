"""How fast a device samples from and trains models of given shapes."""

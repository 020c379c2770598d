"""What of this machine and environment is there, and what each missing part would enable."""

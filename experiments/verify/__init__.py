"""Every bound checked on many MDPs, and the search for tight ones."""

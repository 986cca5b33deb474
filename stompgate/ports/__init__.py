"""Floor 1: what the inside needs from outside, one file each. The contracts are in the docstrings; adapters keep them whole."""

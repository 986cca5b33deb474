"""Floor 4: how servers of a group tell each other what happened. One adapter per carrier, all under ``ports.relay``."""

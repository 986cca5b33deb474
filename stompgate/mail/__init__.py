"""Floor 4: where inquiries go as mail. One adapter per way, all under ``ports.mail``."""

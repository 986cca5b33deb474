"""Floor 4: where rooms and messages are kept. One adapter per database, all under the contract of ``ports.store``."""

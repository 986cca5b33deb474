"""One suite of behaviours per port, run against every implementation. A new one joins by an entry in ``conftest.py``."""

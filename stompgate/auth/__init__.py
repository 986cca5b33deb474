"""Floor 4: who is who, where that takes more than a header."""

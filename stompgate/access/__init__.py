"""Floor 2: who someone is and what they may do."""

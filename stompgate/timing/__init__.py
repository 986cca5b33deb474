"""Floor 1: many timers for the price of one. Time is passed in; nothing here reads a clock."""

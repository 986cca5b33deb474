"""Measurements: server CPU per delivered message, and memory per connection. They assert nothing."""

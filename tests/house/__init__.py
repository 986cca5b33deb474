"""The house around the code: settings, lifetimes, log, command line."""

"""Floor 2: what a message broker is, without chat and without sockets: destinations, patterns, subscriptions, acknowledgements.

Everything here is synchronous.
"""

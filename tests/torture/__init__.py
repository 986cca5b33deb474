"""Torture: real daemons under load that are killed, and clients that drop and come back; nothing may be lost or doubled."""

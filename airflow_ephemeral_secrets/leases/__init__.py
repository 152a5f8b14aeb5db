"""Leases: credentials we hold, shared by all processes of a host, minted once."""

"""Loopback endpoints in the asking process, for hooks that must outlive one token."""

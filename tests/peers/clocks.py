"""How servers of ours take time, on machines that may stand still for a while."""

LEEWAY = 6
"""Seconds after which what has expired is refused: RFC 7519 (section 4.1.4) lets clocks differ by a few minutes."""

"""The replayed venues: recordings or a synthetic market, spoken in the venues' own wire formats.

Belongs here: what a venue would do, and the time it happens in. Does not: anything the product needs to work against
the real venues; nothing outside this package, the command line and the tests may know that a replay exists.
"""

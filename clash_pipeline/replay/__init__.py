"""The replayed venues: recordings or a synthetic market, spoken in the venues' own wire formats."""

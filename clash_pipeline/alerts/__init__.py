"""What a person must hear of: rules over everything below, alerts that are raised once and cleared, and who is told."""

"""What the chain says, and how far it is believed."""

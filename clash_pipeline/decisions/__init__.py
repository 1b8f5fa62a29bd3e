"""Decision runs: prepare a packet, let an engine decide, apply through the gates."""

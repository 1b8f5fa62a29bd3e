"""Pages for people: rendered here, no build step, nothing from elsewhere. One file a page, and what all share."""

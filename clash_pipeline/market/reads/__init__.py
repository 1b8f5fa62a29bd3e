"""Reading market memory `as_of` a moment, one module a family of tables, one statement a kind of table. No writing."""

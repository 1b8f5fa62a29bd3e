"""Software-defined assets and their checks: thin functions that call the domain and report metadata; no parsing, no SQL."""

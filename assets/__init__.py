"""Software-defined assets and their checks: thin functions that call the domain and report; no parsing, no SQL."""

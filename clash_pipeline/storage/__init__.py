"""The one door to SQLite: connections, transactions, migrations, leases and heartbeats.

No other module of the project opens a database file, by any library or by `open()`: a second SQLite in one process,
or a closed descriptor of a live file, silently drops the locks of every writer (doc/decisions.md, "One SQLite").
"""

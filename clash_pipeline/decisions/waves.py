"""One wave: what is due → prepare → decide → record → apply, each stage a function over plain, picklable objects.

The command, the worker and the Dagster jobs call these same functions; correctness rests on the rows, not on who calls.

    found: list[Due] = due(services, clone_id=None, account_id=None, force=False)
    prepared: list[Prepared]; ended: list[Ended]
    prepared, ended = prepare(services, found, worker="wave-1", dagster_run_id=None)
    decided: list[Decided] = await decide(services.store, prepared)   # needs no database
    record(services, decided)                                         # on the box of record
    ended += apply(services, decided)                                 # may be cut by account_id

    decided = undelivered(services)                                   # have a response, lack an apply: fill_prop_orders
    report: WaveReport = run_once(services, clone_id=42, force=True)  # all of it
"""

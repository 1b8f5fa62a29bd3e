"""For the control: the same steps, with every statement a transaction of its own."""

from clash_pipeline.storage import sqlite as storage
from tests.fakes import forking
from tests.fakes.arena_child import work

if __name__ == "__main__":
    storage._begin_immediate = lambda connection: None
    storage._commit = lambda connection: None
    forking.serve(work)

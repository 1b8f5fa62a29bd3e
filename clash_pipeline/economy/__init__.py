"""Real money: settlement of races. Wei only, whole numbers only; trading decides who is paid, this room how much."""

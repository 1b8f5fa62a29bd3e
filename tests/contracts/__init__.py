"""A small vault of our own in Solidity, the bytecode it compiles to, and what compiles it again."""

"""Benches: our figure, the peers' and the floor's, side by side in one run. No timing is asserted in the tests.

The floor is the same work done by the barest code that could do it. `python -m bench [name ...] [--quick]`.
"""

"""`clash demo`: one file for each part that plays in it."""

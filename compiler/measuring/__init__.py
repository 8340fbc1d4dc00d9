"""Candidates compiled in processes that may die, run in one that may, compared with a reference, and timed."""

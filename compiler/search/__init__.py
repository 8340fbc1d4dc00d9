"""The search for the fastest candidate of every task: Ansor's evolution and its task scheduler (OSDI'20, 5 and 6)."""

"""The schedule language: what a schedule can say about a task, in plain integers."""

"""The head model: where it comes from, and reading it."""

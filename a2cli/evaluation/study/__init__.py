"""A blind study: people see two edits of a record side by side and say which is better."""

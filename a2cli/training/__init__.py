"""A training run: its settings, its loop, what it optimises and what it leaves behind."""

"""Marks from a vision-language model: what it is asked and shown, how it is reached, read, paid, kept and checked."""

"""Masks: read, change, roughen, anneal. 1 or True = edit."""

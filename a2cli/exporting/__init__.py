"""Adapters in the formats of other programs: one routing of the experts is frozen, the rest is written as it is."""

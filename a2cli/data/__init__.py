"""Training and evaluation pairs: records, taxonomy, synthesis."""

"""The data sets that edits are measured on: how each lists its records, and what it takes for truth."""

"""Many edits in one run: which ones, and running them so that nothing done is lost."""

"""From edits to verdicts: values, means with their errors, thresholds, comparisons."""

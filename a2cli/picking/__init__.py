"""A mask by hand: a page on this machine alone, on which one marks the region; strokes become a mask file."""

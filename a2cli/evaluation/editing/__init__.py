"""From methods to finished edits: trained first where they say so, made once, known by what they were made from."""

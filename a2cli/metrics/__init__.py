"""Measures of an edit, as pure functions of arrays, one file a family."""

"""Published and own layouts of pairs: how each one is recognised, read and written, one file a layout."""

"""Which views are good enough, and which two of them make a pair."""

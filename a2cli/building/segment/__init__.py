"""Box to mask: GrabCut with what moved as its seed, or SAM."""

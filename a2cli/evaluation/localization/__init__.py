"""Does a model find the thing that a sentence names? Regions and maps scored against the known one."""

"""What is edited and measured: cases, their masks, what a method is given, and the edits that were found."""

"""What a data set holds: checked, counted, divided, shown and brought into other layouts."""

"""Work in processes that may crash or hang, here or on a Ray cluster; nothing is known of what the work is."""

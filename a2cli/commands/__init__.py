"""One file a sub-command: parse, build the config, call the engine, report."""

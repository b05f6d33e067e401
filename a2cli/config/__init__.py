"""Settings: frozen dataclasses with their checks, read from YAML and `key=value` overrides."""

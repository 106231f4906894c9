"""Where the external events come from."""

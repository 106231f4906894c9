"""One module a service. They know events, and never each other."""

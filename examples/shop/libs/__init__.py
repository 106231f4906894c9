"""Code that services share; each says so with `uses`."""

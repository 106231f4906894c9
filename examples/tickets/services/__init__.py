"""The services of the box office."""

"""A folder of services."""

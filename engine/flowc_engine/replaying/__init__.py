"""`flowc replay`: a service's present code over its recorded inputs, into a fork of the log."""

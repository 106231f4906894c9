"""The two feeds of the system: the airports' and the weather stations'."""

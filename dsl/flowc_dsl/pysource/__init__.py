"""The services' Python source, read and never imported: who imports whom, which events are emitted.

`scan` turns one text into facts, `read` follows the imports of all services and gives a `Code`;
`reach` and `emission` answer what rules ask of it. `ast` is imported by `scan` alone, and `scan`
only once there is a file to read: a system without code pays nothing.
"""

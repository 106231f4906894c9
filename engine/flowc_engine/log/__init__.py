"""The event log: the journal's events as typed tables of a DuckDB file, and what reads them.

`tables` says what the tables are, `store` owns the file, `follow` moves journal records into it,
`process` is the log process around them, and `server` answers its queries. `query` is for those
who ask: it goes to the log process while a run is up, and to the file when none is.

The file is written without DuckDB's write-ahead log: the journal is one already. What was applied
after the last checkpoint is applied again from the journal when the process ends without one.
"""

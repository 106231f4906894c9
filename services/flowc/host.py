"""A service process: it holds one replica of one service.

    python -I -m flowc.host --plan FILE --service NAME --slot N --broker ENDPOINT --root FOLDER

`--root` is the project's root; it is put on the path of imports. SIGTERM (and the broker's
`Drained`) drain: what is held is finished and confirmed, then it ends with 0. Exit codes:
`flowc.exits`.
"""

"""A source process: it runs one generator of events.

    python -I -m flowc.source --plan FILE --name NAME --target MODULE:FUNCTION [--args JSON]
        [--emits A,B] --broker ENDPOINT --root FOLDER

`--args` is a JSON object, the function's keyword arguments. `--emits` names what it may emit;
without it, every external event. `--root` is the project's root; it is put on the path of
imports. SIGTERM ends it when what it has published is durable; another start goes on behind it.
Exit codes: `flowc.exits`.
"""

"""The log process's command line. It is started by the supervisor, which holds the state's lock.

Prints `ready` when it answers queries at its endpoint; it may not have heard from the broker yet.
SIGTERM: it applies all that the broker has made durable, saves, and ends.

Exit codes: 0 after SIGTERM; 3 the log and the journal contradict each other or one is damaged
beyond what the other can mend; 4 the log can't be opened (another process has it, another plan
made it) or the broker refuses us. Restarting does not help with 3 and 4; the last line on stderr
says what. A disk that is full or fails does not end it.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import sys
from pathlib import Path

EXIT_CONFLICT = 3
EXIT_UNUSABLE = 4
_NICE = 5  # what is behind here can be caught up, what is late in the broker can't


def main() -> int:
    """Run the log process until SIGTERM."""
    parser = argparse.ArgumentParser(prog="flowc_engine.log", description=__doc__)
    parser.add_argument(
        "--state", type=Path, required=True, help="the folder of the system's state"
    )
    parser.add_argument("--plan", type=Path, required=True, help="the plan, as JSON")
    parser.add_argument("--broker", required=True, help="the broker's endpoint")
    parser.add_argument("--query", required=True, help="the endpoint to answer queries at")
    args = parser.parse_args()

    from flowc_engine import limits
    from flowc_engine.process import die_with_parent, starter

    die_with_parent(starter())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's to handle
    os.umask(0o077)
    os.nice(_NICE)
    bytes_max = limits.LOG_PROCESS_MIB * limits.MIB
    resource.setrlimit(resource.RLIMIT_DATA, (bytes_max, bytes_max))
    return serve(args)


def serve(args: argparse.Namespace) -> int:
    """Follow the journal; the exit code comes back."""
    from flowc_engine.journal.reader import JournalRotError
    from flowc_engine.log.follow import LogConflictError
    from flowc_engine.log.process import BrokerRefusedError, note, run_log
    from flowc_engine.log.store import (
        LogDamagedError,
        LogHeldError,
        hold_log,
    )
    from flowc_engine.log.tables import LogSchemaError

    try:
        with hold_log(args.state / "log.duckdb"):
            process = run_log(args.state, args.plan, args.broker, args.query)
            signal.signal(signal.SIGTERM, lambda *_: process.stop())
            print("ready", flush=True)
            process.run()
    except (LogConflictError, JournalRotError) as error:
        note(f"stopped: {error}")
        return EXIT_CONFLICT
    except (LogHeldError, LogDamagedError, LogSchemaError, BrokerRefusedError) as error:
        note(f"stopped: {error}")
        return EXIT_UNUSABLE
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The broker's command line. It is started by the supervisor, which holds the state's lock.

Prints `ready` when it listens. Exit codes: 0 after SIGTERM, 3 a journal that is damaged or can't be
laid out as the plan wants it, or a TCP endpoint that can't be had or is not safe, 4 a disk that is
full or fails; the last line on stderr says what and where.
"""

from __future__ import annotations

import argparse
import errno
import fcntl
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flowc_dsl.plan import Plan
    from flowc_engine.broker.driver import BrokerDriver
    from flowc_engine.journal.recovery import Recovered

EXIT_STATE = 3
EXIT_DISK = 4


def main() -> int:
    """Run the broker until SIGTERM."""
    parser = argparse.ArgumentParser(prog="flowc_engine.broker", description=__doc__)
    parser.add_argument(
        "--state", type=Path, required=True, help="the folder of the system's state"
    )
    parser.add_argument("--plan", type=Path, required=True, help="the plan, as JSON")
    parser.add_argument(
        "--listen", required=True, help="the endpoint, for example ipc:///tmp/b.sock"
    )
    parser.add_argument("--tcp", help="another endpoint, for those who have a key of the state")
    args = parser.parse_args()

    from flowc_engine.process import die_with_parent, starter

    die_with_parent(starter())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's to handle
    os.umask(0o077)
    return serve(args.plan, args.state, args.listen, args.tcp)


def serve(plan_file: Path, state: Path, endpoint: str, tcp: str | None) -> int:
    """Recover the journal and serve; the exit code comes back."""
    from flowc_dsl.plan import Plan
    from flowc_engine.broker.listener import ListenError
    from flowc_engine.core.layout import LayoutError
    from flowc_engine.journal.reader import JournalRotError
    from flowc_engine.journal.recovery import recover
    from flowc_engine.keys import KeysError

    folder = state / "journal"
    plan = Plan.from_json(plan_file.read_text(encoding="utf-8"))
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        recovered = recover(folder)
        if recovered.cut_bytes:
            print(
                f"journal: cut {recovered.cut_bytes} bytes of a torn tail at byte "
                f"{recovered.position} of segment {recovered.segment}; "
                "nothing in it was acknowledged",
                file=sys.stderr,
                flush=True,
            )
        driver = _driver(plan, state, recovered, endpoint, tcp)
        signal.signal(signal.SIGTERM, lambda *_: setattr(driver, "stopping", True))
        print("ready", flush=True)
        driver.run()
        driver.close()
    except BlockingIOError:
        print(f"journal: another broker has {folder}", file=sys.stderr, flush=True)
        return EXIT_DISK
    except (ListenError, KeysError) as error:
        print(f"tcp: {error}", file=sys.stderr, flush=True)
        return EXIT_STATE
    except LayoutError as error:
        print(f"plan: {error}", file=sys.stderr, flush=True)
        return EXIT_STATE
    except JournalRotError as error:
        print(f"journal: damaged: {error}", file=sys.stderr, flush=True)
        return EXIT_STATE
    except OSError as error:
        what = "the disk is full" if error.errno == errno.ENOSPC else str(error)
        print(f"journal: {what}; all that was acknowledged is safe", file=sys.stderr, flush=True)
        return EXIT_DISK
    return 0


def _driver(
    plan: Plan, state: Path, recovered: Recovered, endpoint: str, tcp: str | None
) -> BrokerDriver:
    from flowc_engine.broker.driver import BrokerDriver
    from flowc_engine.bus import wire
    from flowc_engine.generations import former_plans
    from flowc_engine.keys import KeyRing
    from flowc_engine.state import SCHEMAS_FILE

    driver = BrokerDriver(plan, state / "journal", recovered, endpoint)
    if tcp is not None:
        schemas = state / SCHEMAS_FILE
        text = schemas.read_text(encoding="utf-8") if schemas.exists() else ""
        driver.broker.core.schemas = wire.Schemas(recovered.journal_id, text)
        driver.broker.core.former_plans = former_plans(state, plan.hash)
        try:
            driver.listen(tcp, KeyRing(state / "keys", plan.system))
        except Exception:
            driver.close()
            raise
    return driver


if __name__ == "__main__":
    sys.exit(main())

"""Feeds flowc any text, by hand: `make fuzz`, or `python tests/fuzz/fuzz_check.py --help`.

With atheris installed, a run is guided by coverage, over the corpus of the tests; without it, it is
a plain loop over seeds, which says how to run the seed again that failed.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from itertools import count
from pathlib import Path
from tempfile import mkdtemp

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.fuzzing import any_input, corpus, examine


def main() -> int:
    """0 if nothing was found in the time given, 1 with the first input that fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long (default: 60)")
    parser.add_argument("--seed", type=int, help="only this seed, and show its input")
    parser.add_argument("--first", type=int, default=0, help="where the loop begins")
    parser.add_argument("--plain", action="store_true", help="the loop, even with atheris")
    parser.add_argument("--file", type=Path, help="only this file")
    args = parser.parse_args()
    if args.file:
        print(examine(args.file.read_bytes()))
        return 0
    if args.seed is not None:
        sys.stdout.buffer.write(any_input(args.seed) + b"\n")
        print(examine(any_input(args.seed)))
        return 0
    if not args.plain and _guided(args.seconds):
        return 0
    return _loop(args.first, args.seconds)


def _loop(first: int, seconds: float) -> int:
    end = time.monotonic() + seconds
    for seed in count(first):
        if time.monotonic() >= end:
            print(f"{seed - first:,} inputs, seeds {first} to {seed - 1}: no internal error")
            return 0
        try:
            examine(any_input(seed))
        except Exception as error:  # noqa: BLE001  # whatever it is, it is what is sought
            print(f"seed {seed}: {type(error).__name__}: {error}")
            print(f"again: make fuzz ARGS='--seed {seed}'")
            return 1
    return 0


def _guided(seconds: float) -> bool:
    """Whether atheris was there to do it; it ends the process itself where it finds something."""
    try:
        import atheris
    except ImportError:
        print("no atheris here: a plain loop over seeds", file=sys.stderr)
        return False
    folder = Path(mkdtemp(prefix="flowc-fuzz-"))
    for number, text in enumerate(corpus()):
        (folder / f"{number}.flow").write_text(text)
    atheris.instrument_all()
    options = [f"-max_total_time={int(seconds)}", f"-artifact_prefix={os.fspath(folder)}/"]
    atheris.Setup([sys.argv[0], *options, os.fspath(folder)], lambda data: examine(data) and None)
    atheris.Fuzz()
    return True


if __name__ == "__main__":
    sys.exit(main())

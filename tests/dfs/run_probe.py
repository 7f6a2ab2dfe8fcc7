#!/usr/bin/env python3
"""Runs one file system probe and compares its lines with those recorded from the reference.

usage: run_probe.py PROGRAM GOLDEN [--pool LABEL]

A line that differs must be in quirks.txt (a defect of the reference) or in deviations.txt (a
difference that we chose, told in docs/deviations-dfs.md). A deviation that no longer happens fails
as well, so that the list stays true.
"""
import argparse
import collections
import fnmatch
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
PROBES = os.path.join(HERE, "..", "conformance", "dfs")


def key(line):
    return line.split(" -> ")[0] if " -> " in line else " ".join(line.split(" ")[:2])


INODE = re.compile(r"^ *akey len=9 'DFS_INODE' ARRAY rec_size=1 recx=\{(\d+),(\d+)\}$")


def lines_of(text):
    """The lines, with the extents of a directory entry's inode put together: our store keeps its 88
    bytes as one record however often a part of them was set; the reference does so only later."""
    lines = []
    for line in text.splitlines():
        line = line.rstrip()
        now, before = INODE.match(line), INODE.match(lines[-1]) if lines else None
        if now and before and int(before[1]) + int(before[2]) == int(now[1]):
            end = int(now[1]) + int(now[2])
            lines[-1] = lines[-1].split("{")[0] + "{%s,%d}" % (before[1], end - int(before[1]))
        elif line.strip():
            lines.append(line)
    return lines


def table(path):
    """Rows of tab-separated pairs; '#' begins a comment."""
    rows = []
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            if not line.startswith("#") and "\t" in line:
                rows.append(line.rstrip("\n").split("\t"))
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("golden")
    parser.add_argument("--pool", default="tank")
    args = parser.parse_args()
    ran = subprocess.run([args.program, args.pool], capture_output=True, timeout=600, check=False)
    got = collections.defaultdict(list)
    for line in lines_of(ran.stdout.decode(errors="replace")):
        got[key(line)].append(line)
    with open(args.golden, encoding="utf-8", errors="replace") as file:
        golden = lines_of(file.read())
    quirks = {row[0]: row[1] for row in table(os.path.join(PROBES, "quirks.txt"))}
    deviations = table(os.path.join(HERE, "deviations.txt"))
    used = set()

    def allowed(name, line):
        for index, row in enumerate(deviations):
            if fnmatch.fnmatchcase(name, row[0]) and row[1] in ("*", line):
                used.add(index)
                return True
        return False

    bad = equal = 0
    for want in golden:
        name = key(want)
        have = got[name].pop(0) if got[name] else "ABSENT"
        if have == want or quirks.get(want) == have:
            equal += 1
        elif not allowed(name, have):
            bad += 1
            print("- " + want + "\n+ " + have)
    for name, rest in got.items():
        for line in rest:
            if not allowed(name, line):
                bad += 1
                print("+ " + line + "   (not recorded)")
    names = [key(line) for line in golden]
    for index, row in enumerate(deviations):
        if index not in used and any(fnmatch.fnmatchcase(name, row[0]) for name in names):
            bad += 1
            print("deviation that does not happen any more: " + row[0])
    print("%d lines as recorded, %d different, exit status %d" % (equal, bad, ran.returncode))
    if bad or ran.returncode:
        sys.stdout.write(ran.stderr.decode(errors="replace")[-2000:])
    return 1 if bad or ran.returncode else 0


if __name__ == "__main__":
    sys.exit(main())

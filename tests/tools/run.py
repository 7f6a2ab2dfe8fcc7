#!/usr/bin/env python3
"""Runs the commands of expected/*.txt and compares stdout, the ERROR lines of stderr and the exit
status with what the reference system printed.

Each file has a home and a directory <TMP> of its own. `! command` prepares and must succeed; `$
command` is compared. Values that differ between any two systems are masked on both sides (UUIDs,
sizes, percents, times, ids), padding does not count. What differs all the same must stand in
deviations.txt with its reason; an entry there that is not needed any more is an error, too.
  run.py --bin DIR [--served] [--verbose] [FILE...]

--served: the commands share the server that the first of them starts.
"""
import argparse
import contextlib
import grp
import os
import pathlib
import pwd
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
A_UUID = "12345678-1234-4321-8888-1234567890ab"
SECONDS_MAX = 30

UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
SIZE = r"(?<![\w.])\d+(\.\d+)? ([kKMGTPE]i?B|B)\b"
# What a mask of the recordings stands for.
MASKS = {
    "<UUID>": UUID,
    "<SIZE>": SIZE,
    "<PCT>": r"(?<![\w.])\d+%",
    "<TIME>": r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)? ?(\+\d\d:?\d\d|Z|UTC)?( UTC)?",
    "<HLC>": r"0x[0-9a-f]+",
    "<OID>": r"\d+\.\d+",
    "<U64>": r"\d+",
    "<N>": r"\d+",
}


class Entry:
    """One command with what it must give; `setup`: it must only succeed."""

    def __init__(self, command, setup=False, stdout="", stderr="", exit_status=0):
        self.command, self.setup = command, setup
        self.wanted = {"stdout": stdout, "stderr": stderr, "exit": str(exit_status)}


def parse(text):
    entries, lines, at = [], text.splitlines(), 0
    while at < len(lines):
        line = lines[at]
        at += 1
        if line.startswith("! "):
            entries.append(Entry(line[2:], setup=True))
        if not line.startswith("$ "):
            continue
        parts, name = {"stdout": [], "stderr": []}, None
        while not re.fullmatch(r"exit: -?\d+", lines[at]):
            if lines[at] in ("stdout:", "stderr:"):
                name = lines[at][:-1]
            else:
                parts[name].append(lines[at])
            at += 1
        entries.append(Entry(line[2:], False, "\n".join(parts["stdout"]),
                             "\n".join(parts["stderr"]), int(lines[at][6:])))
    return entries


def squeeze(line):
    """A line without padding; its indentation stays."""
    indent = len(line) - len(line.lstrip())
    return line[:indent] + re.sub(r"-{4,}", "----", re.sub(r"\s+", " ", line.strip()))


def lines_of(text, name, tmp):
    lines = [squeeze(line.replace(tmp, "<TMP>")) for line in text.splitlines() if line.strip()]
    return [line for line in lines if name != "stderr" or line.startswith("ERROR")]


def equal(wanted, ours):
    """`wanted` is a recorded line: each mask in it stands for one value."""
    for mask in ("<SIZE>", "<PCT>"):  # printed in the clear in some recordings
        wanted, ours = re.sub(MASKS[mask], mask, wanted), re.sub(MASKS[mask], mask, ours)
    pattern = ""
    for piece in re.split("(" + "|".join(MASKS) + ")", wanted):
        value = MASKS.get(piece)
        pattern += f"({value}|{piece})" if value else re.escape(piece)
    return re.fullmatch(pattern, ours) is not None


def differences(entry, done, tmp):
    """Names of what differs: stdout, stderr, exit."""
    found = []
    for name, text in (("stdout", done.stdout), ("stderr", done.stderr)):
        wanted = lines_of(entry.wanted[name], name, tmp)
        ours = lines_of(text, name, tmp)
        if len(wanted) != len(ours) or not all(map(equal, wanted, ours)):
            found.append(name)
    if entry.wanted["exit"] != str(done.returncode):
        found.append("exit")
    return found


def deviations():
    """(file, command, occurrence) -> names of what differs there. Each has a reason above."""
    out, reason = {}, None
    for number, line in enumerate((HERE / "deviations.txt").read_text().splitlines(), 1):
        if line.startswith("# "):
            reason = line
        elif line.strip():
            match = re.fullmatch(r"(\w+) (\S+)(?: #(\d+))?: (.*)", line)
            if match is None or reason is None:
                sys.exit(f"deviations.txt:{number}: not `FILE WHAT[,WHAT][ #N]: COMMAND`, "
                         "or no reason")
            key = (match[1], match[4], int(match[3] or 1))
            if key in out:
                sys.exit(f"deviations.txt:{number}: listed twice")
            out[key] = match[2].split(",")
    return out


def own_names():
    """User and group of this process: the recordings were made by root."""
    try:
        return [pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name]
    except KeyError:
        return []


def run(command, tmp, env):
    text = command.replace("<TMP>", tmp).replace("<UUID>", A_UUID)
    done = subprocess.run(["sh", "-c", text], env=env, cwd=tmp, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=SECONDS_MAX)
    for name in own_names():
        done.stdout = re.sub(rf"\b{re.escape(name)}@", "root@", done.stdout)
    return done


def show(entry, done, tmp):
    for name, text in (("stdout", done.stdout), ("stderr", done.stderr)):
        wanted, ours = lines_of(entry.wanted[name], name, tmp), lines_of(text, name, tmp)
        while wanted and ours and equal(wanted[0], ours[0]):
            del wanted[0], ours[0]
        while wanted and ours and equal(wanted[-1], ours[-1]):
            del wanted[-1], ours[-1]
        for sign, lines in (("-", wanted), ("+", ours)):
            print("".join(f"    {name} {sign} {line}\n" for line in lines), end="")
    if entry.wanted["exit"] != str(done.returncode):
        print(f"    exit - {entry.wanted['exit']} + {done.returncode}")


def replay(group, options, known):
    """(compared, deviating, failures)"""
    compared, used, failures, count = 0, set(), [], {}
    with (tempfile.TemporaryDirectory(prefix="cairn-tools-") as top,
          contextlib.ExitStack() as undo):
        tmp = os.path.join(top, "files")
        os.mkdir(tmp)
        env = dict(os.environ, CAIRN_HOME=os.path.join(top, "home"), LC_ALL="C.UTF-8",
                   PATH=options.bin + os.pathsep + os.environ["PATH"])
        if options.served:
            env["CAIRN_MODE"] = "auto"
            undo.callback(run, "cairn down", tmp, env)
        for entry in parse((HERE / "expected" / f"{group}.txt").read_text()):
            done = run(entry.command, tmp, env)
            if entry.setup:
                if done.returncode != 0:
                    return compared, used, [f"{group}: {entry.command}: {done.stderr}"]
                continue
            compared += 1
            count[entry.command] = count.get(entry.command, 0) + 1
            key = (group, entry.command, count[entry.command])
            found = differences(entry, done, tmp)
            if found:
                used.add(key)
            if found == known.get(key, []):
                continue
            number = f" #{key[2]}" if key[2] > 1 else ""
            what = ",".join(found) or "nothing"
            failures.append(f"{group} {what}{number}: {entry.command}")
            if key in known:
                failures[-1] += f"    (deviations.txt says {','.join(known[key])})"
            print(failures[-1])
            if options.verbose:
                show(entry, done, tmp)
    return compared, used, failures


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True)
    parser.add_argument("--served", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("groups", nargs="*")
    options = parser.parse_args()
    options.bin = os.path.abspath(options.bin)
    known, compared, used, failures = deviations(), 0, set(), []
    groups = options.groups or sorted(p.stem for p in (HERE / "expected").glob("*.txt"))
    for group in groups:
        n, seen, failed = replay(group, options, known)
        compared, used, failures = compared + n, used | seen, failures + failed
    for key in sorted(set(known) - used):
        if key[0] in groups:
            failures.append(f"{key[0]}: {key[1]} #{key[2]}: deviates no longer")
    for line in failures:
        print("FAILED " + line)
    print(f"{compared} commands: {compared - len(used)} as recorded, {len(used)} differ")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

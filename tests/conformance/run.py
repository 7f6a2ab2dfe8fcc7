#!/usr/bin/env python3
"""Runs the conformance probes in a home of their own and compares with what the reference printed.

A line that differs must stand in deviations.txt exactly as we print it, below a reason (a line that
begins with `# `); docs/deviations.md says the same for users. An entry that is not needed any more is
an error, too. Exit status 1 if anything is unexplained.
  run.py --probe PROGRAM --make-pool PROGRAM [GROUP...]
"""
import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent


def case_of(line):
    return line.split(" ", 1)[0]


def by_case(text):
    return {case_of(line): line for line in text.splitlines() if line.strip()}


def deviations():
    """Case -> our line. Every entry has a reason above it."""
    lines, reason, out = (HERE / "deviations.txt").read_text().splitlines(), None, {}
    for number, line in enumerate(lines, 1):
        if line.startswith("# "):
            reason = line
        elif line.strip():
            if reason is None:
                sys.exit(f"deviations.txt:{number}: no reason above")
            out[case_of(line)] = line
    return out


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--probe", required=True)
    parser.add_argument("--make-pool", required=True)
    parser.add_argument("--served-by", metavar="BIN",
                        help="use the server that BIN/daos_engine is, not the home in process")
    parser.add_argument("groups", nargs="*")
    options = parser.parse_args()
    groups = options.groups or sorted(p.stem for p in (HERE / "expected").glob("*.txt"))
    known, failures, equal, explained = deviations(), [], 0, 0
    with tempfile.TemporaryDirectory(prefix="cairn-conformance-") as home:
        env = dict(os.environ, CAIRN_HOME=home, CAIRN_LOG="off")
        if options.served_by:
            env.update(CAIRN_MODE="auto", CAIRN_ENGINE=os.path.join(options.served_by, "daos_engine"))
        subprocess.run([options.make_pool, "tank", "2048"], env=env, check=True)
        for group in groups:
            done = subprocess.run([options.probe, group], env=env, capture_output=True, text=True)
            if done.returncode != 0:
                failures.append(f"{group}: the probe ended with {done.returncode}: {done.stderr}")
            wanted = by_case((HERE / "expected" / f"{group}.txt").read_text())
            got = by_case(done.stdout)
            for case in sorted(wanted.keys() | got.keys()):
                ours = got.get(case, f"{case}  -> (nothing)")
                if ours == wanted.get(case):
                    equal += 1
                    # What is reclaimed when differs from run to run of a server.
                    if known.pop(case, None) and not options.served_by:
                        failures.append(f"{case}: equal now; take it out of deviations.txt")
                elif known.pop(case, None) == ours:
                    explained += 1
                else:
                    failures.append(f"{case}:\n  reference {wanted.get(case)}\n  ours      {ours}")
        if options.served_by:
            subprocess.run([os.path.join(options.served_by, "cairn"), "down"], env=env, check=True,
                           stdout=subprocess.DEVNULL)
        failures += [f"{case}: in deviations.txt, but the probe has no such case"
                     for case in known if case.split(".")[0] in groups]
    print("\n".join(failures))
    print(f"conformance: {equal} equal, {explained} explained, {len(failures)} not")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

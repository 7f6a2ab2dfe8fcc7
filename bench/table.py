#!/usr/bin/env python3
"""Turns the JSON lines of cairn_bench (on stdin) into the table of docs/benchmarks.md."""
import json
import sys


def short(number):
    if number >= 10_000:
        return f"{number / 1000:.0f} k"
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def main():
    print("| case | ours | peer | theirs | ratio (range) | CPU us per op: ours, theirs |")
    print("|---|---|---|---|---|---|")
    for line in sys.stdin:
        if not line.startswith("{"):
            continue  # what the build says
        d = json.loads(line)
        if d["ratio"] is None:  # a count
            print(f"| `{d['case']}` | {short(d['ours'])} {d['unit']} | - | | | |")
            continue
        spread = f" ({d['ratio_min']:.2f}-{d['ratio_max']:.2f})" if "ratio_min" in d else ""
        cpu = f"{d['cpu_us_per_op']}, {d['peer_cpu_us_per_op']}" if "cpu_us_per_op" in d else ""
        print(f"| `{d['case']}` | {short(d['ours'])} {d['unit']} | {d['peer']} | "
              f"{short(d['theirs'])} | **{d['ratio']:.2f}**{spread} | {cpu} |")


if __name__ == "__main__":
    main()

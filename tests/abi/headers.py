#!/usr/bin/env python3
"""Compiles every public header alone, as C11 and as C++17, with all warnings as errors.

  headers.py --include DIR [--cc clang-19] [--cxx clang++-19]
"""
import argparse
import os
import subprocess
import sys
import tempfile

FLAGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only"]


def headers(root):
    for folder, _, names in os.walk(root):
        for name in sorted(names):
            if name.endswith(".h"):
                yield os.path.relpath(os.path.join(folder, name), root)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--include", required=True)
    parser.add_argument("--cc", default="cc")
    parser.add_argument("--cxx", default="c++")
    options = parser.parse_args()
    failed, count = [], 0
    with tempfile.TemporaryDirectory() as folder:
        for header in headers(options.include):
            for compiler, standard, suffix in ((options.cc, "-std=gnu11", "c"),
                                               (options.cc, "-std=c11", "c"),
                                               (options.cxx, "-std=c++17", "cc")):
                source = os.path.join(folder, "one." + suffix)
                with open(source, "w", encoding="utf-8") as file:
                    file.write(f"#include <{header}>\nint main(void) {{ return 0; }}\n")
                command = [compiler, standard, "-I", options.include, *FLAGS, source]
                done = subprocess.run(command, capture_output=True, text=True)
                count += 1
                if done.returncode != 0:
                    failed.append(f"{header} as {standard}:\n{done.stderr}")
    print("\n".join(failed))
    print(f"headers: {count} compilations, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

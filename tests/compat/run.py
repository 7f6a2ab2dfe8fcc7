#!/usr/bin/env python3
"""Installs the tree, builds each program here as a user would, and runs it in a home of its own.

  run.py --build DIR --make-pool PROGRAM [PROGRAM.c ...]
"""
import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
FLAGS = ["-std=gnu11", "-Wall", "-Wextra", "-Werror"]


# What a program links besides -ldaos, by the headers that it includes.
LIBRARIES = {"daos_fs": "-ldfs", "daos_uns.h": "-lduns", "gurt/": "-lgurt", "pthread.h": "-pthread"}


def needed(source):
    text = source.read_text()
    included = re.findall(r"^#include <(.*)>", text, re.M)
    flags = {flag for part, flag in LIBRARIES.items()
             if any(header.startswith(part) for header in included)}
    return sorted(flags | ({"-luuid"} if re.search(r"\buuid_\w+\(", text) else set()))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--make-pool", required=True)
    parser.add_argument("programs", nargs="*")
    options = parser.parse_args()
    sources = [HERE / p for p in options.programs] or sorted(HERE.glob("*.c"))
    failed = []
    with tempfile.TemporaryDirectory(prefix="cairn-compat-") as folder:
        prefix = os.path.join(folder, "prefix")
        subprocess.run(["cmake", "--install", options.build, "--prefix", prefix], check=True,
                       stdout=subprocess.DEVNULL)
        for source in sources:
            program = os.path.join(folder, source.stem)
            lib = os.path.join(prefix, "lib64")
            command = ["cc", *FLAGS, str(source), "-I" + os.path.join(prefix, "include"),
                       "-L" + lib, "-Wl,-rpath," + lib, *needed(source), "-ldaos", "-o", program]
            if subprocess.run(command).returncode != 0:
                failed.append(source.stem)
                continue
            env = dict(os.environ, CAIRN_HOME=os.path.join(folder, "home." + source.stem))
            env.setdefault("CAIRN_LOG", "off")
            subprocess.run([options.make_pool, "tank", "1024"], env=env, check=True)
            if subprocess.run([program, "tank"], env=env, timeout=300).returncode != 0:
                failed.append(source.stem)
    print(f"compat: {len(sources)} programs, failed: {' '.join(failed) or 'none'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""What the shared libraries need at load and what they export.

  libraries.py --include DIR --lib PATH...
"""
import argparse
import os
import re
import subprocess
import sys

# The C and C++ run time, and our own.
SYSTEM = {"libc.so.6", "libm.so.6", "libstdc++.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2",
          "ld-linux-aarch64.so.1"}
OURS = {"libdaos.so.2", "libgurt.so.4", "libdaos_common.so", "libdfs.so", "libduns.so"}
SONAMES = {"libdaos.so": "libdaos.so.2", "libgurt.so": "libgurt.so.4", "libdfs.so": "libdfs.so",
           "libduns.so": "libduns.so", "libdaos_common.so": "libdaos_common.so"}

# Which names belong to which library, and the headers that declare them.
EXPORTS = {
    "libdaos.so": (r"(?:daos|dfs|duns)_\w+|cairn_(?:cont|dfs|obj)_\w+|dc_mgmt_srv_version",
                   ["cairn_cont.h", "cairn_worm.h", "daos.h", "daos_api.h", "daos_array.h",
                    "daos_cont.h", "daos_event.h", "daos_kv.h",
                    "daos_mgmt.h", "daos_obj.h", "daos_obj_class.h", "daos_pool.h",
                    "daos_prop.h", "daos_security.h"]),
    "libgurt.so": (r"d_\w+", ["daos_errno.h", "gurt/common.h", "gurt/hash.h"]),
    "libdfs.so": (r"(?:cairn_)?dfs_\w+", ["cairn_dfs.h", "daos_fs.h", "daos_fs_sys.h"]),
    "libduns.so": (r"duns_\w+", ["daos_uns.h"]),
}
RENAMED = {"daos_pool_connect", "daos_cont_create", "daos_cont_open", "daos_cont_destroy",
           "daos_obj_generate_oid"}


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def declared(include, header, pattern):
    """Functions of a header that are not inline."""
    with open(os.path.join(include, header), encoding="utf-8") as file:
        text = re.sub(r"/\*.*?\*/", "", file.read(), flags=re.S)
    text = re.sub(r"^\s*#.*(?:\\\n.*)*$", "", text, flags=re.M)
    found = set()
    for match in re.finditer(r"^(?!static|typedef| )[\w ]+[\s*]+(%s)\s*\(" % pattern, text, re.M):
        found.add(match[1])
    return found


def check(include, path):
    name = os.path.basename(path)
    problems = []
    dynamic = run("readelf", "-dW", path)
    needed = set(re.findall(r"\(NEEDED\).*\[(.+)\]", dynamic))
    for library in sorted(needed - SYSTEM - OURS):
        problems.append(f"{name}: needs {library} at load")
    soname = re.findall(r"\(SONAME\).*\[(.+)\]", dynamic)
    if soname != [SONAMES[name]]:
        problems.append(f"{name}: soname {soname}, not {SONAMES[name]}")
    if name not in EXPORTS:
        return problems
    pattern, headers = EXPORTS[name]
    symbols = {line.split()[-1].split("@")[0]
               for line in run("nm", "-D", "--defined-only", path).splitlines()}
    for symbol in sorted(s for s in symbols if not re.fullmatch(pattern, s)):
        problems.append(f"{name}: exports {symbol}")
    wanted = set().union(*(declared(include, header, pattern) for header in headers)) - RENAMED
    for symbol in sorted(wanted - symbols):
        problems.append(f"{name}: does not export {symbol}")
    if not wanted:
        problems.append(f"{name}: no function found in {headers}")
    return problems


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--include", required=True)
    parser.add_argument("--lib", nargs="+", required=True)
    options = parser.parse_args()
    problems = [p for path in options.lib for p in check(options.include, path)]
    print("\n".join(problems))
    print(f"libraries: {len(options.lib)} looked at, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

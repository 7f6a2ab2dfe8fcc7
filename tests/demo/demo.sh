#!/usr/bin/env bash
# The main job on real input, end to end: a home, a pool and a POSIX container; a directory tree
# copied in, listed, copied back and compared; a second copy killed halfway together with the server
# of the home, after which everything that was reported as written is there and the store checks
# clean; a third copy during which the server is killed again and again, which goes on as if nothing
# had happened. Needs cairn, daos, daos_engine and dmg on the PATH; `./dev demo` builds them and
# calls this.
set -euo pipefail
export LC_ALL=C

SOURCE="${CAIRN_DEMO_SOURCE:-/usr/share}"
FILES_MAX="${CAIRN_DEMO_FILES:-20000}"
# The pool holds one copy and a part of a second.
BYTES_MAX=$((1024 * 1024 * 1024))

if [ $# -gt 0 ]; then
  cat <<'TEXT'
usage: tests/demo/demo.sh (or ./dev demo)
environment: CAIRN_DEMO_SOURCE (tree to copy, default /usr/share), CAIRN_DEMO_FILES (how many files
of it, default 20000), CAIRN_DEMO_KEEP=1 (keep the working directory), TMPDIR (where that is)
TEXT
  [ "$1" = --help ]
  exit
fi

WORK="$(mktemp -d "${TMPDIR:-/tmp}/cairn-demo.XXXXXX")"
LOGS="$WORK/logs"
TREE="$WORK/tree"
export CAIRN_HOME="$WORK/home"
mkdir "$LOGS" "$TREE"
STEP="start"
STEP_NUMBER=0
COPY_PID=""

finish() {
  local status=$?
  trap - EXIT
  [ -z "$COPY_PID" ] || kill -9 "$COPY_PID" 2>/dev/null || true
  cairn down >/dev/null 2>&1 || true
  if [ "$status" -eq 0 ]; then
    [ -n "${CAIRN_DEMO_KEEP:-}" ] || rm -rf "$WORK" ||
      echo "demo: could not remove $WORK" >&2
    echo "demo: ok"
    exit 0
  fi
  echo "demo: FAILED in step $STEP_NUMBER ($STEP); logs: $LOGS, home: $CAIRN_HOME (both kept)" >&2
  exit 1
}
trap finish EXIT
trap 'exit 1' INT TERM HUP

step() {
  STEP_NUMBER=$((STEP_NUMBER + 1))
  STEP="$*"
  echo "demo: $STEP"
}
fail() {
  echo "demo: $*" >&2
  exit 1
}
log_name() { printf '%s/%02d-%s.log' "$LOGS" "$STEP_NUMBER" "$1"; }

# run NAME COMMAND...: output to the step's log; on failure its end is shown.
run() {
  local log
  log="$(log_name "$1")"
  shift
  if ! "$@" >"$log" 2>&1 </dev/null; then
    tail -n 20 "$log" >&2
    fail "this failed: $* (whole output: $log)"
  fi
}

now_ms() { echo $(($(date +%s%N) / 1000000)); }
elapsed_ms() {
  local ms=$(($(now_ms) - $1))
  echo $((ms > 0 ? ms : 1))
}
per_second() { awk -v n="$1" -v ms="$2" 'BEGIN { printf "%.0f", n * 1000 / ms }'; }
mib_per_second() { awk -v n="$1" -v ms="$2" 'BEGIN { printf "%.1f", n * 1000 / ms / 1048576 }'; }

# copy NAME SOURCE DESTINATION: progress stays on the terminal, the summary goes to the log.
copy() {
  local log
  log="$(log_name "$1")"
  daos fs copy --src "$2" --dst "$3" >"$log" </dev/null ||
    fail "daos fs copy --src $2 --dst $3 failed: $(tail -n 3 "$log")"
}

# The tree to copy: the first files in byte order of their names, with the directories that hold
# them; links, modes and times as they are.
cut_tree() {
  local list="$WORK/list"
  [ -d "$SOURCE" ] || fail "$SOURCE is not a directory; name one in CAIRN_DEMO_SOURCE"
  # The list ends where either limit is reached.
  (cd "$SOURCE" &&
    find . -xdev ! -name $'*\n*' \( -type l -o -type f -readable \) -printf '%p\t%s\0') | sort -z |
    awk -v RS='\0' -v ORS='\0' -F '\t' -v files="$FILES_MAX" -v bytes="$BYTES_MAX" '
      { size += $NF; if (NR > files || size > bytes) exit; sub(/\t[^\t]*$/, ""); print }' \
      >"$list" || true
  [ -s "$list" ] || fail "$SOURCE holds no readable file; name another tree in CAIRN_DEMO_SOURCE"
  (cd "$SOURCE" && xargs -0 cp -a --parents -t "$TREE" <"$list") >"$LOGS/cut.log" 2>&1 ||
    fail "cannot copy $SOURCE to $TREE: $(tail -n 1 "$LOGS/cut.log")"
  chmod 0755 "$TREE"
}

check_space() {
  local free_kib need_kib tree_kib
  tree_kib="$(du -sk "$TREE" | cut -f1)"
  free_kib="$(df -Pk "$WORK" | awk 'NR == 2 { print $4 }')"
  need_kib=$((3 * 1024 * 1024 + 2 * tree_kib))
  [ "$free_kib" -ge "$need_kib" ] ||
    fail "$WORK has $((free_kib / 1024)) MiB free, $((need_kib / 1024)) are needed;" \
      "set TMPDIR to a directory on a larger disk"
}

# manifest DIR: kind, mode, size, mtime in nanoseconds and link target of each entry. A directory's
# mtime changes with its entries and is not copied.
manifest() {
  (cd "$1" && find . \( -type l -printf 'l %p -> %l\n' \) -o \( -type d -printf 'd %m %p\n' \) \
    -o -printf '%y %m %s %T@ %p\n') | sort
}

# compare NAME A B: every byte, mode, mtime and symlink.
compare() {
  local log
  log="$(log_name "compare-$1")"
  diff -r --no-dereference "$2" "$3" >"$log" 2>&1 ||
    fail "contents of $3 differ from $2 (all: $log): $(head -n 3 "$log")"
  diff <(manifest "$2") <(manifest "$3") >"$log" 2>&1 ||
    fail "modes, times or links of $3 differ from $2 (all: $log): $(head -n 5 "$log")"
}

# The process that serves the home; nothing if there is none.
server_pid() {
  local pid
  pid="$(sed -n 's/^pid //p' "$CAIRN_HOME/lock" 2>/dev/null)"
  case "$(readlink "/proc/${pid:-0}/exe" 2>/dev/null)" in
    */daos_engine) echo "$pid" ;;
  esac
}

# kill_server: SIGKILL, as a machine that loses its power would do to it. Status 1 if there is none.
kill_server() {
  local pid
  pid="$(server_pid)"
  [ -n "$pid" ] && kill -9 "$pid" 2>/dev/null
}

# copy_and_kill_server DESTINATION TIMES: a copy that its server's death must not end.
copy_and_kill_server() {
  local log report="$WORK/report" lines=0 kills=0 status=0
  log="$(log_name copy)"
  rm -f "$report"
  daos fs copy --src "$TREE" --dst "$1" --report "$report" >"$log" 2>&1 </dev/null &
  COPY_PID=$!
  while kill -0 "$COPY_PID" 2>/dev/null; do
    [ ! -f "$report" ] || lines="$(wc -l <"$report")"
    if [ "$kills" -lt "$2" ] &&
      [ "$lines" -ge $(((kills + 1) * (FILES + LINKS) / ($2 + 1))) ] && kill_server; then
      kills=$((kills + 1))
    fi
    sleep 0.02
  done
  wait "$COPY_PID" || status=$?
  COPY_PID=""
  [ "$status" -eq 0 ] ||
    fail "the copy failed when its server was killed, status $status: $(tail -n 3 "$log")"
  [ "$kills" -gt 0 ] || fail "the copy was done before its server could be killed"
  echo "demo: killed the server $kills times meanwhile"
}

# kill_copy DESTINATION COUNT: starts a copy and kills it and its server when COUNT files have been
# reported. Status 1 if it was done before.
kill_copy() {
  local report="$WORK/report" lines=0 log status=0
  log="$(log_name copy)"
  rm -f "$report"
  daos fs copy --src "$TREE" --dst "$1" --report "$report" >"$log" 2>&1 </dev/null &
  COPY_PID=$!
  while kill -0 "$COPY_PID" 2>/dev/null; do
    [ ! -f "$report" ] || lines="$(wc -l <"$report")"
    [ "$lines" -lt "$2" ] || break
    sleep 0.02
  done
  kill_server || true
  kill -9 "$COPY_PID" 2>/dev/null || true
  wait "$COPY_PID" 2>/dev/null || status=$?
  COPY_PID=""
  [ "$status" -ne 0 ] || return 1
  [ "$status" -eq 137 ] ||
    fail "the second copy failed by itself, status $status: $(tail -n 3 "$log")"
  # A line that the kill cut short reports nothing.
  head -n "$(wc -l <"$report")" "$report" | sed -e "s|^$TREE/||" -e 's|^/*||' >"$WORK/reported"
  [ -s "$WORK/reported" ] || fail "the killed copy reported no file; see $report"
}

# facts DIR: checksum of each reported file, and mode, mtime or link target of each reported path.
facts() {
  (
    cd "$1"
    while IFS= read -r path; do
      [ -L "$path" ] || [ -f "$path" ] || echo "missing: $path"
    done <"$WORK/reported"
    tr '\n' '\0' <"$WORK/reported" | xargs -0 sh -c 'find "$@" -prune \
      \( -type l -printf "l %p -> %l\n" \) -o -printf "%m %s %T@ %p\n" 2>/dev/null' sh || true
    tr '\n' '\0' <"$WORK/reported" | xargs -0 sh -c \
      'find "$@" -prune -type f -print0 2>/dev/null | xargs -0 -r sha256sum' sh || true
  ) | sort
}

check_reported() {
  local log
  log="$(log_name reported)"
  diff <(facts "$TREE") <(facts "$1") >"$log" ||
    fail "files that were reported as written are not whole (all: $log): $(head -n 3 "$log")"
}

# All metadata of the home over the number of its files; the last checkpoint's pages.
metadata_bytes_per_file() {
  local log bytes
  log="$(log_name status)"
  bytes="$(tr -d ' \n' <"$log" | grep -o '"metadata_bytes":[0-9]*' |
    awk -F: '{ s += $2 } END { print s }')"
  [ -n "$bytes" ] || fail "cairn status --json does not say metadata_bytes; see $log"
  echo $((bytes / (FILES + LINKS)))
}

for tool in cairn daos dmg; do
  command -v "$tool" >/dev/null || fail "$tool is not on the PATH; run ./dev demo, which builds it"
done

step "cut a tree from $SOURCE"
cut_tree
check_space
FILES="$(find "$TREE" -type f | wc -l)"
LINKS="$(find "$TREE" -type l | wc -l)"
DIRS="$(find "$TREE" -mindepth 1 -type d | wc -l)"
BYTES="$(find "$TREE" -type f -printf '%s\n' | awk '{ s += $1 } END { printf "%d", s }')"
echo "demo: $FILES files, $LINKS links, $DIRS directories, $((BYTES / 1048576)) MiB"

step "create a home, a pool and a POSIX container"
run pool dmg pool create --size 2G demo
run cont daos cont create demo docs --type POSIX

step "copy in"
STARTED="$(now_ms)"
copy in "$TREE" daos://demo/docs/share
IN_MS="$(elapsed_ms "$STARTED")"

step "list"
run ls daos fs ls daos://demo/docs/share
for name in "$TREE"/*; do
  grep -qF -- "$(basename "$name")" "$(log_name ls)" ||
    fail "daos fs ls does not show $(basename "$name"); see $(log_name ls)"
done

step "copy back and compare every byte, mode, mtime and link"
STARTED="$(now_ms)"
copy out daos://demo/docs/share "$WORK/back"
OUT_MS="$(elapsed_ms "$STARTED")"
compare first "$TREE" "$WORK/back"
rm -rf "$WORK/back"

step "measure the metadata"
run down cairn down
run status cairn status --json
METADATA="$(metadata_bytes_per_file)"

step "kill a second copy halfway"
KILLED=/second
if ! kill_copy "daos://demo/docs$KILLED" $(((FILES + LINKS) / 2)); then
  echo "demo: it was done before it could be killed; once more, earlier"
  KILLED=/third
  kill_copy "daos://demo/docs$KILLED" $(((FILES + LINKS) / 10 + 1)) ||
    fail "that was done before, too; use a larger tree (CAIRN_DEMO_SOURCE)"
fi
REPORTED="$(wc -l <"$WORK/reported")"
echo "demo: killed when $REPORTED of $((FILES + LINKS)) files had been reported as written"

step "reopen after the kill"
STARTED="$(now_ms)"
run reopen daos cont query demo docs
REOPEN_MS="$(elapsed_ms "$STARTED")"
run down cairn down
STARTED="$(now_ms)"
run query daos cont query demo docs
CLEAN_OPEN_MS="$(elapsed_ms "$STARTED")"

step "check that every reported file is there whole"
copy killed "daos://demo/docs$KILLED" "$WORK/killed"
check_reported "$WORK/killed"
rm -rf "$WORK/killed"

step "check that the first copy is still whole"
copy again daos://demo/docs/share "$WORK/back"
compare again "$TREE" "$WORK/back"
rm -rf "$WORK/back"

step "copy once more while the server is killed again and again"
copy_and_kill_server daos://demo/docs/restarted 3
copy restarted daos://demo/docs/restarted "$WORK/back"
compare restarted "$TREE" "$WORK/back"
rm -rf "$WORK/back"

step "check the store offline"
run check cairn check

printf '\n%-34s %12s %12s\n' "" "files/s" "MiB/s"
printf '%-34s %12s %12s\n' "copy in" "$(per_second $((FILES + LINKS)) "$IN_MS")" \
  "$(mib_per_second "$BYTES" "$IN_MS")"
printf '%-34s %12s %12s\n' "copy out" "$(per_second $((FILES + LINKS)) "$OUT_MS")" \
  "$(mib_per_second "$BYTES" "$OUT_MS")"
printf '%-34s %12s  (with the data of files below 4 KiB)\n' "metadata per file, bytes" "$METADATA"
printf '%-34s %12s\n' "reopen after the kill, ms" "$REOPEN_MS"
printf '%-34s %12s\n' "reopen after a clean close, ms" "$CLEAN_OPEN_MS"
printf '%-34s %12s\n\n' "reported and found whole, files" "$REPORTED"

#!/usr/bin/env bash
# Registers, spills and shared memory of every kernel as a Markdown table, one column per GPU generation:
#   scripts/ptxas-table.sh [90 …]        about 40 s of one core per generation; expected: "no spills"
set -euo pipefail
cd "$(dirname "$0")/../native/cuda"
[ $# -gt 0 ] || set -- 90
logs=$(mktemp -d)
trap 'rm -r "$logs"' EXIT
for generation in "$@"; do
  for file in *.cu; do
    nvcc --std=c++20 -gencode "arch=compute_$generation,code=sm_$generation" -Xptxas=-v -c "$file" -o /dev/null 2>&1 |
      sed "s/^/$generation ${file%.cu} /" >>"$logs/all"
  done
done
c++filt <"$logs/all" | awk -v generations="$*" '
  /Compiling entry function/ {
    split($0, part, "\047"); name = part[2]
    sub(/^void /, "", name); gsub(/hk::|\(anonymous namespace\)::/, "", name); sub(/\(.*/, "", name)
    row = $2 " | `" name "`"
    if (!(row in seen)) { seen[row] = 1; rows[++count] = row }
    kernel = 1
  }
  kernel && /bytes spill stores/ { stack = $3; spilled = $7 + $11; spills[row, $1] = spilled; total += spilled + stack }
  kernel && /Used [0-9]+ registers/ {
    match($0, /Used [0-9]+/); used = substr($0, RSTART + 5, RLENGTH - 5)
    shared = match($0, /[0-9]+ bytes smem/) ? substr($0, RSTART, RLENGTH - 11) : 0
    cell[row, $1] = used (shared > 0 ? " (" shared " B)" : "") (spills[row, $1] > 0 ? ", spills " spills[row, $1] " B" : "")
    kernel = 0
  }
  END {
    n = split(generations, generation, " ")
    line = "| file | kernel |"; rule = "| --- | --- |"
    for (g = 1; g <= n; ++g) { line = line " sm_" generation[g] " |"; rule = rule " --- |" }
    print line; print rule
    for (i = 1; i <= count; ++i) {
      line = "| " rows[i] " |"
      for (g = 1; g <= n; ++g) line = line " " cell[rows[i], generation[g]] " |"
      print line
    }
    print ""
    print "Registers per thread (static shared memory per block); " (total > 0 ? "SPILLS, see above." : "no spills, no local memory.")
  }'

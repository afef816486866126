#!/usr/bin/env bash
# Packs what a machine with a GPU, a CUDA toolkit, CMake and a compiler, but no Node, needs beside this checkout into .device/
# (git-ignored): Node itself and node_modules. 100 s the first time, 20 s after; expected: node.tar.xz of 22 MB, deps.tar.xz of 21 MB.
# There, in the root of the checkout (the addon is then built for the card of that machine):
#   tar -xJf .device/node.tar.xz -C .device && tar -xJf .device/deps.tar.xz && export PATH=$PWD/.device/node/bin:$PATH
#   node scripts/ensure.mjs && node scripts/test.mjs
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p .device
if [ ! -f .device/node.tar.xz ]; then
  folder=$(mktemp -d)
  mkdir -p "$folder/node/bin"
  cp "$(node -p process.execPath)" "$folder/node/bin/node"
  strip "$folder/node/bin/node"
  XZ_OPT='-T2 -6' tar -C "$folder" -cJf .device/node.tar.xz node
  rm -r "$folder"
fi
XZ_OPT='-T2 -6' tar --exclude=node_modules/@biomejs --exclude=node_modules/.cache --exclude='*.map' -cJf .device/deps.tar.xz node_modules
ls -l .device

#!/usr/bin/env node
// prebuildify calls this in place of node-gyp ("rebuild --target=… --arch=… --release"): builds with CMake, for every GPU generation
// where there is an nvcc, into build/Release, where prebuildify looks.
import { execFileSync } from 'node:child_process';

for (const step of ['clean', 'configure', 'build'])
  execFileSync('cmake-js', [step], { stdio: 'inherit', shell: process.platform === 'win32' });

// What a process asks of the kernel, by strace (Linux; a package of that name).
import { spawnSync } from 'node:child_process';

/** Whether processes can be watched here; where not, why not. */
export const straceObstacle: string | undefined = (() => {
  if (process.platform !== 'linux') return `there is no strace on ${process.platform}`;
  const { error, status, stderr } = spawnSync('strace', ['-f', '-qq', '-e', 'trace=execve', '-o', '/dev/null', 'true'], {
    encoding: 'utf8',
  });
  if (error) return 'strace is not installed';
  return status === 0 ? undefined : `strace may not watch processes (${stderr.trim().split('\n')[0]})`;
})();

/** Ctrl-C and SIGTERM end the process as a kill would: what was finished and the last checkpoints are on the disk. Says so. */
export function goOnLater(): void {
  for (const [signal, status] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)
    process.once(signal, () => {
      process.stderr.write('\ninterrupted: the same command goes on from the last checkpoint\n');
      process.exit(status);
    });
}

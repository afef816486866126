import { availableParallelism, cpus, release, totalmem } from 'node:os';
import { bytes } from '../data.ts';
import { type Command, defineCommand } from '../command.ts';
import { EXIT } from '../exit.ts';

export const doctor: Command = defineCommand({
  name: 'doctor',
  summary: 'Say what this machine can run, and check that it trains the same bits every time',
  options: {
    backend: { type: 'string', words: ['auto', 'cpu', 'cuda'], default: 'auto', description: 'what must be able to run' },
  },
  examples: ['doctor', 'doctor --backend cuda   # exit status 4 without a usable GPU'],
  async run({ output, version }, _args, { backend }) {
    const machine = {
      version,
      node: process.version,
      napi: process.versions.napi,
      platform: `${process.platform}-${process.arch}`,
      system: release(),
      cpu: cpus()[0]?.model.trim() ?? 'unknown',
      threads: availableParallelism(),
      memoryBytes: totalmem(),
    };
    output.line(`hyper-know ${version} · node ${machine.node} · N-API ${machine.napi} · ${machine.platform}`);
    output.line(`${machine.cpu} · ${machine.threads} threads · ${bytes(machine.memoryBytes)}`);
    const { backends, resolveBackend } = await import('../../native.ts');
    const known = backends();
    for (const { name, device, memoryBytes, reason } of known)
      output.line(
        reason === undefined ? `${name}: ${device} · ${bytes(memoryBytes)}` : `${name}: cannot run here: ${reason}`,
        reason ? 'yellow' : 'green',
      );
    const chosen = resolveBackend(backend);

    const [one, other] = [await trained(chosen, 1), await trained(chosen, machine.threads)];
    const deterministic = one === other;
    output.line(
      deterministic
        ? `${chosen} trains · the same bits with 1 and ${machine.threads} threads (sha-256 ${one.slice(0, 12)})`
        : `${chosen} trains, but not the same bits twice: ${one.slice(0, 12)} and ${other.slice(0, 12)}`,
      deterministic ? 'green' : 'red',
    );
    output.document('doctor/1', { ...machine, backends: known, backend: chosen, trains: true, deterministic, sha256: one });
    return deterministic ? EXIT.ok : EXIT.failure;
  },
});

/** Digest of a small model after two epochs. */
async function trained(backend: string, threads: number): Promise<string> {
  const [{ synthetic }, { train }, { createHash }] = await Promise.all([
    import('../../data/synthetic.ts'),
    import('../../train.ts'),
    import('node:crypto'),
  ]);
  const data = synthetic({ users: 200, items: 100, seed: 1 });
  const model = await train(data, {
    backend: backend as 'cpu' | 'cuda',
    threads,
    dim: 16,
    epochs: 2,
    batchSize: 512,
    seed: 1,
    evaluateEvery: 2,
  });
  const hash = createHash('sha256');
  for (const { buffer, byteOffset, byteLength } of [model.users, model.entities, model.relations, model.beta])
    hash.update(new Uint8Array(buffer, byteOffset, byteLength));
  return hash.digest('hex');
}

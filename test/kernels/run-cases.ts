// Runs cases of the table on one backend and prints a JSON array of { case, measurements } or { case, threw }.
//   node --import tsx test/kernels/run-cases.ts --backend cuda-on-host
// parity.test.ts starts it in a process of its own for the backend of the test build: one process loads one addon.
import { parseArgs } from 'node:util';
import { kernelCases } from './cases.ts';
import type { Measurement } from './measures.ts';

export interface CaseReport {
  case: string;
  measurements?: Measurement[];
  /** The message, where a case threw. */
  threw?: string;
}

const { values } = parseArgs({ options: { backend: { type: 'string', default: 'cpu' } } });
const { backend } = values;
const reports = kernelCases
  .filter(({ onHost }) => onHost || backend !== 'cuda-on-host')
  .map((one): CaseReport => {
    const name = `${one.kernel}: ${one.label}`;
    const inputs = one.inputs();
    try {
      return { case: name, measurements: one.measure(inputs, one.run(backend, inputs)) };
    } catch (error) {
      return { case: name, threw: String(error) };
    }
  });
// JSON has no NaN and no Infinity: they travel as text.
process.stdout.write(JSON.stringify(reports, (_, value) => (typeof value === 'number' && !Number.isFinite(value) ? String(value) : value)));

// Imports run one way: a file imports only files of groups above its own in these tables. `npm test` checks it; so does
//   node --import tsx scripts/check-layers.ts        (1 s; expected: "layers: N files, no violation")
import { readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, extname, join, normalize, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * From the bottom up. `*` stands for a file name or a part of one; a file that is named in full belongs where it is named, any other to
 * the first pattern that fits. Files of one group do not import each other, except a source file its own header.
 */
const nativeGroups: readonly (readonly string[])[] = [
  ['native/src/host_device.h'],
  ['native/src/error.h', 'native/src/ball.h', 'native/src/cpu/isa.h', 'native/src/cpu/isa.cc', 'native/src/cpu/parallel.h'],
  [
    'native/src/philox.h',
    'native/src/averaging.h',
    'native/src/cpu/average_numbers.h',
    'native/src/cpu/rows.h',
    'native/src/cpu/rows.cc',
    'native/src/cpu/vector_math.h',
  ],
  ['native/src/cpu/row_blocks.h', 'native/src/cpu/neighborhood_block.h'],
  ['native/src/kernels.h'],
  ['native/src/cpu/tame_head.h'],
  [
    'native/src/cpu/point_table.h',
    'native/src/cpu/adam_block.h',
    'native/src/cpu/tape.h',
    'native/src/cpu/neighborhood_forward.h',
    'native/src/cpu/neighborhood_backward.h',
  ],
  ['native/src/backend.h'],
  [
    'native/src/buffer.h',
    'native/src/timed_backend.h',
    'native/src/planning_backend.h',
    'native/src/backends.h',
    'native/src/cpu/cpu_backend.h',
    'native/src/cpu/cpu_backend.cc',
    'native/src/cpu/top_k_filter.h',
  ],
  ['native/src/cpu/*.cc'],
  ['native/cuda/host/machine.h', 'native/cuda/host/machine.cc'],
  ['native/cuda/cuda_check.h', 'native/cuda/host/cuda_runtime.h'],
  ['native/cuda/launch.h'],
  ['native/cuda/warp.cuh'],
  ['native/cuda/row_parts.cuh'],
  ['native/cuda/*.h', 'native/cuda/*.cuh'],
  ['native/cuda/*.cu'],
  ['native/src/backends.cc'],
  ['native/src/csr.h'],
  ['native/src/model.h', 'native/src/model.cc', 'native/src/step.h', 'native/src/step.cc', 'native/src/rank.h', 'native/src/rank.cc'],
  ['native/src/trainer.h', 'native/src/trainer.cc', 'native/src/calls.h', 'native/src/calls.cc'],
  ['native/cuda/host/faults.h', 'native/cuda/host/faults.cc'],
  ['native/cuda/host/*'],
  ['native/src/addon/arguments.h', 'native/src/addon/arguments.cc', 'native/src/addon/guard.h'],
  ['native/src/addon/job.h', 'native/src/addon/item_table.h', 'native/src/addon/item_table.cc'],
  ['native/src/addon/*_wrap.h', 'native/src/addon/*_wrap.cc'],
  ['native/src/addon/addon.cc'],
];

const libGroups: readonly (readonly string[])[] = [
  [
    'lib/adam.ts',
    'lib/errors.ts',
    'lib/metrics.ts',
    'lib/variants.ts',
    'lib/geometry.ts',
    'lib/schedule.ts',
    'lib/version.ts',
    'lib/files.ts',
    'lib/data/release.ts',
  ],
  ['lib/check.ts', 'lib/statistics.ts', 'lib/presets.ts', 'lib/whole-folder.ts'],
  ['lib/whole-file.ts'],
  [
    'lib/native.ts',
    'lib/safetensors.ts',
    'lib/data/best.ts',
    'lib/data/scores.ts',
    'lib/data/random.ts',
    'lib/data/steps.ts',
    'lib/data/packed.ts',
    'lib/data/published.ts',
  ],
  ['lib/kernels.ts', 'lib/data/csr.ts'],
  ['lib/data/digest.ts', 'lib/data/id-map.ts', 'lib/data/raw-dataset.ts', 'lib/data/nearest-rows.ts', 'lib/data/split.ts'],
  ['lib/data/shared-entities.ts', 'lib/data/item-similarity.ts'],
  ['lib/data/shared-users.ts'],
  ['lib/data/formats/file.ts'],
  ['lib/data/formats/*.ts'],
  ['lib/data/formats/index.ts'],
  ['lib/data/dataset.ts'],
  ['lib/data/diagnose.ts', 'lib/data/tables/rows.ts', 'lib/data/tables/ntriples.ts'],
  ['lib/data/tables/csv.ts', 'lib/data/tables/parquet-worker.ts'],
  ['lib/data/tables/parquet.ts'],
  ['lib/data/tables/table.ts'],
  ['lib/data/import/options.ts'],
  ['lib/data/import/interactions.ts'],
  ['lib/data/import/split.ts', 'lib/data/import/attributes.ts', 'lib/data/import/write.ts'],
  ['lib/data/import/import-tables.ts'],
  ['lib/import-tables.ts'],
  ['lib/data/synthetic.ts', 'lib/protocol.ts'],
  ['lib/embedding.ts'],
  ['lib/item-tables.ts'],
  ['lib/ranking.ts', 'lib/item-affinity.ts', 'lib/lorentz.ts', 'lib/neighborhood.ts', 'lib/artifact.ts', 'lib/diagnostics.ts'],
  ['lib/neighbor-blend.ts'],
  ['lib/recommend.ts', 'lib/explain.ts', 'lib/fold-in.ts', 'lib/fold-in-item.ts', 'lib/influence.ts'],
  ['lib/recommend-batch.ts', 'lib/similar.ts'],
  ['lib/model.ts'],
  ['lib/evaluate.ts', 'lib/blend-search.ts'],
  ['lib/controls.ts', 'lib/checkpoint.ts', 'lib/options.ts'],
  ['lib/trainer-config.ts', 'lib/warm-start.ts', 'lib/inner-products.ts', 'lib/divergence.ts'],
  ['lib/train.ts', 'lib/memory.ts', 'lib/symmetric-eigen.ts'],
  ['lib/linear-controls.ts', 'lib/bpr-mf.ts'],
  ['lib/export/encoding.ts', 'lib/export/folder.ts', 'lib/export/text.ts'],
  [
    'lib/report/runs.ts',
    'lib/report/data-key.ts',
    'lib/report/control-scorers.ts',
    'lib/report/judge.ts',
    'lib/report/comparison.ts',
    'lib/report/compared-metrics.ts',
    'lib/report/item-groups.ts',
    'lib/report/checks.ts',
    'lib/report/tables/quoted.ts',
  ],
  ['lib/report/rows.ts', 'lib/report/run-folder.ts'],
  ['lib/report/formats.ts', 'lib/report/run-data.ts'],
  ['lib/report/numbers.ts', 'lib/report/tables/table.ts'],
  ['lib/report/ablation.ts', 'lib/report/sweep.ts', 'lib/report/tables/paper-tables.ts'],
  ['lib/report/verify-run.ts', 'lib/report/verify-documents.ts'],
  ['lib/export/certificate.ts', 'lib/export/target.ts'],
  ['lib/export/*.ts', 'lib/report/*.ts'],
  ['lib/export/index.ts'],
  ['lib/export-model.ts'],
  ['lib/index.ts'],
  ['lib/cli/escape.ts', 'lib/cli/exit.ts'],
  ['lib/cli/output.ts'],
  ['lib/cli/command.ts', 'lib/cli/progress.ts'],
  ['lib/cli/*.ts'],
  ['lib/cli/config.ts', 'lib/cli/commands/*.ts'],
  ['lib/cli/commands/index.ts'],
  ['lib/cli/program.ts'],
  ['lib/cli/main.ts'],
];

/** Imports by their written form that are allowed in one place only, and those of lib/ that are allowed at all. */
const confined: readonly { what: string; pattern: RegExp; only: RegExp }[] = [
  { what: 'Node-API', pattern: /^(napi|node_api|js_native_api|node|v8|uv)\.h$/, only: /^native\/src\/addon\// },
  {
    what: 'CUDA',
    pattern:
      /^(cuda\w*|device_\w+|vector_types|mma|cooperative_groups|nvtx3?\w*|nv\w*)\.(h|hpp)$|^(cub|thrust|cuda|cooperative_groups|nvtx3|crt)\//,
    only: /^native\/cuda\//,
  },
  ...[
    { name: 'commander', only: /^lib\/cli\/program\.ts$/ },
    { name: 'zod', only: /^lib\/cli\/config\.ts$/ },
    { name: 'csv-parse', only: /^lib\/data\/tables\/csv\.ts$/ },
    { name: 'hyparquet', only: /^lib\/data\/tables\/parquet-worker\.ts$|^lib\/export\/parquet\.ts$/ },
    { name: 'hyparquet-writer', only: /^lib\/export\/parquet\.ts$/ },
  ].map(({ name, only }) => ({ what: 'a package', pattern: new RegExp(`^${name}(/|$)`), only })),
  { what: 'a package', pattern: /^(?!node:|\.|(commander|zod|csv-parse|hyparquet|hyparquet-writer)(\/|$))[\w@]/, only: /^native\// },
];

interface Import {
  line: number;
  target: string;
  relative: boolean;
}

const isMatch = (pattern: string, file: string): boolean =>
  new RegExp(`^${pattern.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', '[^/]*')}$`).test(file);

function groupOf(groups: readonly (readonly string[])[], file: string): number {
  const named = groups.findIndex((patterns) => patterns.includes(file));
  return named >= 0 ? named : groups.findIndex((patterns) => patterns.some((pattern) => isMatch(pattern, file)));
}

/** Comments blanked out, lines kept. */
const withoutComments = (text: string): string =>
  text.replace(/\/\*[\s\S]*?\*\//g, (comment) => comment.replace(/[^\n]/g, ' ')).replace(/(^|\s)\/\/.*$/gm, '$1');

function importsOf(file: string, source: string): Import[] {
  const text = withoutComments(source);
  const pattern = file.startsWith('native/')
    ? /^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]/gm
    : /(?:\bfrom|\bimport)\s*\(?\s*(['"])([^'"]+)\1/g;
  return [...text.matchAll(pattern)].map((match) => {
    const [, quote, target] = match as unknown as [string, string, string];
    const line = text.slice(0, match.index + match[0].length).split('\n').length;
    return { line, target, relative: file.startsWith('native/') ? quote === '"' : target.startsWith('.') };
  });
}

/** `file:line: what is wrong` for every import that goes the wrong way, and for every file that the tables do not place. */
export function checkLayers(root: string): { files: number; violations: string[] } {
  const violations: string[] = [];
  let files = 0;
  for (const [top, groups] of [
    ['native', nativeGroups],
    ['lib', libGroups],
  ] as const) {
    const names = readdirSync(join(root, top), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && ['.h', '.cc', '.cu', '.cuh', '.ts'].includes(extname(entry.name)))
      .map((entry) => relative(root, join(entry.parentPath, entry.name)).split(sep).join('/'))
      .sort();
    const known = new Set(names);
    files += names.length;
    for (const file of names) {
      const own = groupOf(groups, file);
      if (own < 0) violations.push(`${file}:1: has no place in the tables of scripts/check-layers.ts`);
      for (const { line, target, relative: isRelative } of importsOf(file, readFileSync(join(root, file), 'utf8'))) {
        for (const { what, pattern, only } of confined)
          if (pattern.test(target) && !only.test(file) && !(isRelative && what === 'a package'))
            violations.push(`${file}:${line}: imports ${what} (${target})`);
        if (!isRelative) continue;
        const imported = normalize(join(dirname(file), target))
          .split(sep)
          .join('/');
        if (!known.has(imported)) {
          // The shim stands in for the toolkit's own headers, which are not files of ours.
          if (!file.startsWith('native/cuda/')) violations.push(`${file}:${line}: imports ${target}, which is no file of ${top}/`);
          continue;
        }
        const stem = (name: string): string => basename(name, extname(name));
        const isOwnHeader = dirname(imported) === dirname(file) && stem(imported) === stem(file) && extname(imported) === '.h';
        const other = groupOf(groups, imported);
        if (own >= 0 && other >= own && !isOwnHeader)
          violations.push(`${file}:${line}: imports ${target} of ${other === own ? 'its own' : 'a higher'} layer`);
      }
    }
  }
  return { files, violations };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { files, violations } = checkLayers(fileURLToPath(new URL('..', import.meta.url)));
  for (const violation of violations) console.error(violation);
  console.log(`layers: ${files} files, ${violations.length || 'no'} violation${violations.length > 1 ? 's' : ''}`);
  process.exitCode = violations.length > 0 ? 1 : 0;
}

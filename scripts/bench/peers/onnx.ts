/** Writes the one ONNX model that the benchmark needs, so that it needs no package to make it: items · queriesᵀ, then the k largest. */

const varint = (value: number): number[] => (value < 128 ? [value] : [(value & 127) | 128, ...varint(Math.floor(value / 128))]);
const integerField = (field: number, value: number): number[] => [...varint(field * 8), ...varint(value)];
const bytesField = (field: number, bytes: readonly number[]): number[] => [...varint(field * 8 + 2), ...varint(bytes.length), ...bytes];
const textField = (field: number, text: string): number[] => bytesField(field, [...Buffer.from(text)]);

const FLOAT = 1;
const INT64 = 7;

/** ValueInfoProto: name and tensor type; a dimension is a size or a name for one that is free. */
function value(name: string, type: number, shape: readonly (number | string)[]): number[] {
  const dimensions = shape.flatMap((size) => bytesField(1, typeof size === 'number' ? integerField(1, size) : textField(2, size)));
  return [...textField(1, name), ...bytesField(2, bytesField(1, [...integerField(1, type), ...bytesField(2, dimensions)]))];
}

/** NodeProto. */
function node(operator: string, inputs: readonly string[], outputs: readonly string[]): number[] {
  return [...inputs.flatMap((name) => textField(1, name)), ...outputs.flatMap((name) => textField(2, name)), ...textField(4, operator)];
}

/**
 * A model (ModelProto, opset 13) with inputs `queries` [n, dim] and `items` [dim, count] and outputs `scores` and `ids` [n, k], the largest
 * scores of each query first.
 */
export function topKModel(dim: number, count: number, k: number): Uint8Array {
  const size = [...textField(8, 'k'), ...integerField(2, INT64), ...integerField(1, 1), ...integerField(7, k)];
  const graph = [
    ...bytesField(1, node('MatMul', ['queries', 'items'], ['products'])),
    ...bytesField(1, node('TopK', ['products', 'k'], ['scores', 'ids'])),
    ...textField(2, 'top-k'),
    ...bytesField(5, size),
    ...bytesField(11, value('queries', FLOAT, ['n', dim])),
    ...bytesField(11, value('items', FLOAT, [dim, count])),
    ...bytesField(12, value('scores', FLOAT, ['n', k])),
    ...bytesField(12, value('ids', INT64, ['n', k])),
  ];
  return Uint8Array.from([...integerField(1, 8), ...bytesField(7, graph), ...bytesField(8, [...textField(1, ''), ...integerField(2, 13)])]);
}

/** One row of the paper's ablation (Table 3): which parts of the method it has. */
export interface Variant {
  name: VariantName;
  /** As the paper writes it. */
  label: string;
  geometry: 'poincare' | 'euclidean';
  /** Whether L_K is part of the loss. */
  knowledge: boolean;
  /** Whether neighbours are weighed by Eq. 4; if not, all alike and relations are not used. */
  attention: boolean;
  /** Whether β is learned, one per item, by the bilevel step. */
  adaptive: boolean;
}

/** Rows of the paper's Table 3. */
export type VariantName = 'bpr-e' | 'bpr-h' | 'bpr-att-e' | 'bpr-att-h' | 'bpr-avg-h' | 'hyper-know';

/** Table 3, in its order. */
export const VARIANTS: readonly Readonly<Variant>[] = [
  { name: 'bpr-e', label: '(1) BPR+E', geometry: 'euclidean', knowledge: false, attention: false, adaptive: false },
  { name: 'bpr-h', label: '(2) BPR+H', geometry: 'poincare', knowledge: false, attention: false, adaptive: false },
  { name: 'bpr-att-e', label: '(3) BPR+Att+E', geometry: 'euclidean', knowledge: true, attention: true, adaptive: false },
  { name: 'bpr-att-h', label: '(4) BPR+Att+H', geometry: 'poincare', knowledge: true, attention: true, adaptive: false },
  { name: 'bpr-avg-h', label: '(5) BPR+Avg+H', geometry: 'poincare', knowledge: true, attention: false, adaptive: false },
  { name: 'hyper-know', label: '(6) Hyper-Know', geometry: 'poincare', knowledge: true, attention: true, adaptive: true },
];

/** Uniform random integers and numbers (xoshiro128**), integer arithmetic only: the same on every platform. */
export class Random {
  private a: number;
  private b: number;
  private c: number;
  private d: number;

  /**
   * @param seed integer in [0, 2^53)
   * @param stream separates the uses of one seed, so that one more draw in one place changes no other place
   */
  constructor(seed: number, stream: number) {
    // The state is filled by splitmix32, whose four consecutive outputs are distinct, hence never all zero.
    let state = mix(mix(seed >>> 0) ^ Math.floor(seed / 4294967296)) ^ mix(stream ^ 0x5851f42d);
    const fill = () => {
      state = (state + 0x9e3779b9) >>> 0;
      return mix(state);
    };
    this.a = fill();
    this.b = fill();
    this.c = fill();
    this.d = fill();
  }

  /** A uniform integer in [0, 2^32). */
  bits(): number {
    const result = Math.imul(rotate(Math.imul(this.b, 5), 7), 9) >>> 0;
    const shifted = this.b << 9;
    this.c ^= this.a;
    this.d ^= this.b;
    this.b ^= this.c;
    this.a ^= this.d;
    this.c ^= shifted;
    this.d = rotate(this.d, 11);
    return result;
  }

  /** A uniform integer in [0, bound), for bound from 1 to 2^32, without bias. */
  below(bound: number): number {
    const limit = 4294967296 - (4294967296 % bound);
    for (;;) {
      const bits = this.bits();
      if (bits < limit) return bits % bound;
    }
  }

  /** A uniform number in [0, 1), a multiple of 2^-53. */
  uniform(): number {
    const high = this.bits() >>> 5;
    return (high * 67108864 + (this.bits() >>> 6)) / 9007199254740992;
  }

  /** 0 .. count − 1 in random order. */
  permutation(count: number): Uint32Array {
    const order = new Uint32Array(count);
    for (let i = 0; i < count; ++i) {
      const j = this.below(i + 1);
      order[i] = order[j]!;
      order[j] = i;
    }
    return order;
  }
}

function rotate(x: number, by: number): number {
  return (x << by) | (x >>> (32 - by));
}

function mix(x: number): number {
  let z = x ^ (x >>> 16);
  z = Math.imul(z, 0x21f0aaad);
  z ^= z >>> 15;
  z = Math.imul(z, 0x735a2d97);
  return (z ^ (z >>> 15)) >>> 0;
}

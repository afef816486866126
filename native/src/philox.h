#pragma once
// Counter-based random numbers: the same integers on every backend, for any thread count, from any step.
// Philox4x32-10 (Salmon et al., SC 2011).
#include <cstdint>

#include "ball.h"

namespace hk {

struct Philox4 {
  uint32_t word[4];
};

HK_HOST_DEVICE inline Philox4 philox(uint64_t key, uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3) {
  uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53u} * c0, p1 = uint64_t{0xCD9E8D57u} * c2;
    c0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
    c1 = static_cast<uint32_t>(p1);
    c2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c3 = static_cast<uint32_t>(p0);
    k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

// What a stream is for: the last counter word, so that no two uses share a number.
enum Stream : uint32_t { kStreamNegatives = 1, kStreamShuffle = 2, kStreamInit = 3, kStreamShared = 4 };

// Uniform in [0, n) from one word, by multiply-high (bias below n/2³²).
HK_HOST_DEVICE inline uint32_t below(uint32_t word, uint32_t n) { return static_cast<uint32_t>((uint64_t{word} * n) >> 32); }

// A keyed permutation of [0, n): a Feistel network on the cells of a table of rows × columns that hardly has more than n, walked until it
// falls below n ≤ 2³¹. Any index in constant expected time, so an epoch is shuffled without a sort and without memory.
struct Shuffle {
  uint32_t n, rows, columns;
  uint32_t key[6];
};
inline Shuffle shuffle_of(uint32_t n) {  // without keys
  Shuffle s{n, 1, 1, {}};
  while (uint64_t{s.rows} * s.rows < n) ++s.rows;
  if (n > 0) s.columns = (n - 1) / s.rows + 1;
  return s;
}
HK_HOST_DEVICE inline Shuffle with_keys(Shuffle s, uint64_t seed, uint32_t epoch, Stream stream = kStreamShuffle, uint32_t number = 0) {
  const Philox4 a = philox(seed, 0, number, epoch, stream), b = philox(seed, 1, number, epoch, stream);
  for (int i = 0; i < 4; ++i) s.key[i] = a.word[i];
  s.key[4] = b.word[0], s.key[5] = b.word[1];
  return s;
}
HK_HOST_DEVICE inline uint32_t shuffled(const Shuffle& s, uint32_t index) {
  uint32_t x = index;
  do {
    uint32_t row = x / s.columns, column = x % s.columns;
    for (int round = 0; round < 6; ++round) {
      const bool of_row = round % 2 == 0;
      uint32_t h = ((of_row ? column : row) + s.key[round]) * 0x9E3779B1u;
      h ^= h >> 15, h *= 0x85EBCA77u, h ^= h >> 13, h *= 0xC2B2AE3Du, h ^= h >> 16;
      uint32_t& moved = of_row ? row : column;
      const uint32_t size = of_row ? s.rows : s.columns;
      moved += below(h, size);
      if (moved >= size) moved -= size;
    }
    x = row * s.columns + column;
  } while (x >= s.n);
  return x;
}

// The r-th of the items 0, 1, 2 … that is not in the ascending list `seen`: an exact uniform negative without rejection.
HK_HOST_DEVICE inline uint32_t nth_unseen(const uint32_t* seen, uint32_t count, uint32_t r) {
  uint32_t low = 0, high = count;  // how many seen items come before the answer
  while (low < high) {
    const uint32_t middle = (low + high) / 2;
    if (seen[middle] - middle <= r) low = middle + 1;
    else high = middle;
  }
  return r + low;
}

}  // namespace hk

// group_rows on the CPU: a bitmap gives the distinct keys in order, a counting sort the stable order within each. One thread a list:
// some 10,000 keys a batch, far below the cost of the gradients.
#include <algorithm>
#include <bit>
#include <cstring>

#include "cpu_backend.h"

namespace hk {
namespace {

void group(const RowGroups& a) {
  for (uint32_t i = 0; i < *a.unique_count; ++i) a.slot[a.unique[i]] = kNone;

  uint32_t* bitmap = a.workspace;
  const uint32_t words = (a.rows + 31) / 32;
  std::fill_n(bitmap, words, 0u);
  for (uint32_t i = 0; i < a.key_count; ++i)
    if (a.keys[i] != kNone) bitmap[a.keys[i] / 32] |= 1u << (a.keys[i] % 32);
  if (a.marks) {
    uint32_t row = 0;
    for (; row + 8 <= a.rows; row += 8) {
      uint64_t eight;
      std::memcpy(&eight, a.marks + row, 8);
      if (eight == 0) continue;
      for (uint32_t k = 0; k < 8; ++k)
        if (a.marks[row + k]) bitmap[(row + k) / 32] |= 1u << ((row + k) % 32);
    }
    for (; row < a.rows; ++row)
      if (a.marks[row]) bitmap[row / 32] |= 1u << (row % 32);
    std::memset(a.marks, 0, a.rows);
  }

  uint32_t unique = 0;
  for (uint32_t w = 0; w < words; ++w)
    for (uint32_t bits = bitmap[w]; bits != 0; bits &= bits - 1) {
      const uint32_t row = w * 32 + static_cast<uint32_t>(std::countr_zero(bits));
      a.slot[row] = unique, a.unique[unique++] = row;
    }
  *a.unique_count = unique;

  std::fill_n(a.offsets, unique + 1, 0u);
  for (uint32_t i = 0; i < a.key_count; ++i)
    if (a.keys[i] != kNone) ++a.offsets[a.slot[a.keys[i]] + 1];
  for (uint32_t u = 0; u < unique; ++u) a.offsets[u + 1] += a.offsets[u];
  for (uint32_t i = 0; i < a.key_count; ++i)  // offsets[u] runs to the start of u + 1 …
    if (a.keys[i] != kNone) a.order[a.offsets[a.slot[a.keys[i]]]++] = i;
  for (uint32_t u = unique; u > 0; --u) a.offsets[u] = a.offsets[u - 1];  // … and is moved back
  a.offsets[0] = 0;
}

}  // namespace

void CpuBackend::group_rows(const GroupRows& a) {
  pool_.run(a.count, 1, [&](uint64_t begin, uint64_t end, int) {
    for (uint64_t i = begin; i < end; ++i) group(a.lists[i]);
  });
}

}  // namespace hk

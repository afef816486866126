// shared_negatives on the CPU: samples over threads. Each walks what its user has in training and asks of every item which negative it is.
#include <algorithm>
#include <vector>

#include "../philox.h"
#include "cpu_backend.h"

namespace hk {

void CpuBackend::shared_negatives(const SharedNegatives& a) {
  thread_local std::vector<uint32_t> places;  // item → which negative it is, or kNone; kNone throughout between calls
  if (places.size() < a.items) places.resize(a.items, kNone);
  const uint32_t first = a.state->first + a.ahead * a.count;
  const Shuffle shuffle = with_keys(shuffle_of(a.items), a.seed, a.state->epoch, kStreamShared, first);
  uint32_t* negatives = a.item_keys + a.count;
  for (uint32_t j = 0; j < a.negatives; ++j) negatives[j] = shuffled(shuffle, j), places[negatives[j]] = j;

  const uint32_t words = a.pitch / 32;
  const uint32_t* place = places.data();
  pool_.run(a.count, 256, [&](uint64_t begin, uint64_t end, int) {
    for (uint64_t i = begin; i < end; ++i) {
      a.item_keys[i] = a.positives[i];
      uint32_t* left_out = a.left_out + i * words;
      const uint32_t user = a.users[i];
      std::fill_n(left_out, words, user == kNone ? ~0u : 0u);
      if (a.negatives % 32 != 0) left_out[words - 1] |= ~0u << (a.negatives % 32);
      if (user == kNone) continue;
      for (uint32_t t = a.train_offsets[user]; t < a.train_offsets[user + 1]; ++t)
        if (const uint32_t j = place[a.train_items[t]]; j != kNone) left_out[j / 32] |= 1u << (j % 32);
    }
  });
  for (uint32_t j = 0; j < a.negatives; ++j) places[negatives[j]] = kNone;
}

}  // namespace hk

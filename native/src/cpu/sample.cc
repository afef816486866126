// sample on the CPU: samples over threads; each is a function of (seed, epoch, its number) alone. Interactions are met in random
// order: those of a block are drawn, and asked for, before any is used.
#include <algorithm>

#include "../philox.h"
#include "cpu_backend.h"

namespace hk {

void CpuBackend::sample(const Sample& a) {
  const uint32_t epoch = a.state->epoch, first = a.state->first + a.ahead * a.count;
  const Shuffle shuffle = with_keys(shuffle_of(a.interactions), a.seed, epoch);
  const uint64_t present = std::min<uint64_t>(a.count, a.interactions - std::min(first, a.interactions));
  constexpr uint64_t kBlock = 64;
  for (uint64_t i = present; i < a.count; ++i) {
    a.users[i] = a.positives[i] = a.negatives[i] = kNone;
    if (a.item_keys) a.item_keys[2 * i] = a.item_keys[2 * i + 1] = kNone;
  }
  pool_.run(present, 1024, [&](uint64_t begin, uint64_t end, int) {
    uint32_t interactions[kBlock];
    for (uint64_t block = begin; block < end; block += kBlock) {
      const uint64_t block_end = std::min(block + kBlock, end);
      for (uint64_t i = block; i < block_end; ++i) {
        const uint32_t interaction = shuffled(shuffle, first + static_cast<uint32_t>(i));
        interactions[i - block] = interaction;
        __builtin_prefetch(a.interaction_users + interaction), __builtin_prefetch(a.train_items + interaction);
      }
      for (uint64_t i = block; i < block_end; ++i) {
        const uint32_t interaction = interactions[i - block], user = a.interaction_users[interaction];
        const uint32_t* seen = a.train_items + a.train_offsets[user];
        const uint32_t count = a.train_offsets[user + 1] - a.train_offsets[user];
        if (count >= a.items) {
          a.users[i] = a.positives[i] = a.negatives[i] = kNone;
        } else {
          const uint32_t word = philox(a.seed, first + static_cast<uint32_t>(i), 0, epoch, kStreamNegatives).word[0];
          a.users[i] = user, a.positives[i] = a.train_items[interaction];
          a.negatives[i] = nth_unseen(seen, count, below(word, a.items - count));
        }
        if (a.item_keys) a.item_keys[2 * i] = a.positives[i], a.item_keys[2 * i + 1] = a.negatives[i];
      }
    }
  });
}

}  // namespace hk

// sample on the CPU: samples over threads; each is a function of (seed, epoch, its number) alone.
#include "../philox.h"
#include "cpu_backend.h"

namespace hk {

void CpuBackend::sample(const Sample& a) {
  const Shuffle shuffle = make_shuffle(a.seed, a.epoch, a.interactions);
  pool_.run(a.count, 1024, [&](uint64_t begin, uint64_t end, int) {
    for (uint64_t i = begin; i < end; ++i) {
      const uint32_t number = a.first + static_cast<uint32_t>(i);
      const uint32_t interaction = shuffled(shuffle, number), user = a.interaction_users[interaction];
      const uint32_t* seen = a.train_items + a.train_offsets[user];
      const uint32_t count = a.train_offsets[user + 1] - a.train_offsets[user];
      if (count >= a.items) {
        a.users[i] = a.positives[i] = a.negatives[i] = kNone;
      } else {
        const uint32_t word = philox(a.seed, number, 0, a.epoch, kStreamNegatives).word[0];
        a.users[i] = user, a.positives[i] = a.train_items[interaction];
        a.negatives[i] = nth_unseen(seen, count, below(word, a.items - count));
      }
      if (a.item_keys) a.item_keys[2 * i] = a.positives[i], a.item_keys[2 * i + 1] = a.negatives[i];
    }
  });
}

}  // namespace hk

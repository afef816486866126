// sample on the GPU: one thread per sample; each is a function of (seed, epoch, its number) alone.
//   launch   blocks of 256, grid-stride
//   traffic  about 20 + 4·log₂(interactions of the user) scattered bytes read per sample, 12 to 20 written
//   sync     a block barrier for the keys of the epoch's shuffle
#include "../src/philox.h"
#include "cuda_backend.h"
#include "launch.h"

namespace hk {
namespace {

constexpr uint32_t kThreads = 256;

__global__ void sample_kernel(Sample a, Shuffle plain) {
  __shared__ Shuffle shared;
  const uint32_t epoch = a.state->epoch, start = a.state->first + a.ahead * a.count;
  if (threadIdx.x == 0) shared = with_keys(plain, a.seed, epoch);
  __syncthreads();
  const Shuffle shuffle = shared;
  for (uint32_t i = blockIdx.x * kThreads + threadIdx.x; i < a.count; i += gridDim.x * kThreads) {
    const uint32_t number = start + i;
    if (number >= a.interactions) {
      a.users[i] = a.positives[i] = a.negatives[i] = kNone;
      if (a.item_keys) a.item_keys[2 * size_t{i}] = a.item_keys[2 * size_t{i} + 1] = kNone;
      continue;
    }
    const uint32_t interaction = shuffled(shuffle, number), user = a.interaction_users[interaction];
    const uint32_t begin = a.train_offsets[user], count = a.train_offsets[user + 1] - begin;
    uint32_t positive = kNone, negative = kNone;
    if (count < a.items) {
      const uint32_t word = philox(a.seed, number, 0, epoch, kStreamNegatives).word[0];
      positive = a.train_items[interaction];
      negative = nth_unseen(a.train_items + begin, count, below(word, a.items - count));
    }
    a.users[i] = positive == kNone ? kNone : user;
    a.positives[i] = positive, a.negatives[i] = negative;
    if (a.item_keys) a.item_keys[2 * size_t{i}] = positive, a.item_keys[2 * size_t{i} + 1] = negative;
  }
}

}  // namespace

void CudaBackend::sample(const Sample& a) {
  launch("sample", sample_kernel, blocks_for(a.count, kThreads), kThreads, 0, stream_, a, shuffle_of(a.interactions));
}

}  // namespace hk

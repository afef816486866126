// shared_negatives on the GPU: one thread draws one negative, then one warp looks through them for each sample: a lane searches its user's list
// for one negative, and the lanes' answers are a word of the bits.
//   launch   blocks of 256, grid-stride; then blocks of (32, 4), grid-stride
//   traffic  S/32 words written per sample; 4·log₂(interactions of the user) bytes per negative, from the cache
//   sync     between the two by the stream; a warp takes and leaves a sample whole, so all 32 lanes reach the ballot
#include "../src/philox.h"
#include "cuda_backend.h"
#include "warp.cuh"

namespace hk {
namespace {

constexpr uint32_t kThreads = 256;

__global__ void draw_kernel(SharedNegatives a, Shuffle plain) {
  const uint32_t first = a.state->first + a.ahead * a.count;
  const Shuffle shuffle = with_keys(plain, a.seed, a.state->epoch, kStreamShared, first);
  for (uint32_t i = blockIdx.x * kThreads + threadIdx.x; i < a.count + a.negatives; i += gridDim.x * kThreads)
    a.item_keys[i] = i < a.count ? a.positives[i] : shuffled(shuffle, i - a.count);
}

__global__ void left_out_kernel(SharedNegatives a) {
  const uint32_t words = a.pitch / kWarp, lane = lane_id();
  for (uint32_t i = first_of_warp(); i < a.count; i += warps_of_grid()) {
    const uint32_t user = a.users[i];
    for (uint32_t word = 0; word < words; ++word) {
      const uint32_t j = word * kWarp + lane;
      bool left_out = user == kNone || j >= a.negatives;
      if (!left_out) {
        const uint32_t negative = a.item_keys[a.count + j];
        uint32_t low = a.train_offsets[user], high = a.train_offsets[user + 1];
        while (low < high) {
          const uint32_t middle = low + (high - low) / 2;
          if (a.train_items[middle] < negative)
            low = middle + 1;
          else
            high = middle;
        }
        left_out = low < a.train_offsets[user + 1] && a.train_items[low] == negative;
      }
      const uint32_t bits = __ballot_sync(kAllLanes, left_out);
      if (lane == 0) a.left_out[size_t{i} * words + word] = bits;
    }
  }
}

}  // namespace

void CudaBackend::shared_negatives(const SharedNegatives& a) {
  launch("shared_negatives: draw", draw_kernel, blocks_for(a.count + a.negatives, kThreads), kThreads, 0, stream_, a, shuffle_of(a.items));
  launch("shared_negatives: left out", left_out_kernel, blocks_for(a.count, kWarps), dim3(kWarp, kWarps), 0, stream_, a);
}

}  // namespace hk

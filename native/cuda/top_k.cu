// top_k on the GPU: a float32 matrix product bounds every key from below; only items whose bound beats the user's k-th best so far are
// scored exactly, in float64 from differences, and put into the user's heap. The answer is the set of the k smallest (key, id), whatever
// the order in which items come by: exact, and the same bits always.
//
// For a fixed user the order of d(u, v) is that of the key ‖u−v‖²/A_v = B‖u‖² + B‖v‖² − 2u·(Bv), B = 1/A_v. In float32 its error is
// below η(B‖u‖² + B‖v‖²) with η = (dim + 16)·2⁻²³ (twice the textbook bound of a dot product of dim terms), plus what underflows; so
// (1 − η)(B‖u‖² + B‖v‖²) − 2u·(Bv), less a little, never exceeds the true key. All that in the unit ball, coordinates times √c: in the
// caller's, squares of a large ball's points overflow.
//   launch   blocks of (32, 8), one per 64 users; each runs through all items, 64 at a time
//   shared   two tiles of 64 rows × 32 columns, one bit per user and item of the tile, thresholds: 18.25 KiB
//   traffic  all packed items once per 64 users, from the cache; heaps in global memory, touched about k·ln(items/k) times per user
//   sync     block barriers around the tiles; a user's heap belongs to one warp
#include <limits>

#include "../src/ball.h"
#include "cuda_backend.h"
#include "warp.cuh"

namespace hk {
namespace {

constexpr uint32_t kTile = 64, kDepth = 32, kThreads = 256, kBlockWarps = kThreads / kWarp;
constexpr uint32_t kPitch = kTile + 4;  // of a tile in shared memory: columns start in different banks, vectors stay aligned
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr size_t kMostHeapBytes = size_t{1} << 28;

struct PackedItems {
  float* rows;     // [items, dim] B·v
  float* on_user;  // [items] (1 − η)B
  float* fixed;    // [items] (1 − η)B‖v‖², less what may underflow
  double* gap;     // [items]
};

__device__ inline bool is_before(double key, uint32_t item, double other_key, uint32_t other) {
  return key < other_key || (key == other_key && item < other);
}

// The k best so far of one user: a heap with the worst on top. One lane at a time works on it.
struct Heap {
  double* keys;
  uint32_t* items;
  uint32_t size;

  __device__ void sift_down(double key, uint32_t item, uint32_t count) {
    uint32_t at = 0;
    for (uint32_t child = 1; child < count; child = 2 * at + 1) {
      if (child + 1 < count && is_before(keys[child], items[child], keys[child + 1], items[child + 1])) ++child;
      if (!is_before(key, item, keys[child], items[child])) break;
      keys[at] = keys[child], items[at] = items[child], at = child;
    }
    keys[at] = key, items[at] = item;
  }
  __device__ void push(double key, uint32_t item) {
    uint32_t at = size++;
    while (at > 0 && is_before(keys[(at - 1) / 2], items[(at - 1) / 2], key, item)) {
      keys[at] = keys[(at - 1) / 2], items[at] = items[(at - 1) / 2], at = (at - 1) / 2;
    }
    keys[at] = key, items[at] = item;
  }
  __device__ void sort() {  // ascending
    for (uint32_t last = size; last > 1; --last) {
      const double key = keys[last - 1];
      const uint32_t item = items[last - 1];
      keys[last - 1] = keys[0], items[last - 1] = items[0];
      sift_down(key, item, last - 1);
    }
  }
};

// Factor on coordinates that takes the ball to the unit ball.
__device__ inline double to_unit(const TopK& a) { return a.curvature > 0 ? std::sqrt(a.curvature) : 1.0; }

__global__ void pack_kernel(TopK a, PackedItems packed) {
  const double keep = 1.0 - (a.dim + 16) * 0x1p-23, unit = to_unit(a);
  for (uint32_t item = first_of_warp(); item < a.item_count; item += warps_of_grid()) {
    const float* v = a.items + size_t{item} * a.dim;
    const double sqnorm = row_dot(v, v, AnyDim(a.dim)), gap = 1.0 - a.curvature * sqnorm, b = 1.0 / gap;
    row_scale(packed.rows + size_t{item} * a.dim, b * unit, v, AnyDim(a.dim));
    if (lane_id() != 0) continue;
    packed.gap[item] = gap, packed.on_user[item] = static_cast<float>(keep * b);
    packed.fixed[item] = static_cast<float>(keep * b * (unit * unit * sqnorm) - (a.dim + 16) * 0x1p-126);
  }
}

// `factor` times 64 rows of a matrix, columns [first, first + 32), into shared memory column by column; what is missing is 0.
__device__ void load_tile(float* tile, const float* rows, double factor, uint32_t row, uint32_t row_count, uint32_t first, uint32_t dim) {
  for (uint32_t r = threadIdx.y; r < kTile; r += kBlockWarps) {
    const uint32_t k = first + lane_id();
    tile[lane_id() * kPitch + r] = row + r < row_count && k < dim ? static_cast<float>(factor * rows[size_t{row + r} * dim + k]) : 0.0f;
  }
}

__device__ bool is_excluded(const TopK& a, uint32_t user, uint32_t item) {
  if (!a.exclude_offsets) return false;
  uint32_t low = a.exclude_offsets[user], high = a.exclude_offsets[user + 1];
  while (low < high) {
    const uint32_t middle = low + (high - low) / 2, other = a.exclude_items[middle];
    if (other == item) return true;
    if (other < item)
      low = middle + 1;
    else
      high = middle;
  }
  return false;
}

// heap_keys: [users of this launch, k], from user `first_user` on; the items of the heaps stand in out_items.
__global__ void __launch_bounds__(kThreads, 4)
    top_k_kernel(TopK a, PackedItems packed, uint32_t first_user, uint32_t end_user, double* heap_keys) {
  __shared__ float user_tile[kDepth * kPitch], item_tile[kDepth * kPitch];
  __shared__ uint32_t hits[kTile][kTile / 32];
  __shared__ float threshold[kTile], user_sqnorm[kTile];  // threshold: not below the k-th best key
  __shared__ uint32_t heap_size[kTile];
  const uint32_t lane = lane_id(), warp = threadIdx.y, thread = warp * kWarp + lane;
  const double unit = to_unit(a);
  const uint32_t row = thread / 16 * 4, column = thread % 16 * 4;  // of this thread's 4 × 4 scores
  const uint32_t first = first_user + blockIdx.x * kTile;

  for (uint32_t u = warp; u < kTile; u += kBlockWarps) {
    const float* user = a.users + size_t{first + u < end_user ? first + u : first} * a.dim;
    const double sqnorm = row_dot(user, user, AnyDim(a.dim));
    if (lane == 0) {
      user_sqnorm[u] = static_cast<float>(unit * unit * sqnorm), heap_size[u] = 0;
      threshold[u] = first + u < end_user ? kInfinity : -kInfinity;
    }
  }

  for (uint32_t base = 0; base < a.item_count; base += kTile) {
    float score[4][4] = {};
    for (uint32_t k = 0; k < a.dim; k += kDepth) {
      __syncthreads();
      load_tile(user_tile, a.users, unit, first, end_user, k, a.dim);
      load_tile(item_tile, packed.rows, 1.0, base, a.item_count, k, a.dim);
      if (thread < kTile * (kTile / 32)) hits[thread / (kTile / 32)][thread % (kTile / 32)] = 0;
      __syncthreads();
      for (uint32_t j = 0; j < kDepth; ++j) {
        float u[4], v[4];
        for (uint32_t x = 0; x < 4; ++x) u[x] = user_tile[j * kPitch + row + x], v[x] = item_tile[j * kPitch + column + x];
        for (uint32_t x = 0; x < 4; ++x)
          for (uint32_t y = 0; y < 4; ++y) score[x][y] = __fmaf_rn(u[x], v[y], score[x][y]);
      }
    }
    for (uint32_t y = 0; y < 4; ++y) {
      const uint32_t item = base + column + y;
      if (item >= a.item_count) break;
      const float on_user = packed.on_user[item], fixed = packed.fixed[item];
      for (uint32_t x = 0; x < 4; ++x)
        if (on_user * user_sqnorm[row + x] + fixed - 2.0f * score[x][y] <= threshold[row + x])
          atomicOr(&hits[row + x][(column + y) / 32], 1u << ((column + y) % 32));
    }
    __syncthreads();

    // A warp takes every eighth user: all 32 lanes see its bits.
    for (uint32_t u = warp; u < kTile; u += kBlockWarps) {
      const uint32_t user = first + u;
      for (uint32_t word = 0; word < kTile / 32; ++word)
        for (uint32_t bits = hits[u][word]; bits != 0; bits &= bits - 1) {
          const uint32_t item = base + word * 32 + static_cast<uint32_t>(__ffs(bits)) - 1;
          if (is_excluded(a, user, item)) continue;
          const double key = row_sqdist(a.users + size_t{user} * a.dim, a.items + size_t{item} * a.dim, AnyDim(a.dim)) / packed.gap[item];
          if (lane != 0) continue;
          Heap heap{heap_keys + size_t{user - first_user} * a.k, a.out_items + size_t{user} * a.k, heap_size[u]};
          if (heap.size < a.k)
            heap.push(key, item), heap_size[u] = heap.size;
          else if (is_before(key, item, heap.keys[0], heap.items[0]))
            heap.sift_down(key, item, a.k);
          if (heap.size == a.k) threshold[u] = __double2float_ru(unit * unit * heap.keys[0]);
        }
    }
  }
  __syncthreads();

  for (uint32_t u = thread; u < kTile; u += kThreads) {
    if (first + u >= end_user) break;
    Heap heap{heap_keys + size_t{first + u - first_user} * a.k, a.out_items + size_t{first + u} * a.k, heap_size[u]};
    heap.sort();
    for (uint32_t rank = heap.size; rank < a.k; ++rank) heap.items[rank] = kNone;
  }
  __syncthreads();

  for (uint32_t u = warp; u < kTile; u += kBlockWarps) {
    const uint32_t user = first + u;
    if (user >= end_user) break;
    const float* x = a.users + size_t{user} * a.dim;
    const double u_gap = 1.0 - a.curvature * row_dot(x, x, AnyDim(a.dim));
    for (uint32_t rank = lane; rank < a.k; rank += kWarp) {
      double distance = kInfinity;
      if (rank < heap_size[u]) {
        const double gap = packed.gap[a.out_items[size_t{user} * a.k + rank]];
        distance = a.scale * poincare_distance(heap_keys[size_t{user - first_user} * a.k + rank] * gap, u_gap, gap, a.curvature);
      }
      a.out_distances[size_t{user} * a.k + rank] = static_cast<float>(distance);
    }
  }
}

// Scratch of one call; freed when its kernels have finished.
class Scratch {
 public:
  Scratch(Backend& backend, size_t bytes) : backend_(backend), memory_(backend.allocate(bytes)) {}
  ~Scratch() { backend_.release(memory_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  template <class T>
  T* at(size_t offset = 0) const {
    return reinterpret_cast<T*>(static_cast<char*>(memory_) + offset);
  }

 private:
  Backend& backend_;
  void* memory_;
};

}  // namespace

void CudaBackend::top_k(const TopK& a) {
  if (a.user_count == 0 || a.k == 0) return;
  const size_t items = a.item_count;
  const Scratch scratch(*this, items * (sizeof(double) + (2 + size_t{a.dim}) * sizeof(float)));
  double* gap = scratch.at<double>();
  float* on_user = scratch.at<float>(items * sizeof(double));
  const PackedItems packed{on_user + 2 * items, on_user, on_user + items, gap};
  launch("top_k: pack", pack_kernel, blocks_for(items, kWarps), dim3(kWarp, kWarps), 0, stream_, a, packed);

  // As many users at a time as have heaps in bounded memory.
  const size_t heap_bytes = size_t{a.k} * sizeof(double), fitting = kMostHeapBytes / heap_bytes / kTile * kTile;
  const uint32_t users = static_cast<uint32_t>(fitting < kTile ? kTile : fitting < a.user_count ? fitting : a.user_count);
  const Scratch heaps(*this, users * heap_bytes);
  for (uint32_t first = 0; first < a.user_count; first += users) {
    const uint32_t end = a.user_count - first < users ? a.user_count : first + users;
    launch("top_k", top_k_kernel, (end - first + kTile - 1) / kTile, dim3(kWarp, kBlockWarps), 0, stream_, a, packed, first, end,
           heaps.at<double>());
  }
}

}  // namespace hk

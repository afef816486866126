// top_k on the GPU: a float32 matrix product bounds every key from below; only items whose bound beats the user's k-th best so far are
// scored exactly, in float64 from differences, and put into the user's list. The answer is the set of the k smallest (key, id), whatever
// the order in which items come by: exact, and the same bits always.
//
// For a fixed user the order of d(u, v) is that of the key ‖u−v‖²/A_v = s − 2u·(Bv), s = B‖u‖² + B‖v‖², B = 1/A_v. The sum
// u·(Bv) − ½(1 − η)s, started with its last term, has dim roundings of numbers that never exceed s, and a few more in what it is made of:
// together less than (dim + 16)·2⁻²⁴·s, which is ½ηs for η = (dim + 16)·2⁻²³. So the sum, with a little for what underflows, is never
// below −½ of the true key; it is compared with −½ of the k-th best. All that in the unit ball, coordinates times √c: in the caller's,
// squares of a large ball's points overflow.
//
// The pairs of tiles, 128 users × 128 items each, stand in one row, user tile by user tile, and every block that the card holds at a time
// takes an equal run of them: no last wave, and a single user is ranked by the whole card. A user's items may so fall to several blocks;
// merge_kernel joins their lists.
//   launch   blocks of (32, 8), as many as are resident; a warp owns 16 users and all 128 items of the tile, a thread 8 × 8 scores
//   shared   16 columns of the item tile, twice (16 KiB); the user tile (512 bytes a column) and the lists (12·k bytes a user) where
//            that costs no resident block, else 16 columns of it, twice, and lists in global memory; 6 KiB for the rest
//   traffic  a column costs a lane 64 multiply-adds and 4 vector loads, and the four schedulers of a multiprocessor 64 cycles and 32
//            passes of shared memory; 16 columns of 128 items come from the cache in 8 KiB per block
//   hits     per user, where items come in no order, about k·(1 + ln(items/k)) and as many again for limits that lag: one queue of 32
//            per warp, which are scored 4 at a time, with their rows on their way together
//   sync     one block barrier per 16 columns, whose successors are copied meanwhile; a user's list, limit and hits belong to one warp
#include <limits>

#include "../src/ball.h"
#include "cuda_backend.h"
#include "warp.cuh"

namespace hk {
namespace {

constexpr uint32_t kTile = 128, kColumns = 16, kBlockWarps = 8, kThreads = kBlockWarps * kWarp;
constexpr uint32_t kOwn = kTile / kBlockWarps;  // users of a warp
constexpr uint32_t kStage = kColumns * kTile;   // numbers of a tile that are copied at a time
constexpr uint32_t kGroup = 8;                  // lanes that score a hit
constexpr uint32_t kPause = 4;                  // tiles after which every warp takes its hits, so that all wait for memory together
constexpr float kInfinity = std::numeric_limits<float>::infinity(), kNever = std::numeric_limits<float>::quiet_NaN();
constexpr size_t kMostScratch = size_t{1} << 29;

// A table as tiles of 128 rows, column by column. Rows and columns that are missing are 0.
struct Tiles {
  float* columns;  // [tiles, depth, kTile] users √c·u, items √c·Bv
  float* sides;    // [tiles, 2, kTile] users c‖u‖² and the first limit, items −½(1 − η)B and −½(1 − η)B‖v‖²; what has NaN never hits
  double* gap;     // [rows]
};

// The pairs of tiles, in as many equal runs as there are blocks.
struct Runs {
  uint32_t pairs, blocks;
  HK_HOST_DEVICE uint32_t begin(uint32_t block) const { return static_cast<uint32_t>(uint64_t{pairs} * block / blocks); }
  HK_HOST_DEVICE uint32_t block_of(uint32_t pair) const { return static_cast<uint32_t>(((uint64_t{pair} + 1) * blocks - 1) / pairs); }
};

// One launch: all items for the users from `first_user` on. The list of a user of tile t made by block b is that of slot t + b.
struct Job {
  Tiles users, items;
  double* keys;    // [slots, kTile, length]
  uint32_t* ids;   // [slots, kTile, length]
  uint32_t* size;  // [slots, kTile]
  Runs runs;
  double unit;  // factor on coordinates that takes the ball to the unit ball
  uint32_t first_user, user_count, item_tiles, depth, length;  // depth: dim, as whole stages; length: of a list, at most
  bool users_stay, lists_stay;                                 // in shared memory
  bool wide;                                                   // rows are made of whole, aligned float4
};

HK_HOST_DEVICE inline uint32_t tiles_for(uint32_t rows) { return rows / kTile + (rows % kTile != 0); }

__device__ inline bool is_before(double key, uint32_t item, double other_key, uint32_t other) {
  return key < other_key || (key == other_key && item < other);
}

// A block per tile: its rows' norms, then 32 columns at a time turned over in shared memory.
__global__ void __launch_bounds__(kThreads)
    pack_kernel(TopK a, const float* rows, uint32_t count, bool of_items, double unit, uint32_t depth, Tiles out) {
  __shared__ float turned[kWarp][kTile + 1];
  __shared__ double factor[kTile];
  const uint32_t lane = lane_id(), warp = threadIdx.y;
  const double half = 0.5 * (1.0 - (a.dim + 16) * 0x1p-23);
  for (uint32_t tile = blockIdx.x; tile < tiles_for(count); tile += gridDim.x) {
    float* const sides = out.sides + size_t{tile} * 2 * kTile;
    const uint32_t first = tile * kTile;
    for (uint32_t r = warp; r < kTile; r += kBlockWarps) {
      if (first + r >= count) {
        if (lane == 0) sides[r] = 0, sides[kTile + r] = kNever, factor[r] = 0;
        continue;
      }
      const float* x = rows + size_t{first + r} * a.dim;
      const double sqnorm = row_dot(x, x, AnyDim(a.dim)), gap = 1.0 - a.curvature * sqnorm, b = 1.0 / gap;
      if (lane != 0) continue;
      out.gap[first + r] = gap, factor[r] = of_items ? b * unit : unit;
      sides[r] = static_cast<float>(of_items ? -half * b : unit * unit * sqnorm);
      sides[kTile + r] = of_items ? static_cast<float>((a.dim + 16) * 0x1p-126 - half * b * (unit * unit * sqnorm)) : -kInfinity;
    }
    for (uint32_t k = 0; k < depth; k += kWarp) {
      __syncthreads();
      for (uint32_t r = warp; r < kTile; r += kBlockWarps) {
        const bool there = first + r < count && k + lane < a.dim;
        turned[lane][r] = there ? static_cast<float>(factor[r] * rows[size_t{first + r} * a.dim + k + lane]) : 0.0f;
      }
      __syncthreads();
      for (uint32_t column = warp; column < kWarp && k + column < depth; column += kBlockWarps)
        for (uint32_t r = lane; r < kTile; r += kWarp)
          out.columns[(size_t{tile} * depth + k + column) * kTile + r] = turned[column][r];
    }
  }
}

__device__ inline uint32_t lanes_before() { return (1u << computed_here(lane_id())) - 1; }

__device__ inline bool is_excluded(const TopK& a, uint32_t user, uint32_t item) {
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

// The best so far of the users of a warp, nearest first. A score below `limit`, −½ of the last key of a full list, is none of them.
struct Lists {
  double* keys;    // [kOwn, length]
  uint32_t* ids;   // [kOwn, length]
  uint32_t* size;  // [kOwn]
  float* limit;    // [kOwn]
  uint32_t length;
};

// What a warp knows besides its scores, in shared memory: its lists and the hits that wait to be scored.
struct OfWarp {
  Lists lists;
  uint32_t user_tile, end_tile;  // of the run: its items are those of the tiles before end_tile
  uint32_t item[kWarp], user[kWarp];  // of a hit; user: of the warp
};

// From the end of the list on, 32 entries at a time: what comes after the new one moves up.
__device__ inline void insert(const Lists& lists, uint32_t user, double key, uint32_t id) {
  double* const keys = lists.keys + size_t{user} * lists.length;
  uint32_t* const ids = lists.ids + size_t{user} * lists.length;
  const uint32_t lane = lane_id(), size = lists.size[user];
  for (uint32_t base = size == 0 ? 0 : (size - 1) / kWarp * kWarp;; base -= kWarp) {
    const uint32_t at = base + lane;
    const bool there = at < size;
    const double other_key = there ? keys[at] : 0.0;
    const uint32_t other = there ? ids[at] : 0;
    const bool is_later = there && is_before(key, id, other_key, other);
    const uint32_t before = __ballot_sync(kAllLanes, there && !is_later);
    __syncwarp();
    if (is_later && at + 1 < lists.length) keys[at + 1] = other_key, ids[at + 1] = other;
    if (before == 0 && base != 0) continue;
    const uint32_t place = base + static_cast<uint32_t>(__popc(before));
    if (lane == 0 && place < lists.length) keys[place] = key, ids[place] = id;
    break;
  }
  if (lane == 0 && size < lists.length) lists.size[user] = size + 1;
  __syncwarp();
}

// Columns k to k + 3 of a row; 0 where it has none.
__device__ inline float4 four_columns(const float* row, uint32_t k, uint32_t dim, bool wide) {
  if (k >= dim) return {0.0f, 0.0f, 0.0f, 0.0f};
  if (wide) return *reinterpret_cast<const float4*>(row + k);
  return {row[k], k + 1 < dim ? row[k + 1] : 0.0f, k + 2 < dim ? row[k + 2] : 0.0f, k + 3 < dim ? row[k + 3] : 0.0f};
}

__device__ inline void add_square(double& sum, float x, float y) {
  const double difference = static_cast<double>(x) - static_cast<double>(y);
  sum = std::fma(difference, difference, sum);
}

// row_sqdist, to the bit, of four pairs of rows: each by 8 lanes, of which one does the work of 4 lanes there. 64 columns are on their way
// at a time.
__device__ inline double group_sqdist(const float* x, const float* y, uint32_t dim, bool wide) {
  double sum[4] = {};
  HK_UNROLL_BY(1) for (uint32_t base = lane_id() % kGroup * 4; base < dim; base += 2 * kWarp) {
    float4 u[2], v[2];
    HK_UNROLL for (uint32_t i = 0; i < 2; ++i) {
      const uint32_t k = base + i * kWarp;
      u[i] = four_columns(x, k, dim, wide), v[i] = four_columns(y, k, dim, wide);
    }
    HK_UNROLL for (uint32_t i = 0; i < 2; ++i) {
      add_square(sum[0], u[i].x, v[i].x), add_square(sum[1], u[i].y, v[i].y);
      add_square(sum[2], u[i].z, v[i].z), add_square(sum[3], u[i].w, v[i].w);
    }
  }
  HK_UNROLL for (uint32_t bits = kGroup / 2; bits > 0; bits /= 2)
    HK_UNROLL for (double& one : sum) one += __shfl_xor_sync(kAllLanes, one, bits);
  return (sum[0] + sum[2]) + (sum[1] + sum[3]);
}

// Scores `count` hits exactly, 4 at a time, and puts those that are near enough into the lists; then the limits are up to date again.
__device__ inline void take_hits(const TopK& a, const Job& job, OfWarp* warps, uint32_t count) {
  const uint32_t lane = computed_here(lane_id());
  const uint32_t warp = computed_here(threadIdx.y);
  OfWarp& queue = warps[warp];
  __syncwarp();
  const uint32_t first = job.first_user + queue.user_tile * kTile + warp * kOwn;
  uint32_t item = queue.item[lane], user = queue.user[lane];
  const bool is_wanted = lane < count && !is_excluded(a, first + user, item);
  const uint32_t wanted = __ballot_sync(kAllLanes, is_wanted);
  const uint32_t total = static_cast<uint32_t>(__popc(wanted)), at = static_cast<uint32_t>(__popc(wanted & lanes_before()));
  __syncwarp();
  if (is_wanted) queue.item[at] = item, queue.user[at] = user;
  __syncwarp();
  double key = 0;
  HK_UNROLL_BY(1) for (uint32_t turn = 0; turn < total; turn += kWarp / kGroup) {
    const uint32_t hit = turn + lane / kGroup < total ? turn + lane / kGroup : turn;
    const float *u = a.users + size_t{first + queue.user[hit]} * a.dim, *v = a.items + size_t{queue.item[hit]} * a.dim;
    const double of_mine = __shfl_sync(kAllLanes, group_sqdist(u, v, a.dim, job.wide), lane % (kWarp / kGroup) * kGroup);
    if (lane / (kWarp / kGroup) == turn / (kWarp / kGroup)) key = of_mine;
  }
  const Lists lists = queue.lists;
  bool is_near = false;
  if (lane < total) {
    item = queue.item[lane], user = queue.user[lane], key /= job.items.gap[item];
    const size_t worst = size_t{user + 1} * lists.length - 1;
    is_near = lists.size[user] < lists.length || is_before(key, item, lists.keys[worst], lists.ids[worst]);
  }
  for (uint32_t near = __ballot_sync(kAllLanes, is_near); near != 0; near &= near - 1) {
    const uint32_t hit = static_cast<uint32_t>(__ffs(near)) - 1;
    insert(lists, __shfl_sync(kAllLanes, user, hit), __shfl_sync(kAllLanes, key, hit), __shfl_sync(kAllLanes, item, hit));
  }
  if (lane < kOwn && lists.size[lane] == lists.length)
    lists.limit[lane] = -0.5f * __double2float_ru(job.unit * job.unit * lists.keys[size_t{lane + 1} * lists.length - 1]);
  __syncwarp();
}

// Where a thread's 8 × 8 scores lie: lanes of a warp are 2 rows × 16 columns of threads, each with two times four users and items. Eight
// neighbouring lanes then read 64 bytes of items and 32 of users, neither with bank conflicts.
struct Place {
  uint32_t user, item;
  __device__ Place() {
    const uint32_t lane = computed_here(lane_id());
    user = lane % 2 * 4, item = lane / 2 * 4;
  }
  __device__ uint32_t user_of(uint32_t x) const { return user + x / 4 * (kOwn / 2) + x % 4; }   // of the warp
  __device__ uint32_t item_of(uint32_t y) const { return item + y / 4 * (kTile / 2) + y % 4; }  // of the tile
};

__device__ inline void load_eight(float (&to)[8], const float* from, uint32_t stride) {
  const float4 low = *reinterpret_cast<const float4*>(from), high = *reinterpret_cast<const float4*>(from + stride);
  to[0] = low.x, to[1] = low.y, to[2] = low.z, to[3] = low.w, to[4] = high.x, to[5] = high.y, to[6] = high.z, to[7] = high.w;
}

// score += the product of two stages, of which `users` and `items` are this thread's first numbers.
__device__ inline void multiply(float (&score)[8][8], const float* users, const float* items) {
  HK_UNROLL for (uint32_t k = 0; k < kColumns; ++k) {
    float u[8], v[8];
    load_eight(u, users + k * kTile, kOwn / 2), load_eight(v, items + k * kTile, kTile / 2);
    HK_UNROLL for (uint32_t x = 0; x < 8; ++x)
      HK_UNROLL for (uint32_t y = 0; y < 8; ++y) score[x][y] = __fmaf_rn(u[x], v[y], score[x][y]);
  }
}

// One bit per score that is not below its limit: bit 8x + y of 64.
struct Hits {
  uint32_t low, high;
};
__device__ inline Hits find_hits(const float (&score)[8][8], const float* limits) {
  float limit[8];
  load_eight(limit, limits, kOwn / 2);
  Hits hits{};
  HK_UNROLL for (uint32_t x = 0; x < 8; ++x) {
    bool any = false;
    HK_UNROLL for (uint32_t y = 0; y < 8; ++y) any |= score[x][y] >= limit[x];
    if (__ballot_sync(kAllLanes, any) == 0) continue;
    HK_UNROLL for (uint32_t y = 0; y < 8; ++y) (x < 4 ? hits.low : hits.high) |= score[x][y] >= limit[x] ? 1u << (x % 4 * 8 + y) : 0;
  }
  return hits;
}

template <uint32_t kCount>
__device__ inline void copy_block(float* to_shared, const float* from) {
  const uint32_t first = computed_here(threadIdx.y * kWarp + lane_id()) * 4;
  HK_UNROLL for (uint32_t i = 0; i < kCount; i += kThreads * 4)
    if (kCount % (kThreads * 4) == 0 || first + i < kCount) copy_ahead(to_shared + first + i, from + first + i);
}

struct alignas(16) BlockState {
  float item_sides[2][2 * kTile], user_sides[2 * kTile];  // user_sides: squared norms, limits
  uint32_t size[kTile];
  OfWarp warps[kBlockWarps];
};

__global__ void __launch_bounds__(kThreads, 2) top_k_kernel(TopK a, Job job) {
  __shared__ BlockState block;
  HK_DYNAMIC_SHARED(float, item_stage);  // two of them, then the user tile or two stages of it, then the lists
  float* const user_stage = item_stage + 2 * kStage;
  const uint32_t lane = lane_id(), warp = threadIdx.y, own = warp * kOwn;

  uint32_t pair = job.runs.begin(blockIdx.x);
  while (pair < job.runs.begin(computed_here(blockIdx.x) + 1)) {
    const auto copy_stage = [&](uint32_t item_tile, uint32_t column, uint32_t stage) {
      item_tile = computed_here(item_tile);
      copy_block<kStage>(item_stage + stage * kStage, job.items.columns + (size_t{item_tile} * job.depth + column) * kTile);
      if (!job.users_stay)
        copy_block<kStage>(user_stage + stage * kStage,
                           job.users.columns + (size_t{block.warps[warp].user_tile} * job.depth + column) * kTile);
      if (column == 0) copy_block<2 * kTile>(block.item_sides[item_tile % 2], job.items.sides + size_t{item_tile} * 2 * kTile);
    };
    __syncthreads();  // all are done with the run before
    if (lane == 0) {
      const uint32_t tile = pair / job.item_tiles;
      const size_t slot = (size_t{tile} + blockIdx.x) * kTile;
      double* const keys = reinterpret_cast<double*>(user_stage + (job.users_stay ? job.depth * kTile : 2 * kStage));
      double* const first = (job.lists_stay ? keys : job.keys + slot * job.length) + own * job.length;
      uint32_t* const ids =
          job.lists_stay ? reinterpret_cast<uint32_t*>(keys + size_t{kTile} * job.length) : job.ids + slot * job.length;
      block.warps[warp].lists = {first, ids + own * job.length, block.size + own, block.user_sides + kTile + own, job.length};
      const uint32_t last = job.runs.begin(computed_here(blockIdx.x) + 1), next = (tile + 1) * job.item_tiles;
      block.warps[warp].user_tile = tile, block.warps[warp].end_tile = (last < next ? last : next) - tile * job.item_tiles;
    }
    if (lane < kOwn) block.size[own + lane] = 0;
    __syncwarp();
    const size_t user_tile = block.warps[warp].user_tile;
    copy_block<2 * kTile>(block.user_sides, job.users.sides + user_tile * 2 * kTile);
    if (job.users_stay)
      HK_UNROLL_BY(1) for (uint32_t i = 0; i < job.depth * kTile; i += kStage)
        copy_block<kStage>(user_stage + i, job.users.columns + user_tile * job.depth * kTile + i);
    copy_stage(pair % job.item_tiles, 0, 0);

    uint32_t stage = 0, queued = 0;
    for (uint32_t tile = pair % job.item_tiles; tile < block.warps[warp].end_tile; ++tile) {
      float score[8][8];
      for (uint32_t column = 0; column < job.depth; column += kColumns, stage ^= 1) {
        wait_for_copies();
        __syncthreads();
        if (column + kColumns < job.depth)
          copy_stage(tile, column + kColumns, stage ^ 1);
        else if (tile + 1 < block.warps[warp].end_tile)
          copy_stage(tile + 1, 0, stage ^ 1);
        if (block.warps[warp].user_tile * kTile + own >= job.user_count) continue;  // a warp without users only copies
        const Place place;
        if (column == 0) {
          float sqnorm[8], on_user[8], fixed[8];
          load_eight(sqnorm, block.user_sides + own + place.user, kOwn / 2);
          load_eight(on_user, block.item_sides[tile % 2] + place.item, kTile / 2);
          load_eight(fixed, block.item_sides[tile % 2] + kTile + place.item, kTile / 2);
          HK_UNROLL for (uint32_t x = 0; x < 8; ++x)
            HK_UNROLL for (uint32_t y = 0; y < 8; ++y) score[x][y] = __fmaf_rn(on_user[y], sqnorm[x], fixed[y]);
        }
        multiply(score, user_stage + (job.users_stay ? column * kTile : stage * kStage) + own + place.user,
                 item_stage + stage * kStage + place.item);
      }
      if (block.warps[warp].user_tile * kTile + own >= job.user_count) continue;

      // One hit per lane and turn goes into the queue. When that is full, its hits are taken and those left meet the new limits. At the
      // end of the run so are the last.
      Hits left{kAllLanes, kAllLanes};
      for (;;) {
        const Place place;
        const Hits hits = find_hits(score, block.user_sides + kTile + own + place.user);
        left.low &= hits.low, left.high &= hits.high;
        while (queued < kWarp) {
          const bool has_one = (left.low | left.high) != 0;
          const uint32_t having = __ballot_sync(kAllLanes, has_one);
          if (having == 0) break;
          const uint32_t at = queued + static_cast<uint32_t>(__popc(having & lanes_before()));
          if (has_one && at < kWarp) {
            const bool in_low = left.low != 0;
            const uint32_t bit = static_cast<uint32_t>(__ffs(in_low ? left.low : left.high)) + (in_low ? 0 : 32) - 1;
            (in_low ? left.low : left.high) &= (in_low ? left.low : left.high) - 1;
            OfWarp& queue = block.warps[computed_here(warp)];
            queue.item[at] = tile * kTile + place.item_of(bit % 8), queue.user[at] = place.user_of(bit / 8);
          }
          queued += static_cast<uint32_t>(__popc(having));
        }
        if (queued < kWarp && (queued == 0 || (tile % kPause != 0 && tile + 1 < block.warps[warp].end_tile))) break;
        take_hits(a, job, block.warps, queued < kWarp ? queued : kWarp);
        queued = 0;
      }
    }
    pair = block.warps[computed_here(warp)].user_tile * job.item_tiles + block.warps[computed_here(warp)].end_tile;
    const Lists lists = block.warps[computed_here(warp)].lists;
    const size_t slot = (size_t{block.warps[computed_here(warp)].user_tile} + blockIdx.x) * kTile + own;
    if (lane < kOwn) job.size[slot + lane] = lists.size[lane];
    if (job.lists_stay)
      HK_UNROLL_BY(1) for (uint32_t i = lane; i < kOwn * job.length; i += kWarp)
        job.keys[slot * job.length + i] = lists.keys[i], job.ids[slot * job.length + i] = lists.ids[i];
  }
}

// Entries of an ascending list that come before (key, id).
__device__ inline uint32_t count_before(const double* keys, const uint32_t* ids, uint32_t size, double key, uint32_t id) {
  uint32_t low = 0;
  for (uint32_t high = size; low < high;) {
    const uint32_t middle = low + (high - low) / 2;
    if (is_before(keys[middle], ids[middle], key, id))
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

// A thread per entry of every list: its rank is its place there and the number of entries before it in the user's other lists. `most`: of
// lists that a user has.
__global__ void merge_kernel(TopK a, Job job, uint32_t most) {
  const uint64_t per_user = uint64_t{most} * a.k;
  for (uint64_t i = uint64_t{first_of_warp()} * kWarp + lane_id(); i < job.user_count * per_user; i += uint64_t{warps_of_grid()} * kWarp) {
    const uint32_t user = static_cast<uint32_t>(i / per_user), tile = user / kTile;
    const uint32_t part = static_cast<uint32_t>(i % per_user / a.k), at = static_cast<uint32_t>(i % a.k);
    uint32_t parts = 0;
    size_t slot = user % kTile;  // of the user in its first list; the next is kTile further on
    if (job.item_tiles != 0) {
      const uint32_t pair = tile * job.item_tiles;
      const uint32_t first = job.runs.block_of(pair);
      parts = job.runs.block_of(pair + job.item_tiles - 1) - first + 1, slot += (size_t{tile} + first) * kTile;
    }
    const size_t out = size_t{job.first_user + user} * a.k;
    if (part == 0) {
      uint64_t found = 0;
      for (uint32_t p = 0; p < parts; ++p) found += job.size[slot + size_t{p} * kTile];
      if (at >= found) a.out_items[out + at] = kNone, a.out_distances[out + at] = kInfinity;
    }
    if (part >= parts || at >= job.size[slot + size_t{part} * kTile]) continue;
    const size_t mine = (slot + size_t{part} * kTile) * job.length + at;
    const double key = job.keys[mine];
    const uint32_t item = job.ids[mine];
    uint32_t rank = at;
    for (uint32_t p = 0; p < parts && rank < a.k; ++p) {
      const size_t other = slot + size_t{p} * kTile;
      if (p != part) rank += count_before(job.keys + other * job.length, job.ids + other * job.length, job.size[other], key, item);
    }
    if (rank >= a.k) continue;
    const double gap = job.items.gap[item];
    a.out_items[out + rank] = item;
    a.out_distances[out + rank] = static_cast<float>(a.scale * poincare_distance(key * gap, job.users.gap[user], gap, a.curvature));
  }
}

// Scratch of one call; freed when its kernels have finished.
class Scratch {
 public:
  Scratch(Backend& backend, size_t bytes) : backend_(backend), bytes_(bytes), memory_(backend.allocate(bytes)) {}
  ~Scratch() { backend_.release(memory_, bytes_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  template <class T>
  T* take(size_t count) {  // in whole vectors
    T* const at = reinterpret_cast<T*>(static_cast<char*>(memory_) + taken_);
    taken_ += (count * sizeof(T) + 15) / 16 * 16;
    return at;
  }

 private:
  Backend& backend_;
  size_t bytes_;
  void* memory_;
  size_t taken_ = 0;
};

bool is_aligned(const void* memory) { return reinterpret_cast<uintptr_t>(memory) % sizeof(float4) == 0; }

}  // namespace

void CudaBackend::top_k(const TopK& a) {
  if (a.user_count == 0 || a.k == 0) return;
  Job job{};
  job.item_tiles = tiles_for(a.item_count), job.depth = (a.dim + kColumns - 1) / kColumns * kColumns;
  job.length = a.k < a.item_count ? a.k : a.item_count;
  job.unit = a.curvature > 0 ? std::sqrt(a.curvature) : 1.0;
  job.wide = a.dim % 4 == 0 && is_aligned(a.users) && is_aligned(a.items);

  // What stays in shared memory: as much as leaves the most blocks resident.
  const size_t entry = sizeof(double) + sizeof(uint32_t), list_bytes = kTile * (entry * job.length + sizeof(uint32_t)) + 16;
  uint32_t resident = 0;
  size_t shared = 0;
  for (const bool users_stay : {true, false})
    for (const bool lists_stay : {true, false}) {
      const size_t bytes =
          (2 * kStage + (users_stay ? job.depth * kTile : 2 * kStage)) * sizeof(float) + (lists_stay ? kTile * entry * job.length : 0);
      const uint32_t blocks = resident_blocks("top_k", top_k_kernel, kThreads, bytes);
      if (blocks > resident) resident = blocks, shared = bytes, job.users_stay = users_stay, job.lists_stay = lists_stay;
    }
  require(resident > 0, "ERR_HK_INTERNAL", "top_k: the device has too little shared memory");

  // As many user tiles at a time as have their copy and lists in bounded memory.
  const uint32_t all_tiles = tiles_for(a.user_count);
  const size_t tile_bytes = kTile * ((size_t{job.depth} + 2) * sizeof(float) + sizeof(double)), slots = kMostScratch / list_bytes;
  const uint32_t blocks = slots / 2 < resident ? (slots < 4 ? 1 : static_cast<uint32_t>(slots / 2)) : resident;
  const size_t fitting = blocks * list_bytes < kMostScratch ? (kMostScratch - blocks * list_bytes) / (list_bytes + tile_bytes) : 0;
  uint32_t tiles = fitting < 1 ? 1 : fitting < all_tiles ? static_cast<uint32_t>(fitting) : all_tiles;
  if (job.item_tiles != 0 && tiles > UINT32_MAX / job.item_tiles) tiles = UINT32_MAX / job.item_tiles;  // for Runs

  Scratch scratch(*this, job.item_tiles * tile_bytes + tiles * tile_bytes + (size_t{tiles} + blocks) * list_bytes);
  const auto take_tiles = [&](size_t n) {
    return Tiles{scratch.take<float>(n * job.depth * kTile), scratch.take<float>(n * 2 * kTile), scratch.take<double>(n * kTile)};
  };
  job.items = take_tiles(job.item_tiles), job.users = take_tiles(tiles);
  const size_t lists = (size_t{tiles} + blocks) * kTile;
  job.keys = scratch.take<double>(lists * job.length), job.ids = scratch.take<uint32_t>(lists * job.length);
  job.size = scratch.take<uint32_t>(lists);

  const dim3 block(kWarp, kBlockWarps);
  const auto pack = [&](const char* name, const float* rows, uint32_t count, const Tiles& to, bool of_items) {
    launch(name, pack_kernel, blocks_for(tiles_for(count), 1), block, 0, stream_, a, rows, count, of_items, job.unit, job.depth, to);
  };
  pack("top_k: items", a.items, a.item_count, job.items, true);
  for (uint32_t first = 0; first < all_tiles; first += tiles) {
    const uint32_t now = all_tiles - first < tiles ? all_tiles - first : tiles;
    job.first_user = first * kTile;
    job.user_count = a.user_count - job.first_user < now * kTile ? a.user_count - job.first_user : now * kTile;
    job.runs.pairs = now * job.item_tiles;
    job.runs.blocks = job.runs.pairs < blocks ? job.runs.pairs : blocks;
    pack("top_k: users", a.users + size_t{job.first_user} * a.dim, job.user_count, job.users, false);
    launch("top_k", top_k_kernel, job.runs.blocks, block, shared, stream_, a, job);
    const uint32_t most = job.runs.blocks / now + 2;  // runs that touch a user tile: whole ones, and a piece of one at either end
    const uint64_t entries = uint64_t{job.user_count} * most * a.k;
    launch("top_k: merge", merge_kernel, blocks_for(entries, kThreads), block, 0, stream_, a, job, most);
  }
}

}  // namespace hk

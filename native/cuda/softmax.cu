// softmax_loss and softmax_gradient on the GPU. Loss: tiles of samples × negatives give the squared distances, then one warp per sample weighs
// them. Gradient: one warp per user row walks its samples' slopes, 32 negatives at a time, one per lane and then broadcast; for the items, one warp
// per negative and chunk of samples first, then one per item row. Columns stand in registers, sums are float64.
//   launch   distances: blocks of (32, 8) per 32 × 32 pairs, grid-stride; the rest blocks of (32, 4), grid-stride
//   shared   two tiles of 32 rows × 32 columns in the precision of the tables: 8.25 or 16.5 KiB
//   traffic  per pair 4 bytes of squared distance and 4 of slope, out and in; points from the cache: S rows and those of the batch
//   sync     block barriers around the tiles; elsewhere a warp takes and leaves its piece whole
//   order    negatives and samples ascending within a warp, chunks ascending within an item
#include "../src/ball.h"
#include "cuda_backend.h"
#include "point_table.cuh"
#include "warp.cuh"

namespace hk {
namespace {

constexpr uint32_t kTile = 32, kPitch = kTile + 1;
constexpr uint32_t kStep = kTile / 2;  // a thread has rows r, r + 16 and columns s, s + 16 of a tile
constexpr uint32_t kTileWarps = kStep * kStep / kWarp;

// Columns [first, first + 32) of 32 of the listed rows, column by column; what is missing is 0.
template <class T>
__device__ void load_tile(T* tile, const PointTable& table, const uint32_t* ids, uint32_t row, uint32_t rows, uint32_t first, uint32_t dim) {
  for (uint32_t r = threadIdx.y; r < kTile; r += kTileWarps) {
    const uint32_t k = first + lane_id(), id = row + r < rows ? ids[row + r] : kNone;
    tile[lane_id() * kPitch + r] = id != kNone && k < dim ? points_of<T>(table)[row_of(table, id) * dim + k] : T(0);
  }
}

template <class T>
__global__ void softmax_sqdist_kernel(SoftmaxLoss a) {
  __shared__ T user_tile[kTile * kPitch], negative_tile[kTile * kPitch];
  const uint32_t thread = threadIdx.y * kWarp + threadIdx.x, r = thread / kStep, s = thread % kStep;
  const uint32_t across = a.pitch / kTile, tiles = (a.count + kTile - 1) / kTile * across;
  for (uint32_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    const uint32_t sample = tile / across * kTile, negative = tile % across * kTile;
    T sum[2][2] = {};
    for (uint32_t k = 0; k < a.dim; k += kTile) {
      __syncthreads();
      load_tile(user_tile, a.users, a.user_rows, sample, a.count, k, a.dim);
      load_tile(negative_tile, a.items, a.negative_rows, negative, a.negatives, k, a.dim);
      __syncthreads();
      T part[2][2] = {};  // bounds the rounding of long rows
      HK_UNROLL
      for (uint32_t j = 0; j < kTile; ++j)
        for (uint32_t x = 0; x < 2; ++x)
          for (uint32_t y = 0; y < 2; ++y) {
            const T difference = user_tile[j * kPitch + r + x * kStep] - negative_tile[j * kPitch + s + y * kStep];
            part[x][y] += difference * difference;
          }
      for (uint32_t x = 0; x < 2; ++x)
        for (uint32_t y = 0; y < 2; ++y) sum[x][y] += part[x][y];
    }
    for (uint32_t x = 0; x < 2; ++x)
      for (uint32_t y = 0; y < 2; ++y)
        if (const uint32_t i = sample + r + x * kStep; i < a.count)
          a.sqdist[size_t{i} * a.pitch + negative + s + y * kStep] = static_cast<float>(sum[x][y]);
  }
}

__device__ inline float warp_max(float value) {
  for (uint32_t bits = kWarp / 2; bits > 0; bits /= 2) {
    const float other = __shfl_xor_sync(kAllLanes, value, bits);
    value = other > value ? other : value;
  }
  return value;
}

template <class T, class Dim>
__global__ void softmax_loss_kernel(SoftmaxLoss a) {
  const Dim dim(a.dim);
  const double c = a.curvature, scale = *a.scale;
  const uint32_t lane = lane_id();
  for (uint32_t i = first_of_warp(); i < a.count; i += warps_of_grid()) {
    const float* sqdist = a.sqdist + size_t{i} * a.pitch;
    float* slope = a.slope + size_t{i} * a.pitch;
    if (a.user_rows[i] == kNone) {
      for (uint32_t j = lane; j < a.pitch; j += kWarp) slope[j] = 0;
      if (lane != 0) continue;
      a.tape[i] = {0, 0, 0, 0};
      if (a.loss) a.loss[i] = 0;
      if (a.scale_gradient) a.scale_gradient[i] = 0;
      continue;
    }
    const size_t u = row_of(a.users, a.user_rows[i]), p = row_of(a.items, a.positive_rows[i]);
    const double p_sqdist = row_sqdist(points_of<T>(a.users) + u * dim, points_of<T>(a.items) + p * dim, dim);
    const double u_gap = a.users.gap[u], p_gap = a.items.gap[p];
    const float at_positive = static_cast<float>(scale * poincare_distance(p_sqdist, u_gap, p_gap, c));
    const float gap = static_cast<float>(u_gap), curvature = static_cast<float>(c), factor = static_cast<float>(scale);
    const uint32_t* left_out = a.left_out + size_t{i} * (a.pitch / kWarp);

    // The exponents, kept in `slope` until they are weighed; the largest, or 0, the positive's own.
    float most = 0;
    for (uint32_t word = 0; word < a.pitch / kWarp; ++word) {
      const uint32_t j = word * kWarp + lane;
      if (left_out[word] >> lane & 1) continue;
      const float n_gap = static_cast<float>(a.items.gap[row_of(a.items, a.negative_rows[j])]);
      const float z = at_positive - factor * poincare_distance(sqdist[j], gap, n_gap, curvature);
      slope[j] = z, most = z > most ? z : most;
    }
    most = warp_max(most);
    double sum = 0, weighted = 0;  // Σ e^(z − most), Σ z·e^(z − most)
    for (uint32_t word = 0; word < a.pitch / kWarp; ++word) {
      const uint32_t j = word * kWarp + lane;
      if (left_out[word] >> lane & 1) continue;
      const double w = std::exp(slope[j] - most);
      sum += w, weighted += w * slope[j];
    }
    sum = warp_sum(sum), weighted = warp_sum(weighted);
    const double total = std::exp(static_cast<double>(-most)) + sum;
    const float normal = static_cast<float>(-scale / total);
    double slope_sum = 0, deficit_sum = 0;
    for (uint32_t word = 0; word < a.pitch / kWarp; ++word) {
      const uint32_t j = word * kWarp + lane;
      float value = 0;
      if (!(left_out[word] >> lane & 1)) {
        const float n_gap = static_cast<float>(a.items.gap[row_of(a.items, a.negative_rows[j])]);
        const float w = std::exp(slope[j] - most);
        value = w * normal * poincare_slope(sqdist[j], gap, n_gap, curvature);
        deficit_sum += static_cast<double>(w) * static_cast<double>(pull_deficit(sqdist[j], gap, n_gap, curvature));
      }
      slope[j] = value, slope_sum += value;
    }
    slope_sum = warp_sum(slope_sum), deficit_sum = warp_sum(deficit_sum);
    if (lane != 0) continue;
    a.tape[i] = {sum / total * scale * poincare_slope(p_sqdist, u_gap, p_gap, c), c * p_sqdist, slope_sum,
                 -2.0 * std::sqrt(c) * scale * ((sum - deficit_sum) / total)};
    if (a.loss) a.loss[i] = static_cast<float>(most > 0 ? static_cast<double>(most) + std::log(total) : std::log1p(sum));
    if (a.scale_gradient) a.scale_gradient[i] = weighted / total / scale;
  }
}

template <class T, class Dim>
__global__ void softmax_user_gradient_kernel(SoftmaxGradient a) {
  const Dim dim(a.dim);
  const uint32_t lane = lane_id();
  const T *users = points_of<T>(a.users), *items = points_of<T>(a.items);
  T* gradient = gradient_of<T>(a);
  for (uint32_t i = first_of_warp(); i < *a.row_count; i += warps_of_grid()) {
    const size_t row = row_of(a.users, a.rows[i]);
    const double gap = a.users.gap[row];
    for (uint32_t base = 0; base < dim; base += Columns<Dim>::kAtOnce) {
      Columns<Dim> sum;
      double on_self = 0;
      for (uint32_t o = a.offsets[i]; o < a.offsets[i + 1]; ++o) {
        const uint32_t sample = a.order[o];
        const SoftmaxTape tape = a.tape[sample];
        on_self += tape.pos_slope * (1.0 + tape.pos_pull / gap) + (tape.slope_sum + tape.pull_sum / gap);
        sum.add(-tape.pos_slope, items + row_of(a.items, a.positive_rows[sample]) * dim, base, dim);
        for (uint32_t first = 0; first < a.negatives; first += kWarp) {
          const uint32_t j = first + lane;
          const double slope = a.slope[size_t{sample} * a.pitch + j];
          const uint32_t point = static_cast<uint32_t>(j < a.negatives ? row_of(a.items, a.negative_rows[j]) : 0);
          const uint32_t count = a.negatives - first < kWarp ? a.negatives - first : kWarp;
          for (uint32_t t = 0; t < count; ++t)
            sum.add(-__shfl_sync(kAllLanes, slope, t), items + size_t{__shfl_sync(kAllLanes, point, t)} * dim, base, dim);
        }
      }
      sum.add(on_self, users + row * dim, base, dim);
      sum.store(gradient + size_t{i} * dim, base, dim);
    }
  }
}

// A warp's piece is chunk · negatives + negative.
template <class T, class Dim>
__global__ void softmax_chunks_kernel(SoftmaxGradient a) {
  const Dim dim(a.dim);
  const uint32_t lane = lane_id(), chunks = (a.count + kSampleChunk - 1) / kSampleChunk;
  const T* users = points_of<T>(a.users);
  for (uint32_t piece = first_of_warp(); piece < chunks * a.negatives; piece += warps_of_grid()) {
    const uint32_t begin = piece / a.negatives * kSampleChunk, j = piece % a.negatives;
    const uint32_t end = a.count - begin < kSampleChunk ? a.count : begin + kSampleChunk;
    double* partial = a.partial + size_t{piece} * (size_t{dim} + 2);
    for (uint32_t base = 0; base < dim; base += Columns<Dim>::kAtOnce) {
      Columns<Dim> sum;
      double slope_sum = 0, pull_sum = 0;
      for (uint32_t first = begin; first < end; first += kWarp) {
        const uint32_t sample = first + lane, count = end - first < kWarp ? end - first : kWarp;
        double slope = 0;
        uint32_t point = kNone;
        if (sample < end && a.user_rows[sample] != kNone) {
          const size_t at = size_t{sample} * a.pitch + j;
          slope = a.slope[at], point = static_cast<uint32_t>(row_of(a.users, a.user_rows[sample]));
          slope_sum += slope, pull_sum += slope * a.sqdist[at];
        }
        for (uint32_t t = 0; t < count; ++t) {
          const double s = __shfl_sync(kAllLanes, slope, t);
          const uint32_t user = __shfl_sync(kAllLanes, point, t);
          if (user != kNone) sum.add(s, users + size_t{user} * dim, base, dim);
        }
      }
      sum.store(partial, base, dim);
      slope_sum = warp_sum(slope_sum), pull_sum = warp_sum(pull_sum);
      if (lane == 0 && base == 0) partial[dim] = slope_sum, partial[dim + 1] = a.curvature * pull_sum;
    }
  }
}

template <class T, class Dim>
__global__ void softmax_item_gradient_kernel(SoftmaxGradient a) {
  const Dim dim(a.dim);
  const uint32_t chunks = (a.count + kSampleChunk - 1) / kSampleChunk;
  const T *users = points_of<T>(a.users), *items = points_of<T>(a.items);
  T* gradient = gradient_of<T>(a);
  for (uint32_t i = first_of_warp(); i < *a.row_count; i += warps_of_grid()) {
    const size_t row = row_of(a.items, a.rows[i]);
    const double gap = a.items.gap[row];
    for (uint32_t base = 0; base < dim; base += Columns<Dim>::kAtOnce) {
      Columns<Dim> sum;
      double on_self = 0;
      for (uint32_t o = a.offsets[i]; o < a.offsets[i + 1]; ++o) {
        const uint32_t key = a.order[o];
        if (key < a.count) {
          const SoftmaxTape tape = a.tape[key];
          on_self += tape.pos_slope * (1.0 + tape.pos_pull / gap);
          sum.add(-tape.pos_slope, users + row_of(a.users, a.user_rows[key]) * dim, base, dim);
          continue;
        }
        for (uint32_t chunk = 0; chunk < chunks; ++chunk) {
          const double* partial = a.partial + (size_t{chunk} * a.negatives + (key - a.count)) * (size_t{dim} + 2);
          on_self += partial[dim] + partial[dim + 1] / gap;
          sum.add(-1.0, partial, base, dim);
        }
      }
      sum.add(on_self, items + row * dim, base, dim);
      sum.store(gradient + size_t{i} * dim, base, dim);
    }
  }
}

}  // namespace

void CudaBackend::softmax_loss(const SoftmaxLoss& a) {
  const uint64_t tiles = uint64_t{(a.count + kTile - 1) / kTile} * (a.pitch / kTile);
  launch("softmax_loss: distances", a.users.f ? softmax_sqdist_kernel<float> : softmax_sqdist_kernel<double>, blocks_for(tiles, 1),
         dim3(kWarp, kTileWarps), 0, stream_, a);
  with_dim(a.dim, [&](auto dim) {
    using Dim = decltype(dim);
    launch("softmax_loss", a.users.f ? softmax_loss_kernel<float, Dim> : softmax_loss_kernel<double, Dim>, blocks_for(a.count, kWarps),
           dim3(kWarp, kWarps), 0, stream_, a);
  });
}

void CudaBackend::softmax_gradient(const SoftmaxGradient& a) {
  const dim3 block(kWarp, kWarps);
  const uint32_t grid = blocks_for(a.capacity, kWarps);
  with_dim(a.dim, [&](auto dim) {
    using Dim = decltype(dim);
    if (a.of_users) {
      launch("softmax_gradient: users", a.users.f ? softmax_user_gradient_kernel<float, Dim> : softmax_user_gradient_kernel<double, Dim>, grid,
             block, 0, stream_, a);
      return;
    }
    const uint64_t pieces = uint64_t{(a.count + kSampleChunk - 1) / kSampleChunk} * a.negatives;
    launch("softmax_gradient: chunks", a.users.f ? softmax_chunks_kernel<float, Dim> : softmax_chunks_kernel<double, Dim>,
           blocks_for(pieces, kWarps), block, 0, stream_, a);
    launch("softmax_gradient: items", a.users.f ? softmax_item_gradient_kernel<float, Dim> : softmax_item_gradient_kernel<double, Dim>, grid, block,
           0, stream_, a);
  });
}

}  // namespace hk

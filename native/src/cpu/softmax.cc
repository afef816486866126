// softmax_loss and softmax_gradient on the CPU. Every sample meets every negative, so the three products over [samples, negatives, dim] are
// blocked like matrix products: a few rows at a time against packed rows of the other side, sums in registers. A row's result does not depend on
// which others it is computed beside.
#include <algorithm>
#include <vector>

#include "../ball.h"
#include "cpu_backend.h"
#include "point_table.h"
#include "rows.h"
#include "vector_math.h"

namespace hk {
namespace {

constexpr uint32_t kRows = 4;    // computed at a time
constexpr uint32_t kDepth = 64;  // columns between two additions to a pair's total: bounds the rounding of long rows
constexpr uint32_t kBlock = 32;  // negatives of one task of the items' gradient

// The vector of an instruction set whose lanes are T.
template <class S, class T>
struct Lanes {
  using V = typename S::F;
  static constexpr uint32_t kWidth = S::kF;
};
template <class S>
struct Lanes<S, double> {
  using V = typename S::D;
  static constexpr uint32_t kWidth = S::kD;
};

// ───────────────────────────── loss ─────────────────────────────

// What all samples need of the negatives.
struct PackedNegatives {
  const void* columns;   // their points transposed: [pitch / tile, dim, tile], a tile being two vectors; 0 beyond them
  const float* gap;      // [pitch] A_n; 1 beyond them
  const float* inverse;  // [pitch] 1/√A_n
};

template <class S, class T>
HK_INLINE void pack_tiles(const SoftmaxLoss& a, T* columns, uint64_t begin, uint64_t end) {
  constexpr uint32_t kTile = 2 * Lanes<S, T>::kWidth;
  for (uint64_t tile = begin; tile < end; ++tile)
    for (uint32_t t = 0; t < kTile; ++t) {
      const uint32_t j = static_cast<uint32_t>(tile) * kTile + t;
      T* out = columns + tile * kTile * a.dim + t;
      if (j >= a.negatives) {
        for (uint32_t k = 0; k < a.dim; ++k) out[k * kTile] = 0;
        continue;
      }
      const T* row = points_of<T>(a.items) + row_of(a.items, a.negative_rows[j]) * a.dim;
      for (uint32_t k = 0; k < a.dim; ++k) out[k * kTile] = row[k];
    }
}

// ‖u_m − n_j‖² of kRows users and the negatives of one tile.
template <class S, class T>
HK_INLINE void sqdist_tile(const T* const* users, const T* columns, uint32_t dim, float* const* out) {
  using V = typename Lanes<S, T>::V;
  constexpr uint32_t kWidth = Lanes<S, T>::kWidth;
  V total[kRows][2] = {};
  for (uint32_t base = 0; base < dim; base += kDepth) {
    const uint32_t end = base + kDepth < dim ? base + kDepth : dim;
    V sum[kRows][2] = {};
    for (uint32_t k = base; k < end; ++k) {
      const V first = *reinterpret_cast<const V*>(columns + size_t{k} * 2 * kWidth);
      const V second = *reinterpret_cast<const V*>(columns + size_t{k} * 2 * kWidth + kWidth);
      for (uint32_t m = 0; m < kRows; ++m) {
        const V x = (V{} + users[m][k]) - first, y = (V{} + users[m][k]) - second;
        sum[m][0] += x * x, sum[m][1] += y * y;
      }
    }
    for (uint32_t m = 0; m < kRows; ++m) total[m][0] += sum[m][0], total[m][1] += sum[m][1];
  }
  for (uint32_t m = 0; m < kRows; ++m)
    for (uint32_t half = 0; half < 2; ++half)
      for (uint32_t t = 0; t < kWidth; ++t) out[m][half * kWidth + t] = static_cast<float>(total[m][half][t]);
}

// Σ x_t and Σ x_t·y_t in float64; n is a whole number of vectors.
template <class S>
HK_INLINE DotPair sum_and_dot(const float* x, const float* y, uint32_t n) {
  typename S::D a{}, b{};
  for (uint32_t t = 0; t < n; t += S::kD) {
    const typename S::D v = load<S>(x + t);
    a += v, b += v * load<S>(y + t);
  }
  return {sum<S>(a), sum<S>(b)};
}

// From the squared distances of sample i to its slopes and all that is one number per sample. z, w, deficit: [pitch] scratch.
template <class S, class T>
HK_INLINE void weigh_sample(const SoftmaxLoss& a, const PackedNegatives& n, uint64_t i, float* z, float* w, float* deficit) {
  const uint32_t pitch = a.pitch;
  float* slope = a.slope + i * pitch;
  if (a.user_rows[i] == kNone) {
    std::fill_n(slope, pitch, 0.0f);
    a.tape[i] = {0, 0, 0, 0};
    if (a.loss) a.loss[i] = 0;
    if (a.scale_gradient) a.scale_gradient[i] = 0;
    return;
  }
  const float* sqdist = a.sqdist + i * pitch;
  const size_t u = row_of(a.users, a.user_rows[i]), p = row_of(a.items, a.positive_rows[i]);
  const double c = a.curvature, scale = *a.scale, u_gap = a.users.gap[u], p_gap = a.items.gap[p];
  double p_sqdist;
  if constexpr (sizeof(T) == sizeof(float)) p_sqdist = sqdist_float<S>(a.users.f + u * a.dim, a.items.f + p * a.dim, a.dim);
  else p_sqdist = hk::sqdist<S>(a.users.d + u * a.dim, a.items.d + p * a.dim, a.dim);
  const double p_distance = poincare_distance(p_sqdist, u_gap, p_gap, c);

  // z_ij, and k(u, n_j) into `slope`: poincare_distance, poincare_slope and pull_deficit of ball.h without branches.
  const float gap = static_cast<float>(u_gap), inverse = static_cast<float>(1.0 / std::sqrt(u_gap)), curvature = static_cast<float>(c);
  const float root_of_c = static_cast<float>(std::sqrt(c));
  const float at_positive = static_cast<float>(scale * p_distance);
  const auto fill = [&](auto arc, float root_c, float factor) {
    for_lanes(pitch, [&](uint32_t t) {
      const float gaps = gap * n.gap[t], root = std::sqrt(sqdist[t]), beyond = std::sqrt(curvature * sqdist[t] + gaps);
      z[t] = at_positive - factor * arc(root_c * (root * (inverse * n.inverse[t])));
      slope[t] = sqdist[t] > 0.0f ? 2.0f / (root * beyond) : 0.0f;
      deficit[t] = gaps / (beyond * (beyond + root_of_c * root));
    });
  };
  if (c > 0) {
    const double root_c = std::sqrt(c);
    fill([](float x) { return asinh_positive(x); }, static_cast<float>(root_c), static_cast<float>(2.0 * scale / root_c));
  } else {
    fill([](float x) { return x; }, 1.0f, static_cast<float>(2.0 * scale));
  }
  const uint32_t* left_out = a.left_out + i * (pitch / 32);
  for (uint32_t word = 0; word < pitch / 32; ++word)
    for (uint32_t bits = left_out[word]; bits != 0; bits &= bits - 1) z[word * 32 + std::countr_zero(bits)] = -1e30f;

  float lanes[S::kF] = {};  // the largest exponent, or 0, the positive's own
  for (uint32_t t = 0; t < pitch; t += S::kF)
    for (int lane = 0; lane < S::kF; ++lane) lanes[lane] = z[t + lane] > lanes[lane] ? z[t + lane] : lanes[lane];
  float most = 0;
  for (int lane = 0; lane < S::kF; ++lane) most = lanes[lane] > most ? lanes[lane] : most;
  for_lanes(pitch, [&](uint32_t t) { w[t] = z[t] < -1e29f ? 0.0f : exp_nonpositive(z[t] - most); });
  const DotPair sums = sum_and_dot<S>(w, z, pitch);  // Σ e^(z − most), Σ z·e^(z − most)
  const double total = std::exp(static_cast<double>(-most)) + sums.first;
  const float normal = static_cast<float>(-scale / total);
  for_lanes(pitch, [&](uint32_t t) { slope[t] = w[t] * normal * slope[t]; });
  a.tape[i] = {sums.first / total * scale * poincare_slope(p_sqdist, u_gap, p_gap, c), c * p_sqdist, sum_and_dot<S>(slope, slope, pitch).first,
               -2.0 * std::sqrt(c) * scale * ((sums.first - sum_and_dot<S>(w, deficit, pitch).second) / total)};
  if (a.loss) a.loss[i] = static_cast<float>(most > 0 ? most + std::log(total) : std::log1p(sums.first));
  if (a.scale_gradient) a.scale_gradient[i] = sums.second / total / scale;
}

template <class S, class T>
HK_INLINE void loss_samples(const SoftmaxLoss& a, const PackedNegatives& n, uint64_t begin, uint64_t end) {
  constexpr uint32_t kTile = 2 * Lanes<S, T>::kWidth;
  constexpr uint64_t kSamples = 32;  // whose squared distances are computed at once, tile by tile, and then used
  thread_local std::vector<float> scratch;
  thread_local std::vector<T> zeros;  // in the place of a sample that there is not
  const uint32_t pitch = a.pitch;
  if (scratch.size() < size_t{pitch} * 4) scratch.resize(size_t{pitch} * 4);
  if (zeros.size() < a.dim) zeros.resize(a.dim);
  float *z = scratch.data(), *w = z + pitch, *deficit = w + pitch, *nowhere = deficit + pitch;
  const T* users = points_of<T>(a.users);
  for (uint64_t block = begin; block < end; block += kSamples) {
    const uint64_t stop = std::min(block + kSamples, end);
    for (uint32_t tile = 0; tile < pitch / kTile; ++tile) {
      const T* columns = static_cast<const T*>(n.columns) + size_t{tile} * kTile * a.dim;
      for (uint64_t i = block; i < stop; i += kRows) {
        const T* rows[kRows];
        float* out[kRows];
        for (uint32_t m = 0; m < kRows; ++m) {
          const uint64_t sample = std::min(i + m, stop - 1);
          rows[m] = a.user_rows[sample] == kNone ? zeros.data() : users + row_of(a.users, a.user_rows[sample]) * a.dim;
          out[m] = i + m < stop ? a.sqdist + sample * pitch + tile * kTile : nowhere;
        }
        sqdist_tile<S, T>(rows, columns, a.dim, out);
      }
    }
    for (uint64_t i = block; i < stop; ++i) weigh_sample<S, T>(a, n, i, z, w, deficit);
  }
}

// begin, end: in units of 32 negatives, whatever the width of a tile.
template <class S>
HK_INLINE void pack_body(const SoftmaxLoss& a, void* columns, uint64_t begin, uint64_t end) {
  constexpr uint64_t kFloats = 16 / Lanes<S, float>::kWidth, kDoubles = 16 / Lanes<S, double>::kWidth;
  if (a.users.f) pack_tiles<S, float>(a, static_cast<float*>(columns), begin * kFloats, end * kFloats);
  else pack_tiles<S, double>(a, static_cast<double*>(columns), begin * kDoubles, end * kDoubles);
}
template <class S>
HK_INLINE void loss_body(const SoftmaxLoss& a, const PackedNegatives& n, uint64_t begin, uint64_t end) {
  if (a.users.f) loss_samples<S, float>(a, n, begin, end);
  else loss_samples<S, double>(a, n, begin, end);
}

// ───────────────────────────── gradient ─────────────────────────────

// Vectors of columns that a block of rows keeps in registers.
template <class S>
constexpr uint32_t kVectors = S::kD == 8 ? 4 : 2;
// A packed row: `dim` rounded up, with zeros.
constexpr uint32_t kPadding = 32;
HK_INLINE uint32_t padded(uint32_t dim) { return (dim + kPadding - 1) / kPadding * kPadding; }

template <class S, class T>
HK_INLINE void pack_row(double* out, const T* row, uint32_t dim) {
  uint32_t k = 0;
  for (; k + S::kD <= dim; k += S::kD) store<S>(out + k, load<S>(row + k));
  for (; k < dim; ++k) out[k] = row[k];
  for (; k < padded(dim); ++k) out[k] = 0;
}

// out[m] = Σ_k coefficients[k][m]·rows[k] for kRows rows m of `width` columns.
template <class S>
HK_INLINE void combine_block(double* const* out, const double* coefficients, const double* rows, uint32_t count, uint32_t width) {
  using D = typename S::D;
  constexpr uint32_t kV = kVectors<S>;
  for (uint32_t base = 0; base < width; base += kV * S::kD) {
    D sum[kRows][kV] = {};
    for (uint32_t k = 0; k < count; ++k) {
      D row[kV];
      for (uint32_t v = 0; v < kV; ++v) row[v] = load<S>(rows + size_t{k} * width + base + v * S::kD);
      for (uint32_t m = 0; m < kRows; ++m) {
        const D coefficient = D{} + coefficients[k * kRows + m];
        for (uint32_t v = 0; v < kV; ++v) sum[m][v] += coefficient * row[v];
      }
    }
    for (uint32_t m = 0; m < kRows; ++m)
      for (uint32_t v = 0; v < kV; ++v) store<S>(out[m] + base + v * S::kD, sum[m][v]);
  }
}

template <class S, class T>
HK_INLINE void pack_negatives(const SoftmaxGradient& a, double* packed, uint64_t begin, uint64_t end) {
  for (uint64_t j = begin; j < end; ++j)
    pack_row<S>(packed + j * padded(a.dim), points_of<T>(a.items) + row_of(a.items, a.negative_rows[j]) * a.dim, a.dim);
}

template <class S, class T, class O>
HK_INLINE void user_rows(const SoftmaxGradient& a, const double* packed, O* gradient, uint64_t begin, uint64_t end) {
  thread_local std::vector<double> scratch;
  const uint32_t dim = a.dim, width = padded(dim), last = a.offsets[end];
  const size_t wanted = size_t{kRows} * (width + a.negatives) + width;
  if (scratch.size() < wanted) scratch.resize(wanted);
  double *parts = scratch.data(), *coefficients = parts + kRows * width, *sum = coefficients + size_t{kRows} * a.negatives;
  double* out[kRows];
  for (uint32_t m = 0; m < kRows; ++m) out[m] = parts + m * width;
  uint32_t ready = a.offsets[begin];  // occurrences before this are in `parts`, the last of them in its end
  uint32_t block = ready;
  const T *users = points_of<T>(a.users), *items = points_of<T>(a.items);
  for (uint64_t row = begin; row < end; ++row) {
    const size_t own = row_of(a.users, a.rows[row]);
    const double gap = a.users.gap[own];
    double on_self = 0;
    std::fill_n(sum, width, 0.0);
    for (uint32_t o = a.offsets[row]; o < a.offsets[row + 1]; ++o) {
      if (o == ready) {
        block = o, ready = std::min(o + kRows, last);
        for (uint32_t m = 0; m < kRows; ++m) {
          const float* slope = a.slope + size_t{a.order[std::min(o + m, last - 1)]} * a.pitch;
          for (uint32_t j = 0; j < a.negatives; ++j) coefficients[size_t{j} * kRows + m] = slope[j];
        }
        combine_block<S>(out, coefficients, packed, a.negatives, width);
      }
      const uint32_t sample = a.order[o];
      const SoftmaxTape& tape = a.tape[sample];
      on_self += tape.pos_slope * (1.0 + tape.pos_pull / gap) + (tape.slope_sum + tape.pull_sum / gap);
      add_rows<S>(sum, -tape.pos_slope, items + row_of(a.items, a.positive_rows[sample]) * dim, -1.0, out[o - block], dim);
    }
    combine_rows<S>(gradient + row * dim, on_self, users + own * dim, 1.0, sum, dim);
  }
}

// The sums of one chunk of samples for kBlock negatives: task = chunk · blocks + block.
template <class S, class T>
HK_INLINE void chunk_sums(const SoftmaxGradient& a, uint64_t begin, uint64_t end) {
  thread_local std::vector<double> scratch;
  const uint32_t dim = a.dim, width = padded(dim), blocks = (a.negatives + kBlock - 1) / kBlock;
  const size_t wanted = size_t{kSampleChunk} * (width + kRows) + size_t{kRows} * width;
  if (scratch.size() < wanted) scratch.resize(wanted);
  double *packed = scratch.data(), *coefficients = packed + size_t{kSampleChunk} * width, *parts = coefficients + kSampleChunk * kRows;
  double* out[kRows];
  for (uint32_t m = 0; m < kRows; ++m) out[m] = parts + m * width;
  for (uint64_t task = begin, chunk = ~uint64_t{0}; task < end; ++task) {
    const uint32_t first = static_cast<uint32_t>(task / blocks) * kSampleChunk, count = std::min(kSampleChunk, a.count - first);
    if (task / blocks != chunk) {
      chunk = task / blocks;
      for (uint32_t i = 0; i < count; ++i) {
        const uint32_t user = a.user_rows[first + i];
        if (user == kNone) std::fill_n(packed + size_t{i} * width, width, 0.0);
        else pack_row<S>(packed + size_t{i} * width, points_of<T>(a.users) + row_of(a.users, user) * dim, dim);
      }
    }
    const uint32_t block = static_cast<uint32_t>(task % blocks) * kBlock, stop = std::min(block + kBlock, a.negatives);
    for (uint32_t j = block; j < stop; j += kRows) {
      double slopes[kRows] = {}, pulls[kRows] = {};
      for (uint32_t i = 0; i < count; ++i) {
        const size_t at = size_t{first + i} * a.pitch + j;  // beyond the negatives slopes are 0, and a pitch is a whole number of kRows
        for (uint32_t m = 0; m < kRows; ++m) {
          const double slope = a.slope[at + m];
          coefficients[i * kRows + m] = slope, slopes[m] += slope, pulls[m] += slope * static_cast<double>(a.sqdist[at + m]);
        }
      }
      combine_block<S>(out, coefficients, packed, count, width);
      for (uint32_t m = 0; m < kRows && j + m < stop; ++m) {
        double* partial = a.partial + (chunk * a.negatives + j + m) * (size_t{dim} + 2);
        std::copy_n(out[m], dim, partial);
        partial[dim] = slopes[m], partial[dim + 1] = a.curvature * pulls[m];
      }
    }
  }
}

template <class S, class T, class O>
HK_INLINE void item_rows(const SoftmaxGradient& a, O* gradient, uint64_t begin, uint64_t end) {
  thread_local std::vector<double> scratch;
  const uint32_t dim = a.dim, chunks = (a.count + kSampleChunk - 1) / kSampleChunk;
  if (scratch.size() < dim) scratch.resize(dim);
  double* sum = scratch.data();
  const T *users = points_of<T>(a.users), *items = points_of<T>(a.items);
  for (uint64_t row = begin; row < end; ++row) {
    const size_t own = row_of(a.items, a.rows[row]);
    const double gap = a.items.gap[own];
    double on_self = 0;
    std::fill_n(sum, dim, 0.0);
    for (uint32_t o = a.offsets[row]; o < a.offsets[row + 1]; ++o) {
      const uint32_t key = a.order[o];
      if (key < a.count) {
        const SoftmaxTape& tape = a.tape[key];
        on_self += tape.pos_slope * (1.0 + tape.pos_pull / gap);
        add_row<S>(sum, -tape.pos_slope, users + row_of(a.users, a.user_rows[key]) * dim, dim);
        continue;
      }
      for (uint32_t chunk = 0; chunk < chunks; ++chunk) {
        const double* partial = a.partial + (size_t{chunk} * a.negatives + (key - a.count)) * (size_t{dim} + 2);
        on_self += partial[dim] + partial[dim + 1] / gap;
        add_row<S>(sum, -1.0, partial, dim);
      }
    }
    combine_rows<S>(gradient + row * dim, on_self, items + own * dim, 1.0, sum, dim);
  }
}

template <class S>
HK_INLINE void negatives_body(const SoftmaxGradient& a, double* packed, uint64_t begin, uint64_t end) {
  if (a.users.f) pack_negatives<S, float>(a, packed, begin, end);
  else pack_negatives<S, double>(a, packed, begin, end);
}
template <class S>
HK_INLINE void users_body(const SoftmaxGradient& a, const double* packed, uint64_t begin, uint64_t end) {
  if (a.users.f) user_rows<S, float>(a, packed, a.gradient, begin, end);
  else user_rows<S, double>(a, packed, a.gradient64, begin, end);
}
template <class S>
HK_INLINE void chunks_body(const SoftmaxGradient& a, uint64_t begin, uint64_t end) {
  if (a.users.f) chunk_sums<S, float>(a, begin, end);
  else chunk_sums<S, double>(a, begin, end);
}
template <class S>
HK_INLINE void items_body(const SoftmaxGradient& a, uint64_t begin, uint64_t end) {
  if (a.users.f) item_rows<S, float>(a, a.gradient, begin, end);
  else item_rows<S, double>(a, a.gradient64, begin, end);
}

HK_DISPATCH(packs, pack_body, (const SoftmaxLoss& a, void* columns, uint64_t begin, uint64_t end), (a, columns, begin, end))
HK_DISPATCH(losses, loss_body, (const SoftmaxLoss& a, const PackedNegatives& n, uint64_t begin, uint64_t end), (a, n, begin, end))
HK_DISPATCH(negatives, negatives_body, (const SoftmaxGradient& a, double* packed, uint64_t begin, uint64_t end), (a, packed, begin, end))
HK_DISPATCH(of_users, users_body, (const SoftmaxGradient& a, const double* packed, uint64_t begin, uint64_t end), (a, packed, begin, end))
HK_DISPATCH(of_chunks, chunks_body, (const SoftmaxGradient& a, uint64_t begin, uint64_t end), (a, begin, end))
HK_DISPATCH(of_items, items_body, (const SoftmaxGradient& a, uint64_t begin, uint64_t end), (a, begin, end))

}  // namespace

void CpuBackend::softmax_loss(const SoftmaxLoss& a) {
  thread_local std::vector<double> scratch;
  const size_t columns_size = size_t{a.pitch} * a.dim, wanted = columns_size + a.pitch;  // two floats in a double
  if (scratch.size() < wanted) scratch.resize(wanted);
  double* columns = scratch.data();
  float *gap = reinterpret_cast<float*>(columns + columns_size), *inverse = gap + a.pitch;
  for (uint32_t j = 0; j < a.pitch; ++j) {
    const double value = j < a.negatives ? a.items.gap[row_of(a.items, a.negative_rows[j])] : 1.0;
    gap[j] = static_cast<float>(value), inverse[j] = static_cast<float>(1.0 / std::sqrt(value));
  }
  const PackedNegatives packed{columns, gap, inverse};
  pool_.run(a.pitch / 32, 1, [&](uint64_t begin, uint64_t end, int) { packs(a, columns, begin, end); });
  pool_.run(a.count, 64, [&](uint64_t begin, uint64_t end, int) { losses(a, packed, begin, end); });
}

void CpuBackend::softmax_gradient(const SoftmaxGradient& a) {
  if (a.of_users) {
    thread_local std::vector<double> packed;
    const size_t wanted = size_t{a.negatives} * padded(a.dim);
    if (packed.size() < wanted) packed.resize(wanted);
    double* rows = packed.data();
    pool_.run(a.negatives, 32, [&](uint64_t begin, uint64_t end, int) { negatives(a, rows, begin, end); });
    pool_.run(*a.row_count, 64, [&](uint64_t begin, uint64_t end, int) { of_users(a, rows, begin, end); });
  } else {
    const uint64_t tasks = uint64_t{(a.count + kSampleChunk - 1) / kSampleChunk} * ((a.negatives + kBlock - 1) / kBlock);
    pool_.run(tasks, 1, [&](uint64_t begin, uint64_t end, int) { of_chunks(a, begin, end); });
    pool_.run(*a.row_count, 128, [&](uint64_t begin, uint64_t end, int) { of_items(a, begin, end); });
  }
}

}  // namespace hk

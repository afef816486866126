// lookahead and lookahead_gradient on the CPU: blocks of rows over threads, float64. In a block, passes along the rows alternate with passes
// over the rows' scalars as vectors (adam.cc says why).
#include <vector>

#include "../ball.h"
#include "cpu_backend.h"
#include "rows.h"
#include "vector_math.h"

namespace hk {
namespace {

constexpr uint32_t kBlock = 8;

template <class S>
HK_INLINE void lookahead_rows(const Lookahead& a, uint64_t begin, uint64_t end) {
  const uint32_t dim = a.dim;
  const double c = a.curvature, rate = a.learning_rate, most = a.tangent ? kMaxTangentNorm : kMaxNorm;
  double sqnorm[kBlock] = {}, w_dot_g[kBlock] = {}, on_w[kBlock], on_g[kBlock], across[kBlock];
  for (uint64_t block = begin; block < end; block += kBlock) {
    const uint32_t count = static_cast<uint32_t>(end - block < kBlock ? end - block : kBlock);
    const float* w[kBlock];
    const float* g[kBlock];  // null: gradient 0
    for (uint32_t j = 0; j < count; ++j) {
      const uint64_t i = block + j;
      if (i + kBlock < end) prefetch_row(a.parameters + size_t{a.rows[i + kBlock]} * dim, dim * sizeof(float));
      if (i + kBlock < end && a.gradient_slot[a.rows[i + kBlock]] != kNone)
        prefetch_row(a.gradient + size_t{a.gradient_slot[a.rows[i + kBlock]]} * dim, dim * sizeof(float));
      if (i + 2 * kBlock < end) __builtin_prefetch(a.gradient_slot + a.rows[i + 2 * kBlock]);
      const uint32_t slot = a.gradient_slot[a.rows[i]];
      w[j] = a.parameters + size_t{a.rows[i]} * dim, g[j] = slot == kNone ? nullptr : a.gradient + size_t{slot} * dim;
      if (g[j] == nullptr || !a.tangent) continue;
      const DotPair products = dot_pair<S>(w[j], g[j], dim);
      sqnorm[j] = products.first, w_dot_g[j] = products.second;
    }
    if (a.tangent) {
      for_lanes(kBlock, [&](uint32_t j) {
        const ExpMap map = exp_map(sqnorm[j], c);
        on_w[j] = 1.0 - rate * (map.along * w_dot_g[j]), on_g[j] = -rate * map.across;
      });
    } else {
      for (uint32_t j = 0; j < kBlock; ++j) on_w[j] = 1.0, on_g[j] = -rate;
    }
    for (uint32_t j = 0; j < count; ++j) {
      double* parameters = a.lookahead_parameters + (block + j) * dim;
      if (g[j] == nullptr) scale_row<S>(parameters, 1.0, w[j], dim);
      else combine_rows<S>(parameters, on_w[j], w[j], on_g[j], g[j], dim);
      sqnorm[j] = dot<S>(parameters, parameters, dim);
      if (a.project && c * sqnorm[j] > most * most) {
        scale_row<S>(parameters, most / std::sqrt(c * sqnorm[j]), parameters, dim);
        sqnorm[j] = dot<S>(parameters, parameters, dim);
      }
    }
    if (a.tangent) {
      for_lanes(kBlock, [&](uint32_t j) { across[j] = exp_map(sqnorm[j], c).across; });
    } else {
      for (uint32_t j = 0; j < kBlock; ++j) across[j] = 1.0;
    }
    for (uint32_t j = 0; j < count; ++j) {
      double* points = a.points + (block + j) * dim;
      scale_row<S>(points, across[j], a.lookahead_parameters + (block + j) * dim, dim);
      a.gap[block + j] = 1.0 - c * dot<S>(points, points, dim);
    }
  }
}

template <class S>
HK_INLINE void gradient_rows(const LookaheadGradient& a, uint64_t begin, uint64_t end) {
  const uint32_t dim = a.dim;
  double sqnorm[kBlock] = {}, products[kBlock] = {}, on_g[kBlock], on_w[kBlock];
  const auto map = [&] {
    for_lanes(kBlock, [&](uint32_t j) {
      const ExpMap at = exp_map(sqnorm[j], a.curvature);
      on_g[j] = at.across, on_w[j] = at.along * products[j];
    });
  };
  for (uint64_t block = begin; block < end; block += kBlock) {
    const uint32_t count = static_cast<uint32_t>(end - block < kBlock ? end - block : kBlock);
    for (uint32_t j = 0; j < count; ++j) {
      prefetch_row(a.parameters + size_t{a.rows[block + j]} * dim, dim * sizeof(float));
      const DotPair dots = dot_pair<S>(a.lookahead_parameters + (block + j) * dim, a.gradient + (block + j) * dim, dim);
      sqnorm[j] = dots.first, products[j] = dots.second;
    }
    map();
    for (uint32_t j = 0; j < count; ++j) {
      const float* w = a.parameters + size_t{a.rows[block + j]} * dim;
      double* g = a.gradient + (block + j) * dim;
      combine_rows<S>(g, on_g[j], g, on_w[j], a.lookahead_parameters + (block + j) * dim, dim);
      const DotPair dots = dot_pair<S>(w, g, dim);
      sqnorm[j] = dots.first, products[j] = dots.second;
    }
    map();
    for (uint32_t j = 0; j < count; ++j) {
      double* g = a.gradient + (block + j) * dim;
      combine_rows<S>(g, on_g[j], g, on_w[j], a.parameters + size_t{a.rows[block + j]} * dim, dim);
    }
  }
}

HK_DISPATCH(lookaheads, lookahead_rows, (const Lookahead& a, uint64_t begin, uint64_t end), (a, begin, end))
HK_DISPATCH(gradients, gradient_rows, (const LookaheadGradient& a, uint64_t begin, uint64_t end), (a, begin, end))

}  // namespace

void CpuBackend::lookahead(const Lookahead& a) {
  pool_.run(*a.row_count, 256, [&](uint64_t begin, uint64_t end, int) { lookaheads(a, begin, end); });
}

void CpuBackend::lookahead_gradient(const LookaheadGradient& a) {
  pool_.run(*a.row_count, 256, [&](uint64_t begin, uint64_t end, int) { gradients(a, begin, end); });
}

}  // namespace hk

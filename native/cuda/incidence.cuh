#pragma once
// Gathering along an Incidence: what its walks have in common. Long rows come in chunks; a chunk's sum is made by a warp, each part of which
// takes an equal share of the incidences, and the sums of a row's chunks are added by a block.
#include "row_parts.cuh"

namespace hk {

struct Walk {
  uint32_t begin, end;
};
// What the lanes of a row walk of chunk number `chunk`: their share of it.
template <class P>
__device__ Walk share_of_chunk(const P& part, const Incidence& in, uint32_t row, uint32_t chunk) {
  const uint32_t begin = in.offsets[row] + (chunk - in.chunk_offsets[row]) * in.chunk, last = in.offsets[row + 1];
  const uint32_t end = last - begin < in.chunk ? last : begin + in.chunk, share = (end - begin + P::kRows - 1) / P::kRows;
  const uint32_t from = begin + part.place * share, to = from + share;
  return {from < end ? from : end, to < end ? to : end};
}

// finish(row, column, the sum over the row's chunks) for the long rows that `wanted` agrees to. A block per row: every part of a warp adds
// chunks at equal distances, then all warps' sums are added in order.
constexpr uint32_t kHubWarps = 16;
template <class Dim, class Wanted, class Finish>
__device__ void sum_chunks(const Incidence& in, const double* partial, uint32_t columns, const Wanted& wanted, const Finish& finish) {
  using P = Part<Dim>;
  const P part{Dim(columns)};
  __shared__ double sums[kHubWarps][P::kColumns * P::kPerRow];
  const uint32_t warp = threadIdx.y;
  for (uint32_t i = blockIdx.x; i < in.longs; i += gridDim.x) {
    const uint32_t row = in.long_rows[i], begin = in.chunk_offsets[row], end = in.chunk_offsets[row + 1];
    if (!wanted(row)) continue;
    part.turns([&](uint32_t base) {
      double sum[P::kColumns] = {};
      HK_UNROLL_BY(4)
      for (uint32_t chunk = begin + warp * P::kRows + part.place; chunk < end; chunk += kHubWarps * P::kRows)
        part.add(sum, 1.0, partial + size_t{chunk} * part.dim, base);
      __syncwarp();
      part.columns(0, [&](uint32_t j, uint32_t k) {
        const double all = part.over_rows(sum[j]);
        if (part.place == 0) sums[warp][k] = all;
      });
      __syncthreads();
      for (uint32_t k = warp * kWarp + lane_id(); k < P::kColumns * P::kPerRow && base + k < part.dim; k += kHubWarps * kWarp) {
        double all = 0;
        for (uint32_t w = 0; w < kHubWarps; ++w) all += sums[w][k];
        finish(row, base + k, all);
      }
      __syncthreads();
    });
  }
}

}  // namespace hk

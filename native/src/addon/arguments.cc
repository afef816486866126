#include "arguments.h"

namespace hk {

uint32_t check_rows(const char* name, Span<float> rows, uint32_t dim) {
  if (rows.size % dim != 0)
    Arguments::bad_range(name, "length " + std::to_string(rows.size) + " is not a multiple of dim " + std::to_string(dim));
  const size_t count = rows.size / dim;
  if (count > kMaxRows) Arguments::bad_range(name, "has too many rows");
  return static_cast<uint32_t>(count);
}

uint32_t check_points(const char* name, Span<float> rows, uint32_t dim, double curvature) {
  const uint32_t count = check_rows(name, rows, dim);
  for (size_t i = 0; i < count; ++i) {
    double sums[8] = {};  // side by side, for the compiler to make vectors of
    uint32_t k = 0;
    for (; k + 8 <= dim; k += 8)
      for (uint32_t j = 0; j < 8; ++j) sums[j] += double{rows.data[i * dim + k + j]} * double{rows.data[i * dim + k + j]};
    for (; k < dim; ++k) sums[0] += double{rows.data[i * dim + k]} * double{rows.data[i * dim + k]};
    const double sqnorm = (sums[0] + sums[1]) + (sums[2] + sums[3]) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
    if (!std::isfinite(sqnorm)) Arguments::bad_range(name, "row " + std::to_string(i) + " has a coordinate that is not finite");
    if (!(curvature * sqnorm < 1.0))
      Arguments::bad_range(name, "row " + std::to_string(i) + " lies outside the ball of radius 1/√curvature");
  }
  return count;
}

void check_ids(const char* name, Span<uint32_t> ids, uint32_t limit, const char* what) {
  for (size_t i = 0; i < ids.size; ++i)
    if (ids.data[i] >= limit)
      Arguments::bad_range(name, "value " + std::to_string(ids.data[i]) + " at index " + std::to_string(i) + " is not below the " +
                                     std::to_string(limit) + " " + what);
}

void check_offsets(const char* name, Span<uint32_t> offsets, size_t last, const char* last_name) {
  if (offsets.size == 0) Arguments::bad_range(name, "must have at least one element");
  if (offsets.data[0] != 0) Arguments::bad_range(name, "must start at 0");
  for (size_t i = 1; i < offsets.size; ++i)
    if (offsets.data[i] < offsets.data[i - 1]) Arguments::bad_range(name, "decreases at index " + std::to_string(i));
  if (offsets.data[offsets.size - 1] != last)
    Arguments::bad_range(name, "must end at the length of " + std::string(last_name) + " (" + std::to_string(last) + "), not " +
                                   std::to_string(offsets.data[offsets.size - 1]));
}

void check_finite(const char* name, Span<float> values) {
  for (size_t i = 0; i < values.size; ++i)
    if (!std::isfinite(values.data[i])) Arguments::bad_range(name, "value at index " + std::to_string(i) + " is not finite");
}

void check_length(const char* name, size_t length, size_t wanted, const char* wanted_text) {
  if (length != wanted)
    Arguments::bad_range(name, "must have " + std::to_string(wanted) + " elements (" + wanted_text + "), not " + std::to_string(length));
}

}  // namespace hk

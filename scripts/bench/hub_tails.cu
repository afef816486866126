// How tails that many heads of a batch share are best added up: our gather (entity_gradient, deterministic), float atomics, and float
// atomics with the hottest rows summed per block first. One batch of Last-FM's sizes with d = 64, where one tail has 11 % of the triples.
//   cmake-js build --target hub_tails, then build/Release/hub_tails [FILE.json]; about 5 s
//   expected: a line per variant, median (smallest – largest) of 30 rounds that take turns, the largest difference from the gather, and
//   in how many numbers a second run differs. Ends with 1 where a difference is above 1e-4.
// The same source against native/cuda/host (target hub_tails_on_host, a small batch) shows that the variants agree; its times mean nothing.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "../../native/cuda/cuda_backend.h"
#include "../../native/cuda/warp.cuh"
#include "../../native/src/backends.h"
#include "../../native/src/csr.h"
#include "../../native/src/step.h"

namespace hk {
namespace {

constexpr uint32_t kDim = 64, kHot = 4, kHalf = kWarp / 2, kHotRows = kWarps * 2 * kHot;
#if defined(HK_CUDA_ON_HOST)
constexpr uint32_t kItems = 600, kEntities = 1500, kRelations = 3, kTriples = 4500, kBatch = 64;
constexpr int kRounds = 2, kCalls = 1;
#else
constexpr uint32_t kItems = 48123, kEntities = 106389, kRelations = 9, kTriples = 349929, kBatch = 4096;
constexpr int kRounds = 30, kCalls = 20;
#endif

// Adds four neighbouring columns of a row; in one instruction where the card has it.
__device__ void add_to(float* to, float4 value) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  atomicAdd(reinterpret_cast<float4*>(to), value);
#else
  atomicAdd(to, value.x), atomicAdd(to + 1, value.y), atomicAdd(to + 2, value.z), atomicAdd(to + 3, value.w);
#endif
}

template <class T>
__device__ float4 scaled(double a, const T* x) {
  return {static_cast<float>(a * x[0]), static_cast<float>(a * x[1]), static_cast<float>(a * x[2]), static_cast<float>(a * x[3])};
}
__device__ float4 operator+(float4 x, float4 y) { return {x.x + y.x, x.y + y.y, x.z + y.z, x.w + y.w}; }

// The entity's own terms, or zero: what the atomics add to.
__global__ void own_terms_kernel(EntityGradient a) {
  for (uint32_t i = first_of_warp(); i < *a.row_count; i += warps_of_grid()) {
    const uint32_t entity = a.rows[i], head = entity < a.items ? a.head_slot[entity] : kNone,
                   item = entity < a.items ? a.item_slot[entity] : kNone;
    for (uint32_t k = lane_id(); k < kDim; k += kWarp) {
      const double own = head == kNone ? 0.0 : a.weight[head] * a.tape.head_gradient[size_t{head} * kDim + k];
      a.gradient[size_t{i} * kDim + k] = static_cast<float>(own) + (item == kNone ? 0.0f : a.item_gradient[size_t{item} * kDim + k]);
    }
  }
}

// A warp takes a head, half a warp every second of its triples. hot_slot (or null): place of an entity among the hot ones, or kNone.
__global__ void scatter_kernel(EntityGradient a, GraphView graph, const uint32_t* hot_slot, const uint32_t* hot_rows) {
  __shared__ float hot[kHotRows][kDim];
  const uint32_t half = lane_id() / kHalf, column = lane_id() % kHalf * 4, thread = threadIdx.y * kWarp + lane_id();
  if (hot_slot)
    for (uint32_t k = thread; k < kHotRows * kDim; k += kWarps * kWarp) hot[k / kDim][k % kDim] = 0;
  __syncthreads();
  for (uint32_t i = first_of_warp(); i < *a.head_count; i += warps_of_grid()) {
    const uint32_t head = a.heads[i], begin = graph.offsets[head], degree = graph.offsets[head + 1] - begin;
    const double weight = a.weight[i];
    for (uint32_t t = half; t < degree; t += 2) {
      const uint32_t tail = graph.tails[begin + t];
      const TripleGradient g = a.tape.triples[a.triple_offsets[i] + t];
      const float4 value = scaled(weight * g.on_midpoint, a.tape.midpoint_gradient + size_t{i} * kDim + column) +
                           scaled(weight * g.on_head, a.entities + size_t{head} * kDim + column) +
                           scaled(weight * g.on_relation, a.relations + size_t{graph.relations[begin + t]} * kDim + column) +
                           scaled(weight * g.on_tail, a.entities + size_t{tail} * kDim + column);
      const uint32_t slot = hot_slot ? hot_slot[tail] : kNone;
      if (slot == kNone) {
        add_to(a.gradient + size_t{a.row_slot[tail]} * kDim + column, value);
      } else {
        float* own = hot[(threadIdx.y * 2 + half) * kHot + slot] + column;  // of this half warp alone
        own[0] += value.x, own[1] += value.y, own[2] += value.z, own[3] += value.w;
      }
    }
  }
  __syncthreads();
  if (!hot_slot) return;
  for (uint32_t k = thread; k < kHot * kDim; k += kWarps * kWarp) {
    float sum = 0;
    for (uint32_t row = k / kDim; row < kHotRows; row += kHot) sum += hot[row][k % kDim];
    if (sum != 0) atomicAdd(a.gradient + size_t{a.row_slot[hot_rows[k / kDim]]} * kDim + k % kDim, sum);
  }
}

// Tails with a long tail of their own: one in nine triples has entity kItems, the others are drawn by squares.
HostGraph random_graph(std::mt19937& random) {
  HostGraph graph;
  std::uniform_real_distribution<double> uniform;
  graph.offsets.push_back(0);
  for (uint32_t item = 0; item < kItems; ++item) {
    const uint32_t degree = 1 + static_cast<uint32_t>(-std::log(1 - uniform(random)) * (double{kTriples} / kItems - 1));
    for (uint32_t t = 0; t < degree; ++t) {
      const double u = uniform(random);
      const uint32_t other = static_cast<uint32_t>(u * u * (kEntities - kItems));
      graph.relations.push_back(t * kRelations / degree), graph.tails.push_back(kItems + (uniform(random) < 1.0 / 9 ? 0 : other));
    }
    graph.offsets.push_back(static_cast<uint32_t>(graph.tails.size()));
  }
  return graph;
}

struct Variant {
  const char* name;
  std::function<void()> run;
  std::vector<double> milliseconds;
  double difference = 0;
  size_t changing = 0;
};

int compare(const char* json) {
  std::mt19937 random(1);
  const std::unique_ptr<Backend> backend = make_cuda_backend();
  Backend& b = *backend;
  const HostGraph host = random_graph(random);
  const DeviceGraph graph(b, host, kEntities, kRelations);
  std::uniform_int_distribution<uint32_t> any_item(0, kItems - 1);
  std::vector<uint32_t> users(kBatch, 0), positives(kBatch), negatives(kBatch);
  for (uint32_t i = 0; i < kBatch; ++i) positives[i] = any_item(random), negatives[i] = any_item(random);
  const StepShape shape{1, kItems, kEntities, kRelations, kDim, kBatch};
  Batch batch(b, shape);
  batch.upload(users.data(), positives.data(), negatives.data(), kBatch);
  BatchLists lists(b, graph, shape, true);
  lists.build(b, graph, batch);

  std::normal_distribution<float> normal;
  const auto random_floats = [&](size_t count) {
    std::vector<float> values(count);
    for (float& value : values) value = 0.1f * normal(random);
    return Buffer<float>(b, values);
  };
  const auto random_doubles = [&](size_t count) {
    std::vector<double> values(count);
    for (double& value : values) value = 0.1 * normal(random);
    return Buffer<double>(b, values);
  };
  const uint32_t heads = kBatch, triples = graph.most_triples(kBatch), touched = lists.touched().capacity();
  const auto entities = random_floats(size_t{kEntities} * kDim), relations = random_floats(kRelations * kDim),
             item_gradient = random_floats(size_t{2 * kBatch} * kDim);
  const auto weight = random_doubles(heads), head_gradient = random_doubles(size_t{heads} * kDim);
  const auto midpoint_gradient = random_doubles(size_t{heads} * kDim), tape_triples = random_doubles(size_t{triples} * 4);
  Buffer<double> partial(b, size_t{graph.in_edges().chunks} * kDim);
  Buffer<float> gradient(b, size_t{touched} * kDim);
  const NeighborhoodTape tape{const_cast<double*>(head_gradient.data()), const_cast<double*>(midpoint_gradient.data()),
                              reinterpret_cast<TripleGradient*>(const_cast<double*>(tape_triples.data())), nullptr, nullptr};
  const EntityGradient a{entities.data(), relations.data(), graph.in_edges(), lists.heads().rows(), lists.heads().count(),
                         lists.heads().slot(), lists.triple_offsets(), weight.data(), tape, lists.rows().items.slot(),
                         item_gradient.data(), lists.touched().rows(), lists.touched().count(), lists.touched().slot(), touched, kItems,
                         kEntities, kDim, partial.data(), gradient.data()};

  // The hottest tails of the batch.
  std::vector<uint32_t> distinct = positives, count(kEntities, 0), hot(kEntities), hot_slot(kEntities, kNone);
  std::sort(distinct.begin(), distinct.end());
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  uint32_t in_batch = 0;
  for (const uint32_t head : distinct)
    for (uint32_t t = host.offsets[head]; t < host.offsets[head + 1]; ++t) ++count[host.tails[t]], ++in_batch;
  for (uint32_t e = 0; e < kEntities; ++e) hot[e] = e;
  std::partial_sort(hot.begin(), hot.begin() + kHot, hot.end(), [&](uint32_t x, uint32_t y) { return count[x] > count[y]; });
  hot.resize(kHot);
  for (uint32_t i = 0; i < kHot; ++i) hot_slot[hot[i]] = i;
  const Buffer<uint32_t> device_hot(b, hot), device_hot_slot(b, hot_slot);
  b.synchronize();

  const auto scatter = [&](const uint32_t* slots) {
    const dim3 block(kWarp, kWarps);
    launch("own terms", own_terms_kernel, blocks_for(touched, kWarps), block, 0, nullptr, a);
    launch("scatter", scatter_kernel, blocks_for(heads, kWarps), block, 0, nullptr, a, graph.view(), slots, device_hot.data());
  };
  Variant variants[] = {{"entity-major gather", [&] { b.entity_gradient(a); }, {}},
                        {"float atomics", [&] { scatter(nullptr); }, {}},
                        {"float atomics, hottest rows per block first", [&] { scatter(device_hot_slot.data()); }, {}}};
  const auto finish = [&] {
    b.synchronize();
    check_cuda(cudaStreamSynchronize(nullptr), "hub_tails");
  };
  const size_t rows = [&] {
    uint32_t n = 0;
    b.download(&n, lists.touched().count(), sizeof(n));
    return n;
  }();
  const auto result_of = [&](const Variant& variant) {
    variant.run(), finish();
    std::vector<float> out(rows * kDim);
    b.download(out.data(), gradient.data(), out.size() * sizeof(float));
    return out;
  };
  const std::vector<float> expected = result_of(variants[0]);
  float largest = 0;
  for (const float value : expected) largest = std::max(largest, std::abs(value));
  for (Variant& variant : variants) {
    const std::vector<float> one = result_of(variant), two = result_of(variant);
    for (size_t i = 0; i < one.size(); ++i) {
      variant.difference = std::max(variant.difference, static_cast<double>(std::abs(one[i] - expected[i]) / largest));
      variant.changing += one[i] != two[i];
    }
  }
  for (int round = 0; round <= kRounds; ++round)
    for (Variant& variant : variants) {
      const auto start = std::chrono::steady_clock::now();
      for (int call = 0; call < kCalls; ++call) variant.run();
      finish();
      const double ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count() / kCalls;
      if (round > 0) variant.milliseconds.push_back(ms);  // the first one warms up
    }

  std::printf("%u heads, %u triples, %zu rows; the hottest tails have %u, %u, %u, %u\n", static_cast<uint32_t>(distinct.size()), in_batch,
              rows, count[hot[0]], count[hot[1]], count[hot[2]], count[hot[3]]);
  std::string document;
  bool agree = true;
  for (Variant& variant : variants) {
    std::vector<double>& ms = variant.milliseconds;
    std::sort(ms.begin(), ms.end());
    std::printf("%-46s %8.4f ms (%.4f – %.4f), off by %.1e, %zu numbers change\n", variant.name, ms[ms.size() / 2], ms.front(), ms.back(),
                variant.difference, variant.changing);
    agree = agree && variant.difference <= 1e-4;
    char line[256];
    std::snprintf(line, sizeof(line), "    \"%s\": {\"median\": %.6g, \"smallest\": %.6g, \"largest\": %.6g, \"changing\": %zu}", variant.name,
                  ms[ms.size() / 2], ms.front(), ms.back(), variant.changing);
    document += (document.empty() ? "" : ",\n") + std::string(line);
  }
  if (json) {
    std::FILE* file = std::fopen(json, "w");
    if (!file) return std::perror(json), 1;
    std::fprintf(file, "{\n  \"device\": \"%s\",\n  \"heads\": %zu,\n  \"triples\": %u,\n  \"rows\": %zu,\n  \"hottest\": %u,\n",
                 cuda_status().device.c_str(), distinct.size(), in_batch, rows, count[hot[0]]);
    std::fprintf(file, "  \"milliseconds\": {\n%s\n  }\n}\n", document.c_str());
    std::fclose(file);
  }
  return agree ? 0 : 1;
}

}  // namespace
}  // namespace hk

int main(int argc, char** argv) {
  try {
    return hk::compare(argc > 1 ? argv[1] : nullptr);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "hub_tails: %s\n", e.what());
    return 1;
  }
}

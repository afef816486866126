#pragma once
// The kernels as single calls on host memory: upload, launch, download. What `hyper-know/kernels` runs; tests go through here too.
// Arguments are checked by the caller (addon/kernels_wrap.cc).
#include <cstdint>

#include "backend.h"

namespace hk {

struct Rows {  // a host matrix
  const float* data;
  uint32_t count;
};
struct HostGraphView {  // item → triples, host memory
  const uint32_t* offsets;
  const uint32_t* relations;
  const uint32_t* tails;
  uint32_t items, triples;
};
struct HostSamples {
  const uint32_t* users;
  const uint32_t* positives;
  const uint32_t* negatives;  // one per sample; or `shared` of them, for all samples
  uint32_t count;
  uint32_t shared = 0;                 // 0: Eq. 3; else sampled softmax over so many negatives
  const uint32_t* left_out = nullptr;  // [count, ⌈shared / 32⌉] as in SharedNegatives
};
// ∇J_inner of all rows, the losses, and ∂J_outer/∂β, as a training step has them. All host memory.
struct HostStep {
  float* loss;             // [count of inner] L_R
  double* scale_gradient;  // [1] ∂J_inner/∂scale
  float* users;            // [users, dim]
  float* entities;         // [entities, dim]
  float* relations;        // [relations, dim]
  float* hypergradient;    // [items]
};

void poincare_distance(Backend& backend, const float* x, const float* y, uint32_t pairs, uint32_t dim, double curvature, float* distance);

void poincare_distance_gradient(Backend& backend, const float* x, const float* y, const float* upstream, uint32_t pairs, uint32_t dim,
                                double curvature, float* grad_x, float* grad_y);

// attention: Σ degree of `items` values.
void neighborhood(Backend& backend, Rows entities, Rows relations, uint32_t dim, const HostGraphView& graph, const uint32_t* items,
                  uint32_t count, double curvature, double temperature, float* midpoint, float* attention, float* distance);

// grad_entities [entities, dim] and grad_relations [relations, dim] of Σ upstream_i·L_K(items_i).
void neighborhood_gradient(Backend& backend, Rows entities, Rows relations, uint32_t dim, const HostGraphView& graph, const uint32_t* items,
                           uint32_t count, const float* upstream, double curvature, double temperature, float* grad_entities,
                           float* grad_relations);

// One value per item. Throws Error(ERR_HK_RANGE) if Θ̃ leaves the ball.
void hypergradient(Backend& backend, Rows users, Rows entities, Rows relations, uint32_t dim, const HostGraphView& graph, const float* beta,
                   const HostSamples& inner, const HostSamples& outer, double inner_learning_rate, double curvature, float* gradient);

// A training step but for what it does with its gradients, for tests; distances are `scale` times those of the curvature.
void bilevel_step(Backend& backend, Rows users, Rows entities, Rows relations, uint32_t dim, const HostGraphView& graph, const float* beta,
                  const HostSamples& inner, const HostSamples& outer, double inner_learning_rate, double curvature, double scale,
                  const HostStep& out);

// prepared: of these items, made by a backend of the same kind, or null.
void top_k(Backend& backend, Rows users, Rows items, uint32_t dim, uint32_t k, const uint32_t* exclude_offsets,
           const uint32_t* exclude_items, double curvature, uint32_t* out_items, float* out_distances,
           const PreparedItems* prepared = nullptr);

}  // namespace hk

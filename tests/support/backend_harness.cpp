#include "tests/support/backend_harness.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/random.h"
#include "tests/support/backends.h"

namespace katman::testing {
namespace {

constexpr uint64_t seed = 20;

std::vector<float> values_of(const Operand& operand, size_t index) {
  if (!operand.values.empty()) return operand.values;
  std::vector<float> values(operand.shape.elements());
  const Key key = Key(seed).at(index);
  for (size_t e = 0; e < values.size(); ++e)
    values[e] = static_cast<float>(random_normal(key, e) * operand.scale);
  return values;
}

Tensor upload(Backend& backend, const std::vector<float>& values, const Shape& shape, DType dtype) {
  Tensor t = backend.empty(shape, dtype);
  if (dtype == DType::f32) {
    backend.upload(values.data(), t);
  } else if (dtype == DType::i32) {
    const std::vector<int32_t> integers(values.begin(), values.end());
    backend.upload(integers.data(), t);
  } else {
    std::vector<bf16> halves(values.size());
    std::ranges::transform(values, halves.begin(), [](float v) { return bf16(v); });
    backend.upload(halves.data(), t);
  }
  return t;
}

std::vector<float> download(Backend& backend, const Tensor& t) {
  std::vector<float> values(t.elements());
  if (t.dtype() == DType::f32) {
    backend.download(t, values.data());
  } else {
    std::vector<bf16> halves(values.size());
    backend.download(t, halves.data());
    std::ranges::transform(halves, values.begin(), [](bf16 v) { return static_cast<float>(v); });
  }
  return values;
}

// The operands on one backend: activations in `dtype`, but always with values that `rounded` holds.
std::vector<Tensor> place(Backend& backend, const std::vector<Operand>& operands, DType dtype,
                          DType rounded) {
  std::vector<Tensor> tensors;
  for (size_t i = 0; i < operands.size(); ++i) {
    const Operand& operand = operands[i];
    const bool activation = operand.kind == Operand::Kind::activation;
    std::vector<float> values(operand.shape.elements(), std::numeric_limits<float>::quiet_NaN());
    if (operand.input) values = values_of(operand, i);
    if (activation && rounded == DType::bf16)
      std::ranges::transform(values, values.begin(),
                             [](float v) { return static_cast<float>(bf16(v)); });
    const DType type = activation                           ? dtype
                       : operand.kind == Operand::Kind::i32 ? DType::i32
                                                            : DType::f32;
    tensors.push_back(upload(backend, values, operand.shape, type));
  }
  return tensors;
}

std::vector<std::vector<float>> outputs(Backend& backend, const std::vector<Operand>& operands,
                                        const std::vector<Tensor>& tensors) {
  backend.sync();
  std::vector<std::vector<float>> values;
  for (size_t i = 0; i < operands.size(); ++i)
    if (operands[i].output) values.push_back(download(backend, tensors[i]));
  return values;
}

std::vector<std::vector<float>> run(Backend& backend, const std::vector<Operand>& operands,
                                    const Call& call, DType dtype, DType rounded) {
  const std::vector<Tensor> tensors = place(backend, operands, dtype, rounded);
  call(backend, tensors);
  return outputs(backend, operands, tensors);
}

struct Distance {
  double largest = 0, mean = 0;  // mean: root of the mean square
};
Distance distance(const std::vector<float>& x, const std::vector<float>& truth) {
  Distance d;
  for (size_t e = 0; e < x.size(); ++e) {
    const double difference = std::abs(static_cast<double>(x[e]) - truth[e]);
    // A NaN must not lose every comparison.
    d.largest = std::isnan(difference) ? INFINITY : std::max(d.largest, difference);
    d.mean += difference * difference / static_cast<double>(x.size());
  }
  d.mean = std::isnan(d.mean) ? INFINITY : std::sqrt(d.mean);
  return d;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

Operand make(Operand::Kind kind, Shape shape, bool input, bool output, double scale) {
  return {kind, shape, input, output, scale, {}};
}

}  // namespace

Operand in(Shape s, double scale) { return make(Operand::Kind::activation, s, true, false, scale); }
Operand in_f32(Shape s, double scale) { return make(Operand::Kind::f32, s, true, false, scale); }
Operand in_i32(const std::vector<int>& values) {
  Operand o = make(Operand::Kind::i32, {static_cast<int64_t>(values.size())}, true, false, 1);
  o.values.assign(values.begin(), values.end());
  return o;
}
Operand out(Shape s) { return make(Operand::Kind::activation, s, false, true, 1); }
Operand out_f32(Shape s) { return make(Operand::Kind::f32, s, false, true, 1); }
Operand inout(Shape s, double scale) {
  return make(Operand::Kind::activation, s, true, true, scale);
}
Operand inout_f32(Shape s, double scale) { return make(Operand::Kind::f32, s, true, true, scale); }

std::string to_string(const Subject& subject) {
  std::string kind = subject.kind;
  std::ranges::replace(kind, ':', '_');
  return kind + "_" + name_of(subject.dtype);
}

std::vector<Subject> all_subjects() {
  std::vector<Subject> subjects;
  for (const char* kind : {"reference", "cpu", "emulated", "cuda:0"})
    for (const DType dtype : {DType::f32, DType::bf16}) subjects.push_back({kind, dtype});
  return subjects;
}

void check_against_reference(const Subject& subject, const std::string& what,
                             const std::vector<Operand>& operands, const Call& call, double slack,
                             double floor) {
  const auto reference = make_backend("reference");
  const auto backend = test_backend(subject.kind, subject.threads);
  const auto truth = run(*reference, operands, call, DType::f32, subject.dtype);
  const auto rounded = run(*reference, operands, call, subject.dtype, subject.dtype);
  const auto found = run(*backend, operands, call, subject.dtype, subject.dtype);
  const auto again = run(*backend, operands, call, subject.dtype, subject.dtype);
  for (size_t i = 0; i < truth.size(); ++i) {
    const std::vector<float> zero(truth[i].size(), 0.0f);
    const Distance size = distance(truth[i], zero), allowed = distance(rounded[i], truth[i]);
    const Distance is = distance(found[i], truth[i]);
    const std::string repro = fmt::format("repro: {} output {} of {}, threads {}, seed {}", what, i,
                                          to_string(subject), subject.threads, seed);
    EXPECT_TRUE(std::isfinite(size.largest)) << "the reference left poison; " << repro;
    EXPECT_LE(is.largest, floor * size.largest + slack * allowed.largest) << repro;
    EXPECT_LE(is.mean, floor * size.mean + slack * allowed.mean) << repro;
    EXPECT_TRUE(same_bits(found[i], again[i])) << "two runs differ; " << repro;
  }
}

std::vector<std::byte> output_bytes(const Subject& subject, const std::vector<Operand>& operands,
                                    const Call& call) {
  const auto backend = test_backend(subject.kind, subject.threads);
  std::vector<std::byte> bytes;
  for (const auto& values : run(*backend, operands, call, subject.dtype, subject.dtype)) {
    const auto raw = std::as_bytes(std::span(values));
    bytes.insert(bytes.end(), raw.begin(), raw.end());
  }
  return bytes;
}

void check_against_differences(const std::string& what, const std::vector<Operand>& operands,
                               const Call& forward, const Gradients& backward) {
  const auto backend = make_backend("reference");
  // The functional: a fixed random weight for every output element.
  std::vector<Tensor> dout;
  std::vector<std::vector<float>> weights;
  for (size_t i = 0; i < operands.size(); ++i) {
    if (!operands[i].output) continue;
    weights.push_back(
        values_of(make(Operand::Kind::f32, operands[i].shape, true, false, 1), 77 + i));
    dout.push_back(upload(*backend, weights.back(), operands[i].shape, DType::f32));
  }
  std::vector<Tensor> tensors = place(*backend, operands, DType::f32, DType::f32);
  const auto functional = [&] {
    forward(*backend, tensors);
    double total = 0;
    const auto values = outputs(*backend, operands, tensors);
    for (size_t i = 0; i < values.size(); ++i)
      for (size_t e = 0; e < values[i].size(); ++e) total += double{values[i][e]} * weights[i][e];
    return total;
  };
  functional();
  const std::vector<Tensor> gradients = backward(*backend, tensors, dout);
  size_t next = 0;
  for (size_t i = 0; i < operands.size(); ++i) {
    if (!operands[i].input || operands[i].kind == Operand::Kind::i32) continue;
    const std::vector<float> gradient = download(*backend, gradients.at(next++));
    const double size = distance(gradient, std::vector<float>(gradient.size(), 0.0f)).largest;
    EXPECT_GT(size, 0) << what << ": operand " << i << " has no gradient at all";
    float* x = tensors[i].data<float>();
    const size_t stride = std::max<size_t>(1, gradient.size() / 40);
    for (size_t e = 0; e < gradient.size(); e += stride) {
      constexpr float h = 1.0f / 128;
      const float centre = x[e];
      x[e] = centre + h;
      const double above = functional();
      x[e] = centre - h;
      const double below = functional();
      x[e] = centre;
      EXPECT_NEAR((above - below) / (2 * h), gradient[e], 2e-3 * size + 2e-3)
          << "repro: " << what << " operand " << i << " element " << e << " seed " << seed;
    }
  }
}

}  // namespace katman::testing

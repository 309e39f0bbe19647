// Holds one operation of a backend against the reference: same inputs, poisoned outputs, a
// tolerance measured from the reference itself, two runs with the same bits.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/backend.h"

namespace katman::testing {

// One tensor of a call. Activations take the type under test; the others are what they say.
struct Operand {
  enum class Kind { activation, f32, i32 } kind = Kind::activation;
  Shape shape;
  bool input = true, output = false;  // an output that is not an input starts as NaN
  double scale = 1;                   // inputs are normal with this deviation
  std::vector<float> values = {};     // instead of random ones
};
Operand in(Shape shape, double scale = 1);
Operand in_f32(Shape shape, double scale = 1);
Operand in_i32(const std::vector<int>& values);
Operand out(Shape shape);
Operand out_f32(Shape shape);
Operand inout(Shape shape, double scale = 1);
Operand inout_f32(Shape shape, double scale = 1);

using Call = std::function<void(Backend&, const std::vector<Tensor>&)>;

struct Subject {
  std::string kind;  // as for make_backend
  DType dtype = DType::f32;
  int threads = 0;
};
std::string to_string(const Subject& subject);  // "cpu_BF16"
// Every backend in f32 and bf16; those that this machine lacks (see why_absent) too.
std::vector<Subject> all_subjects();

// Let truth be the reference in f32 on inputs rounded to the subject's type. Fails, with a line
// that reproduces it, unless the subject's largest and root-mean-square distance to truth stay
// within `floor` of truth's size plus `slack` times the distance of the reference in the subject's
// type, no output is NaN, and a second run gives the same bits.
void check_against_reference(const Subject& subject, const std::string& what,
                             const std::vector<Operand>& operands, const Call& call,
                             double slack = 2.5, double floor = 1e-5);

// The bytes of every output of the call, one after another.
std::vector<std::byte> output_bytes(const Subject& subject, const std::vector<Operand>& operands,
                                    const Call& call);

// Central differences in f32 on the reference: `forward` fills the operands marked output;
// `backward` adds nothing: it is given the gradient of a random linear functional of those outputs
// (one per output, in order) and returns the gradients of the operands marked input, in order.
using Gradients = std::function<std::vector<Tensor>(Backend&, const std::vector<Tensor>&,
                                                    const std::vector<Tensor>&)>;
void check_against_differences(const std::string& what, const std::vector<Operand>& operands,
                               const Call& forward, const Gradients& backward);

}  // namespace katman::testing

// Hidden states become a class or a choice: fine-tuning as in Radford et al., 2018 (section 3.2).
#pragma once

#include <cstdint>
#include <vector>

#include "core/model/module.h"
#include "core/params.h"

namespace katman {

// What a head tells apart. The sequences of an example follow each other in a batch.
struct TaskShape {
  int64_t sequences = 1;  // of an example
  // Names of the example: the hidden states of its sequences are added and become so many logits.
  // 0: its sequences are the choices, each with one logit.
  int64_t classes = 2;
  float dropout = 0;  // of the hidden states that are looked at

  int64_t outputs() const { return classes ? classes : sequences; }  // logits of an example
};

// Of a micro-batch, on the host.
struct TaskRows {
  // [sequence] the position of the token that stands for the sequence; -1: the example has no such
  // sequence (it has fewer choices than others).
  std::vector<int32_t> extract;
  std::vector<int32_t> labels;  // [example] what is right; -1: not counted
};

// logits = (sum of extracted h) W^T + b and their cross-entropy, on the last stage. The parameters,
// task.weight [classes, hidden] and task.bias [classes] (choices: [1, hidden] and none), are small
// and held whole by every tensor rank; all compute the same.
class TaskHead {
 public:
  TaskHead(const ModelContext& context, Params& params, const TaskShape& shape, int64_t hidden);

  // h [rows (/ tp), hidden], of whole examples. Adds the sum of -log p(label) over examples to
  // loss_sum f32 [1], the same on every tensor rank, and writes the logits to scores f32 [examples,
  // outputs] where there is one. With `dh`, shaped like h, adds the gradient to it and to those of
  // the parameters.
  void loss(const Tensor& h, const Micro& micro, const TaskRows& rows, const Tensor& loss_sum,
            const Tensor& scores, const Tensor& dh) const;

 private:
  bool choices() const { return shape_.classes == 0; }
  // What the head looks at, [examples, hidden] or for choices [sequences, hidden].
  Tensor looked_at(const Tensor& h, const Micro& micro, const TaskRows& rows) const;
  void drop(const Tensor& x, const Micro& micro) const;
  Tensor logits(const Tensor& x, const TaskRows& rows) const;
  void finish(const Tensor& logits, const TaskRows& rows, bool grad, const Tensor& loss_sum) const;
  Tensor backward(const Tensor& dlogits, const Tensor& x) const;
  void spread(const Tensor& dx, const Micro& micro, const TaskRows& rows, const Tensor& dh) const;

  const ModelContext& context_;
  TaskShape shape_;
  const Param& weight_;
  const Param* bias_;  // nullptr for choices: it would be the same for all of them
};

}  // namespace katman

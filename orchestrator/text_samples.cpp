#include "orchestrator/text_samples.h"

#include <utility>

namespace katman {

Samples with_documents(Samples from, int32_t end_of_document) {
  return [from = std::move(from), end_of_document](uint64_t sample, const Sequence& out) {
    from(sample, out);
    if (!out.document_start.empty()) document_starts(out.ids, end_of_document, out.document_start);
  };
}

Samples with_mask(Samples from, const InputMask& mask) {
  return [from = std::move(from), mask](uint64_t sample, const Sequence& out) {
    from(sample, out);
    mask.apply(sample, out.ids, out.targets);
  };
}

InputMask input_mask(const RunSpec& spec, int64_t tokenizer_vocabulary) {
  const auto& data = spec.data();
  InputMask mask;
  mask.fraction = data.mask_fraction();
  mask.token = data.has_mask_token() ? static_cast<int32_t>(data.mask_token())
                                     : static_cast<int32_t>(tokenizer_vocabulary);
  mask.hidden_only = data.mask_loss_only();
  mask.key = Key(spec.seed()).at("input mask");
  return mask;
}

}  // namespace katman

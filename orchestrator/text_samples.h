// Samples of running text as the options of a run's data want them.
#pragma once

#include "data_pipeline/corpus/masking.h"
#include "parallel/pipeline/stage.h"
#include "proto/run.pb.h"

namespace katman {

// `from`, with the starts of documents where a run keeps them apart.
Samples with_documents(Samples from, int32_t end_of_document);
// `from`, with a share of its input behind a mask.
Samples with_mask(Samples from, const InputMask& mask);

// What data.mask_fraction and its like ask for; fraction 0: nothing is hidden.
InputMask input_mask(const RunSpec& spec, int64_t tokenizer_vocabulary);

}  // namespace katman

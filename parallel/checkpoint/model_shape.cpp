#include "parallel/checkpoint/model_shape.h"

namespace katman {

ModelShape to_shape(const GptConfig& c) {
  ModelShape shape;
  shape.set_layers(static_cast<uint32_t>(c.layers));
  shape.set_hidden(static_cast<uint32_t>(c.hidden));
  shape.set_heads(static_cast<uint32_t>(c.heads));
  shape.set_groups(static_cast<uint32_t>(c.groups()));
  shape.set_sequence(static_cast<uint32_t>(c.sequence));
  shape.set_vocabulary(static_cast<uint32_t>(c.vocabulary));
  shape.set_feed_forward(static_cast<uint32_t>(c.ff()));
  shape.set_tied_embedding(c.tied_embedding);
  shape.set_dropout(c.dropout);
  shape.set_norm(static_cast<ModelSpec::Norm>(c.norm));
  shape.set_norm_place(static_cast<ModelSpec::NormPlace>(c.norm_place));
  shape.set_norm_epsilon(c.norm_epsilon);
  shape.set_activation(static_cast<ModelSpec::Activation>(c.activation));
  shape.set_positions(static_cast<ModelSpec::Positions>(c.positions));
  if (c.positions == Positions::rotary) {
    RotarySpec& rotary = *shape.mutable_rotary();
    rotary.set_theta(c.rotary.theta);
    rotary.set_factor(c.rotary.factor);
    rotary.set_low(c.rotary.low);
    rotary.set_high(c.rotary.high);
    rotary.set_original(static_cast<uint32_t>(c.rotary.original));
  }
  shape.set_without_biases(!c.biases);
  shape.set_window(static_cast<uint32_t>(c.window));
  shape.set_window_every(static_cast<uint32_t>(c.window_every));
  shape.set_plain_init(!c.scaled_init);
  shape.set_position_deviation(c.position_deviation);
  return shape;
}

GptConfig to_config(const ModelShape& shape) {
  GptConfig c;
  c.layers = shape.layers();
  c.hidden = shape.hidden();
  c.heads = shape.heads();
  c.kv_groups = shape.groups();
  c.sequence = shape.sequence();
  c.vocabulary = shape.vocabulary();
  c.feed_forward = shape.feed_forward();
  c.tied_embedding = shape.tied_embedding();
  c.dropout = shape.dropout();
  c.norm = static_cast<NormKind>(shape.norm());
  c.norm_place = static_cast<NormPlace>(shape.norm_place());
  c.norm_epsilon = shape.norm_epsilon();
  c.activation = static_cast<Activation>(shape.activation());
  c.positions = static_cast<Positions>(shape.positions());
  if (shape.has_rotary())
    c.rotary = {shape.rotary().theta(), shape.rotary().factor(), shape.rotary().low(),
                shape.rotary().high(), shape.rotary().original()};
  c.biases = !shape.without_biases();
  c.window = shape.window();
  if (shape.window_every()) c.window_every = shape.window_every();
  c.scaled_init = !shape.plain_init();
  if (shape.position_deviation() > 0) c.position_deviation = shape.position_deviation();
  return c;
}

}  // namespace katman

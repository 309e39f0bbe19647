"""The models that both programs know: small, with nothing round about them, and how a run file names their shape."""
import torch
from transformers import (GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, OpenAIGPTConfig,
                          OpenAIGPTLMHeadModel)

LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 32}


def gpt1(vocabulary, sequence, tied):
    shape = {"n_layer": 3, "n_embd": 96, "n_head": 4}
    model = OpenAIGPTLMHeadModel(OpenAIGPTConfig(
        **shape, n_positions=sequence, vocab_size=vocabulary, tie_word_embeddings=tied, embd_pdrop=0, attn_pdrop=0,
        resid_pdrop=0))
    return model, 'preset: "gpt1-tiny" layers: 3 hidden: 96 heads: 4 dropout: 0'


def gpt2(vocabulary, sequence, tied):
    model = GPT2LMHeadModel(GPT2Config(
        n_layer=3, n_embd=96, n_head=4, n_inner=208, n_positions=sequence, vocab_size=vocabulary,
        tie_word_embeddings=tied, bos_token_id=0, eos_token_id=0, embd_pdrop=0, attn_pdrop=0, resid_pdrop=0))
    return model, 'preset: "tiny" layers: 3 hidden: 96 heads: 4 feed_forward: 208'


def llama(vocabulary, sequence, tied):
    model = LlamaForCausalLM(LlamaConfig(
        num_hidden_layers=3, hidden_size=96, num_attention_heads=4, num_key_value_heads=2, intermediate_size=160,
        max_position_embeddings=sequence, vocab_size=vocabulary, tie_word_embeddings=tied, rms_norm_eps=1e-5,
        rope_parameters={"rope_theta": 500.0, **(LLAMA3 if tied else {"rope_type": "default"})}, bos_token_id=0,
        eos_token_id=0))
    scaling = "factor: 8 original: 32" if tied else ""
    return model, ('preset: "llama-tiny" layers: 3 hidden: 96 heads: 4 groups: 2 feed_forward: 160 '
                   f"rotary {{ theta: 500 {scaling} }}")


MODELS = {"gpt1": gpt1, "gpt2": gpt2, "llama": llama}


def fresh(kind, vocabulary, sequence, tied, folder, dtype=torch.float32, noise=0.05):
    """A model with noise in every parameter, so that nothing stays at a 0 or 1 that would hide a mistake; saved to
    `folder`. Returns it in fp32, and the run file's model."""
    torch.manual_seed(11)
    model, shape = MODELS[kind](vocabulary, sequence, tied)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(noise * torch.randn_like(parameter))
    model = model.to(dtype)
    model.save_pretrained(folder)
    return model.float().eval(), f"{shape} sequence: {sequence} tied_embedding: {'true' if tied else 'false'}"

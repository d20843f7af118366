"""The transformer: invariances of attention, positions, padding and cache, and how weights begin."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.testing import assert_close

from gptwright.model.attention import AttentionKernel, attend, rotate
from gptwright.model.cache import KVCache
from gptwright.model.config import ModelConfig
from gptwright.model.rope import rope_table
from gptwright.model.transformer import LanguageModel, ScalarModel, initialise, scalar_from, use_attention

MakeModel = Callable[..., LanguageModel]


def test_rope_dot_product_depends_on_the_distance_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(8, generator=generator), torch.randn(8, generator=generator)
    cos, sin = rope_table(40, 8, 100.0)
    at = torch.stack(
        [rotate(q[None], cos[p], sin[p])[0] @ rotate(k[None], cos[p - 5], sin[p - 5])[0] for p in range(5, 40)]
    )
    assert_close(at, at[0].expand_as(at), rtol=1e-4, atol=1e-5)
    assert abs(float(at[0] - q @ k)) > 0.1


def test_rope_by_hand() -> None:
    """head_dim 4, theta 100: pairs (0, 2) and (1, 3) turn by p and p / 10 radians."""
    cos, sin = rope_table(3, 4, 100.0)
    turned = rotate(torch.tensor([[1.0, 1.0, 0.0, 0.0]]), cos[2], sin[2])
    assert_close(turned, torch.tensor([[-0.4161468, 0.9800666, 0.9092974, 0.1986693]]))


def test_attention_by_hand() -> None:
    """The second query scores its keys ln 3 and 0 after the 1/sqrt(2): weights 3/4 and 1/4. The first sees itself."""
    score = torch.tensor(3.0).log() * 2**0.5
    q = torch.tensor([[[[1.0, 0.0], [1.0, 0.0]]]])
    k = torch.stack((torch.stack((score, torch.tensor(0.0))), torch.zeros(2)))[None, None]
    v = torch.tensor([[[[8.0, 0.0], [0.0, 4.0]]]])
    for kernel in ("fused", "matmul"):
        assert_close(attend(q, k, v, None, kernel), torch.tensor([[[[8.0, 0.0], [6.0, 1.0]]]]))


@pytest.mark.parametrize("family", ["qwen3", "qwen2", "llama"])
def test_both_attention_kernels_agree_on_logits_and_gradients(
    make_model: MakeModel, tokens: torch.Tensor, family: str
) -> None:
    results = []
    for kernel in ("fused", "matmul"):
        model = make_model(family)
        use_attention(model, kernel)
        logits = model(tokens)
        logits.square().mean().backward()
        results.append((logits, [parameter.grad for parameter in model.parameters()]))
    assert_close(results[0], results[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("tokens", [7, 128, 300])
@pytest.mark.parametrize("documents", [False, True])
def test_chunked_attention_equals_torchs_in_value_and_gradient(tokens: int, documents: bool) -> None:
    """Also with a mask of two documents, in rows that are no multiple of a chunk."""
    generator = torch.Generator().manual_seed(3)
    inputs = [torch.randn(2, heads, tokens, 8, generator=generator, requires_grad=True) for heads in (4, 2, 2)]
    mask = None
    if documents:
        segment = torch.arange(tokens) >= tokens // 3
        mask = torch.ones(tokens, tokens, dtype=torch.bool).tril() & (segment[:, None] == segment)
    weight = torch.randn(2, 4, tokens, 8, generator=generator)
    results = []
    for kernel in ("fused", "matmul"):
        out = attend(*inputs, mask, kernel)
        results.append((out, *torch.autograd.grad((out * weight).sum(), inputs)))
    assert_close(results[0], results[1], rtol=1e-4, atol=1e-5)


def test_gradients_of_sharp_attention() -> None:
    """Sharp scores, a common part in keys and values, bfloat16: where two nearly equal numbers are subtracted, rounding
    must cancel. Against float64; taking the mean from the output instead gives 0.055 for q.
    """
    generator = torch.Generator().manual_seed(0)
    q, k, v, weight = (torch.randn(2, 4, 256, 32, generator=generator) for _ in range(4))
    given = [(part * scale + offset).bfloat16() for part, scale, offset in ((q, 3, 0), (k, 3, 3), (v, 1, 3))]

    def gradients(dtype: torch.dtype, kernel: AttentionKernel) -> list[torch.Tensor]:
        inputs = [part.to(dtype).requires_grad_() for part in given]
        out = attend(inputs[0], inputs[1], inputs[2], None, kernel)
        return [found.double() for found in torch.autograd.grad(out, inputs, weight.bfloat16().to(dtype))]

    for exact, found in zip(gradients(torch.float64, "fused"), gradients(torch.bfloat16, "matmul"), strict=True):
        assert float((found - exact).norm()) < 0.035 * float(exact.norm())


def test_a_token_changes_no_earlier_logits(make_model: MakeModel, tokens: torch.Tensor) -> None:
    model = make_model()
    other = tokens.clone()
    other[:, 7] = (other[:, 7] + 1) % 37
    before, after = model(tokens), model(other)
    assert torch.equal(before[:, :7], after[:, :7])
    assert not torch.allclose(before[:, 7:], after[:, 7:])


def test_padding_on_the_right_changes_no_real_position(make_model: MakeModel, tokens: torch.Tensor) -> None:
    model = make_model()
    padded = torch.cat((tokens, torch.full((2, 9), 3)), dim=1)
    assert_close(model(padded)[:, :12], model(tokens), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kernel", ["fused", "matmul"])
def test_cached_logits_equal_a_full_forward_for_rows_of_different_lengths(make_model: MakeModel, kernel: str) -> None:
    model = make_model()
    use_attention(model, kernel)
    ids = torch.randint(37, (3, 14), generator=torch.Generator().manual_seed(2))
    lengths = torch.tensor([4, 1, 7])
    cache = KVCache(model.config, 3, device=ids.device, dtype=torch.float32)
    model(ids[:, :7], cache)  # what stands beyond a row's length is padding, to be written over
    cache.lengths_B = lengths.clone()
    for _ in range(7):
        step = model(ids.gather(1, cache.lengths_B[:, None]), cache)
        for row in range(3):
            seen = int(cache.lengths_B[row]) + 1
            assert_close(step[row, 0], model(ids[row : row + 1, :seen])[0, -1], rtol=1e-4, atol=1e-5)
        cache.lengths_B += 1


def test_cache_keeps_the_rows_asked_for_in_their_order(make_model: MakeModel, tokens: torch.Tensor) -> None:
    model = make_model()
    rows = torch.cat((tokens, tokens.flip(1)))
    cache = KVCache(model.config, 4, device=rows.device, dtype=torch.float32)
    model(rows[:, :8], cache)
    cache.lengths_B[:] = 8
    keep = torch.tensor([3, 0])
    cache.keep(keep)
    step = model(rows[keep, 8:9], cache)
    assert_close(step[:, 0], model(rows[keep, :9])[:, -1], rtol=1e-4, atol=1e-5)


def test_tied_head_is_the_embedding(make_model: MakeModel) -> None:
    tied, untied = make_model(tied=True), make_model(tied=False)
    assert tied.lm_head.weight is tied.model.embed_tokens.weight
    assert untied.lm_head.weight is not untied.model.embed_tokens.weight


def test_same_seed_same_weights(make_model: MakeModel) -> None:
    def weights(seed: int) -> torch.Tensor:
        return torch.cat([parameter.flatten() for parameter in make_model(seed=seed).parameters()])

    assert torch.equal(weights(3), weights(3))
    assert not torch.allclose(weights(3), weights(4))


def test_initial_spread_of_weights() -> None:
    model = LanguageModel(
        ModelConfig(vocab_size=500, context=8, width=128, layers=8, heads=4, kv_heads=4, head_dim=32, hidden=256)
    )
    initialise(model, seed=0)
    block = model.model.layers[5]
    measured = {
        "embedding": (model.model.embed_tokens.weight, 0.02),
        "query": (block.self_attn.q_proj.weight, 128**-0.5),
        "attention out": (block.self_attn.o_proj.weight, 128**-0.5 / 4),  # sqrt(2 * 8) = 4
        "feed-forward out": (block.mlp.down_proj.weight, 256**-0.5 / 4),
    }
    for name, (weight, std) in measured.items():
        assert float(weight.detach().std()) == pytest.approx(std, rel=0.03), name
    assert torch.equal(block.input_layernorm.weight, torch.ones(128))


def test_scalar_model_reads_the_final_hidden_states_and_adds_its_bias(
    make_model: MakeModel, tokens: torch.Tensor
) -> None:
    language = make_model()
    scalar = scalar_from(language, seed=1)
    scalar.bias.fill_(0.75)
    expected = (language.model(tokens) * scalar.score.weight[0]).sum(-1) + 0.75
    assert_close(scalar(tokens), expected)


def test_scalar_trunk_is_a_copy(make_model: MakeModel) -> None:
    language = make_model()
    scalar = scalar_from(language, seed=1)
    with torch.no_grad():
        scalar.model.norm.weight.zero_()
    assert float(language.model.norm.weight.detach().abs().sum()) > 0


def test_scalar_bias_is_not_trained(make_model: MakeModel) -> None:
    assert "bias" not in dict(ScalarModel(make_model().config).named_parameters())

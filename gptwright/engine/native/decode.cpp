// One step of the transformer in model/transformer.py, for one or a few new tokens of some rows, by a team of threads.
//
// A step of a small model is a few hundred operations, each of them shorter than calling it from Python; and torch's
// product of a matrix with one vector reads weights at a fraction of what memory gives. Here the whole step is one call,
// and matrices are laid out so that they are read once, from front to back, for up to eight rows together.
//
// A team shares the outputs of each product, so that every weight is read by one core. Every sum is taken in one order,
// whatever the other rows and the team: a row's logits are the same bits always.
//
// A matrix (out, in) is stored as panels of 16 outputs: [out / 16][in][16] in float32 or in int8, which has a scale for
// each output; in bfloat16 the weights of two inputs stand together, [out / 16][in / 2][16][2]. Both sides are padded
// with zeros.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#if defined(__AVX512F__)
#include <immintrin.h>
#endif
#if defined(_OPENMP)
#include <omp.h>
#endif

namespace {

constexpr int LANES = 16;
typedef float Floats __attribute__((vector_size(64), aligned(4)));
typedef uint32_t Words __attribute__((vector_size(64), aligned(4)));
typedef int32_t Ints __attribute__((vector_size(64), aligned(4)));
typedef int8_t Bytes __attribute__((vector_size(16), aligned(1)));

enum Format { FLOAT32, BFLOAT16, INT8 };
constexpr int64_t WEIGHT_BYTES[] = {4, 2, 1};

struct Matrix {
    const void* panels;
    const float *bias, *scale;  // of each output, or null
    int64_t in, out;
};

struct Layer {
    const float *input_norm, *post_norm, *q_norm, *k_norm;  // the last two or null
    Matrix qkv, out, gate_up, down;
};

}  // namespace

// Must match `_Model` and its parts in decoder.py.
struct Model {
    int64_t width, layers, heads, kv_heads, head_dim, hidden, vocab, format;
    float eps, unused;
    const float *embedding, *cos, *sin, *norm;
    const Layer* layer;
    Matrix head;
};

// New tokens, each at its position of a cache row; those of one row follow each other. keys[l] and values[l] are layer l's
// (cache rows, kv_heads, capacity, head_dim). Logits (wanted, ld_logits) are those after the tokens numbered in `last`,
// whole panels of them. Must match `_News` in decoder.py.
struct News {
    int64_t tokens, capacity, wanted, ld_logits;
    const int64_t *ids, *positions, *rows, *last;
    float *const *keys, *const *values;
    float *logits, *scratch;
};

namespace {

// One of the `size` threads that take a step together.
struct Member {
    int64_t part = 0, size = 1;

    // Whatever the others wrote before they called this can be read now.
    void wait_for_all() const {
#pragma omp barrier
    }
    int64_t first(int64_t items) const { return items * part / size; }
    int64_t end(int64_t items) const { return items * (part + 1) / size; }
};

inline Floats load(const float* from) { return *reinterpret_cast<const Floats*>(from); }
inline void store(float* to, Floats value) { *reinterpret_cast<Floats*>(to) = value; }
inline Floats all(float value) { return Floats{} + value; }

inline float sum(Floats v) {
    typedef float Eight __attribute__((vector_size(32)));
    typedef float Four __attribute__((vector_size(16)));
    Eight a, b;
    std::memcpy(&a, &v, 32);
    std::memcpy(&b, reinterpret_cast<const char*>(&v) + 32, 32);
    a += b;
    Four c, d;
    std::memcpy(&c, &a, 16);
    std::memcpy(&d, reinterpret_cast<const char*>(&a) + 16, 16);
    c += d;
    return (c[0] + c[2]) + (c[1] + c[3]);
}

// e^x to 2 units in the last place: 2^n times a polynomial of the rest (Cephes, expf).
inline Floats exponential(Floats x) {
    x = x < -87.0f ? all(-87.0f) : x;
    x = x > 88.0f ? all(88.0f) : x;
    Floats scaled = x * 1.44269504f;
    Ints n = __builtin_convertvector(scaled + (scaled < 0.0f ? all(-0.5f) : all(0.5f)), Ints);
    Floats whole = __builtin_convertvector(n, Floats);
    Floats r = x - whole * 0.693359375f - whole * -2.12194440e-4f;
    Floats p = all(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    Ints power = (n + 127) << 23;
    Floats two;
    std::memcpy(&two, &power, sizeof two);
    return p * two;
}

// To the nearest bfloat16, ties to even.
inline uint32_t rounded(float value) {
    uint32_t b;
    std::memcpy(&b, &value, 4);
    return (b + 0x7fff + ((b >> 16) & 1)) >> 16;
}

// What a product reads of its input: floats, or pairs of bfloat16 where the processor multiplies those.
#if defined(__AVX512BF16__)
constexpr bool PAIRS = true;
#else
constexpr bool PAIRS = false;
#endif

inline Floats as_floats(Words words) {
    Floats found;
    std::memcpy(&found, &words, sizeof found);
    return found;
}

inline Floats weights(const float* from) { return load(from); }
inline Floats weights(const int8_t* from) {
#if defined(__AVX512F__)  // compilers take the general way below apart into single bytes
    __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    return reinterpret_cast<Floats>(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes)));
#else
    return __builtin_convertvector(__builtin_convertvector(*reinterpret_cast<const Bytes*>(from), Ints), Floats);
#endif
}

// acc[p][b] += panel p's weights times row b's inputs.
template <Format FORMAT, int P, int B>
inline void multiply(const char* panels, int64_t stride, const float* x, int64_t ld, int64_t in, Floats (&acc)[P][B]) {
    if constexpr (FORMAT == BFLOAT16) {
        for (int64_t i = 0; i < in; i += 2) {
            Words w[P];
            for (int p = 0; p < P; p++) w[p] = *reinterpret_cast<const Words*>(panels + p * stride + i * 32);
            for (int b = 0; b < B; b++) {
#if defined(__AVX512BF16__)
                uint32_t pair;
                std::memcpy(&pair, reinterpret_cast<const uint32_t*>(x + b * ld) + i / 2, 4);
                __m512bh factor = reinterpret_cast<__m512bh>(_mm512_set1_epi32(static_cast<int>(pair)));
                for (int p = 0; p < P; p++)
                    acc[p][b] = reinterpret_cast<Floats>(_mm512_dpbf16_ps(
                        reinterpret_cast<__m512>(acc[p][b]), reinterpret_cast<__m512bh>(w[p]), factor));
#else
                for (int p = 0; p < P; p++) {
                    acc[p][b] += as_floats(w[p] << 16) * x[b * ld + i];
                    acc[p][b] += as_floats(w[p] & 0xffff0000u) * x[b * ld + i + 1];
                }
#endif
            }
        }
    } else {
        using Weight = std::conditional_t<FORMAT == INT8, int8_t, float>;
        for (int64_t i = 0; i < in; i++) {
            Floats w[P];
            for (int p = 0; p < P; p++) w[p] = weights(reinterpret_cast<const Weight*>(panels + p * stride) + i * LANES);
            for (int b = 0; b < B; b++)
                for (int p = 0; p < P; p++) acc[p][b] += w[p] * x[b * ld + i];
        }
    }
}

template <Format FORMAT, int P, int B>
inline void some_panels(const Matrix& m, int64_t panel, const float* x, int64_t ldx, float* y, int64_t ldy) {
    int64_t in = (m.in + 1) / 2 * 2, stride = in * LANES * WEIGHT_BYTES[FORMAT];
    Floats acc[P][B] = {};
    multiply<FORMAT, P, B>(static_cast<const char*>(m.panels) + panel * stride, stride, x, ldx, in, acc);
    for (int p = 0; p < P; p++)
        for (int b = 0; b < B; b++) {
            int64_t output = (panel + p) * LANES;
            float* to = y + b * ldy + output;
            store(to, FORMAT == INT8 ? acc[p][b] * load(m.scale + output) : acc[p][b]);
            if (!m.bias) continue;
            // The product above is rounded before the sum, here as in every other instance of this template.
            asm volatile("" ::: "memory");
            store(to, load(to) + load(m.bias + output));
        }
}

// These panels for B rows at a time, `blocks` times: a panel's weights are still near when the next rows need them. More
// panels together hide how long an addition takes; more rows together read each weight less often.
template <Format FORMAT, int P, int B>
void panels_of(const Matrix& m, int64_t panel, int64_t end, int64_t blocks, const float* x, int64_t ldx, float* y,
               int64_t ldy) {
    for (; panel + P <= end; panel += P)
        for (int64_t b = 0; b < blocks * B; b += B) some_panels<FORMAT, P, B>(m, panel, x + b * ldx, ldx, y + b * ldy, ldy);
    if constexpr (P > 1) panels_of<FORMAT, P / 2, B>(m, panel, end, blocks, x, ldx, y, ldy);
}

template <Format FORMAT>
void product_of(const Member& me, const Matrix& m, int64_t rows, const float* x, int64_t ldx, float* y, int64_t ldy) {
    int64_t fours = (m.out + 4 * LANES - 1) / (4 * LANES), panels = (m.out + LANES - 1) / LANES, b = rows / 8 * 8;
    int64_t first = 4 * me.first(fours), end = 4 * me.end(fours) < panels ? 4 * me.end(fours) : panels;
    if (b) panels_of<FORMAT, 2, 8>(m, first, end, b / 8, x, ldx, y, ldy);
    if (rows & 4) panels_of<FORMAT, 4, 4>(m, first, end, 1, x + b * ldx, ldx, y + b * ldy, ldy), b += 4;
    if (rows & 2) panels_of<FORMAT, 6, 2>(m, first, end, 1, x + b * ldx, ldx, y + b * ldy, ldy), b += 2;
    if (rows & 1) panels_of<FORMAT, 8, 1>(m, first, end, 1, x + b * ldx, ldx, y + b * ldy, ldy);
}

// y (rows, ldy) = x (rows, ldx) times the matrix, each member a part of it; y has room for whole panels.
void product(const Member& me, const Model& model, const Matrix& m, int64_t rows, const float* x, int64_t ldx, float* y,
             int64_t ldy) {
    me.wait_for_all();
    if (model.format == FLOAT32) product_of<FLOAT32>(me, m, rows, x, ldx, y, ldy);
    else if (model.format == INT8) product_of<INT8>(me, m, rows, x, ldx, y, ldy);
    else product_of<BFLOAT16>(me, m, rows, x, ldx, y, ldy);
    me.wait_for_all();
}

// A row as products read it, in place.
void prepare(const Model& model, float* row, int64_t size) {
    if (!PAIRS || model.format != BFLOAT16) return;
    for (int64_t i = 0; i < size; i += 2) {
        uint32_t pair = rounded(row[i]) | (i + 1 < size ? rounded(row[i + 1]) << 16 : 0);
        std::memcpy(reinterpret_cast<char*>(row) + 2 * i, &pair, 4);
    }
}

void rms_norm(const float* x, const float* weight, int64_t size, float eps, float* y) {
    Floats some = {};
    int64_t i = 0;
    for (; i + LANES <= size; i += LANES) some += load(x + i) * load(x + i);
    float squares = sum(some);
    for (; i < size; i++) squares += x[i] * x[i];
    float scale = 1.0f / std::sqrt(squares / static_cast<float>(size) + eps);
    for (i = 0; i < size; i++) y[i] = x[i] * scale * weight[i];
}

// Norm where the model has one, then the rotation of its position, into `to`.
void place(const Model& m, const float* x, const float* norm, const float* cos, const float* sin, float* to) {
    float kept[512];
    if (norm) {
        rms_norm(x, norm, m.head_dim, m.eps, kept);
        x = kept;
    }
    int64_t half = m.head_dim / 2;
    for (int64_t i = 0; i < half; i++) {
        float first = x[i], second = x[i + half];
        to[i] = first * cos[i] - second * sin[i];
        to[i + half] = second * cos[i] + first * sin[i];
    }
}

// One head's softmax(q k^T / sqrt(E)) v over `seen` positions.
void attend(const float* q, const float* k, const float* v, int64_t seen, int64_t size, float* scores, float* to) {
    float scale = 1.0f / std::sqrt(static_cast<float>(size)), highest = -INFINITY;
    for (int64_t s = 0; s < seen; s++) {
        const float* key = k + s * size;
        int64_t e = 0;
        Floats acc = {};
        for (; e + LANES <= size; e += LANES) acc += load(q + e) * load(key + e);
        float score = sum(acc);
        for (; e < size; e++) score += q[e] * key[e];
        scores[s] = score *= scale;
        highest = score > highest ? score : highest;
    }
    float total = 0;
    for (int64_t s = 0; s < seen; s += LANES) {
        for (int64_t pad = seen; pad < s + LANES; pad++) scores[pad] = -INFINITY;
        Floats weight = exponential(load(scores + s) - highest);
        store(scores + s, weight);
        for (int i = 0; i < LANES && s + i < seen; i++) total += scores[s + i];
    }
    int64_t e = 0;
    for (; e + LANES <= size; e += LANES) {
        Floats acc = {};
        for (int64_t s = 0; s < seen; s++) acc += load(v + s * size + e) * scores[s];
        store(to + e, acc / total);
    }
    for (; e < size; e++) {
        float acc = 0;
        for (int64_t s = 0; s < seen; s++) acc += v[s * size + e] * scores[s];
        to[e] = acc / total;
    }
}

}  // namespace

extern "C" {

int64_t padded(int64_t size) { return (size + 2 * LANES - 1) / LANES * LANES; }

// Floats of scratch that so many threads need for a step of so many tokens.
int64_t scratch_size(const Model* m, int64_t parts, int64_t tokens, int64_t capacity) {
    int64_t query = m->heads * m->head_dim, kv = m->kv_heads * m->head_dim;
    return tokens * (2 * padded(m->width) + padded(query + 2 * kv) + padded(query) + padded(2 * m->hidden) +
                     padded(m->hidden)) + parts * (padded(query) + padded(capacity));
}
}

namespace {

// One member's part of a step.
void step_of(const Member& me, const Model& m, const News& news) {
    int64_t tokens = news.tokens, capacity = news.capacity;
    const int64_t *positions = news.positions, *rows = news.rows;
    int64_t size = m.head_dim, query = m.heads * size, kv = m.kv_heads * size, group = m.heads / m.kv_heads;
    int64_t ld = padded(m.width), ld_qkv = padded(query + 2 * kv), ld_q = padded(query);
    int64_t ld_gu = padded(2 * m.hidden), ld_h = padded(m.hidden);
    float *x = news.scratch, *h = x + tokens * ld, *qkv = h + tokens * ld, *mixed = qkv + tokens * ld_qkv;
    float *gate_up = mixed + tokens * ld_q, *inner = gate_up + tokens * ld_gu;
    float *q = inner + tokens * ld_h + me.part * (ld_q + padded(capacity)), *scores = q + ld_q;
    int64_t first = me.first(tokens), end = me.end(tokens), heads = tokens * m.kv_heads;
    // Padding behind a row meets weights of 0, and must not be NaN.
    int64_t room = scratch_size(&m, me.size, tokens, capacity);
    std::memset(news.scratch + me.first(room), 0, (me.end(room) - me.first(room)) * sizeof(float));
    me.wait_for_all();
    for (int64_t t = first; t < end; t++) std::memcpy(x + t * ld, m.embedding + news.ids[t] * m.width, m.width * sizeof(float));
    for (int64_t l = 0; l < m.layers; l++) {
        const Layer& layer = m.layer[l];
        for (int64_t t = first; t < end; t++) {
            rms_norm(x + t * ld, layer.input_norm, m.width, m.eps, h + t * ld);
            prepare(m, h + t * ld, m.width);
        }
        product(me, m, layer.qkv, tokens, h, ld, qkv, ld_qkv);
        for (int64_t i = me.first(heads); i < me.end(heads); i++) {
            int64_t t = i / m.kv_heads, g = i % m.kv_heads;
            int64_t at = ((rows[t] * m.kv_heads + g) * capacity + positions[t]) * size;
            const float *cos = m.cos + positions[t] * (size / 2), *sin = m.sin + positions[t] * (size / 2);
            const float* key = qkv + t * ld_qkv + query + g * size;
            place(m, key, layer.k_norm, cos, sin, news.keys[l] + at);
            std::memcpy(news.values[l] + at, key + kv, size * sizeof(float));
        }
        me.wait_for_all();  // a token also sees those of its row that another member has placed
        for (int64_t i = me.first(heads); i < me.end(heads); i++) {
            int64_t t = i / m.kv_heads, g = i % m.kv_heads, at = (rows[t] * m.kv_heads + g) * capacity * size;
            for (int64_t j = g * group; j < (g + 1) * group; j++) {
                place(m, qkv + t * ld_qkv + j * size, layer.q_norm, m.cos + positions[t] * (size / 2),
                      m.sin + positions[t] * (size / 2), q);
                float* to = mixed + t * ld_q + j * size;
                attend(q, news.keys[l] + at, news.values[l] + at, positions[t] + 1, size, scores, to);
            }
        }
        me.wait_for_all();
        for (int64_t t = first; t < end; t++) prepare(m, mixed + t * ld_q, query);
        product(me, m, layer.out, tokens, mixed, ld_q, h, ld);
        for (int64_t t = first; t < end; t++) {
            for (int64_t i = 0; i < m.width; i++) x[t * ld + i] += h[t * ld + i];
            rms_norm(x + t * ld, layer.post_norm, m.width, m.eps, h + t * ld);
            prepare(m, h + t * ld, m.width);
        }
        product(me, m, layer.gate_up, tokens, h, ld, gate_up, ld_gu);
        for (int64_t t = first; t < end; t++) {
            for (int64_t i = 0; i < m.hidden; i += LANES) {  // up's room may be passed: padding has a panel more
                Floats gate = load(gate_up + t * ld_gu + i), up = load(gate_up + t * ld_gu + m.hidden + i);
                Floats value = gate / (1.0f + exponential(-gate)) * up;
                int64_t left = m.hidden - i;
                std::memcpy(inner + t * ld_h + i, &value, (left < LANES ? left : LANES) * sizeof(float));
            }
            prepare(m, inner + t * ld_h, m.hidden);
        }
        product(me, m, layer.down, tokens, inner, ld_h, h, ld);
        for (int64_t i = first * ld; i < end * ld; i++) x[i] += h[i];
    }
    me.wait_for_all();
    for (int64_t w = me.first(news.wanted); w < me.end(news.wanted); w++) {
        rms_norm(x + news.last[w] * ld, m.norm, m.width, m.eps, h + w * ld);
        prepare(m, h + w * ld, m.width);
    }
    product(me, m, m.head, news.wanted, h, ld, news.logits, news.ld_logits);
}

}  // namespace

extern "C" {
// Up to `parts` threads take the step together.
void step(const Model* model, int64_t parts, const News* news) {
#if defined(_OPENMP)
    if (parts > 1) {
#pragma omp parallel num_threads(static_cast<int>(parts))
        step_of(Member{omp_get_thread_num(), omp_get_num_threads()}, *model, *news);
        return;
    }
#endif
    step_of(Member{}, *model, *news);
}
}

/*
 * arrakis.h - a Llama that records what every attention head did, for programs in C and whatever speaks to C.
 *
 * Every function but arrakis_abi and arrakis_last_error returns a status; whatever goes wrong is a status with a message, and the process goes on.
 * Buffers are the caller's: their capacities are given in numbers, not bytes, and nothing is written where one is too small. Numbers are row-major.
 * A handle is a number and not an address: one that was closed, or never opened, is told apart (ARRAKIS_CLOSED) and never followed.
 *
 * Threads: a model may be used by any number of threads at once. A session may be used by one at a time: a second is refused (ARRAKIS_NOT_NOW).
 * A model that is closed stays open until its last session is closed too.
 */
#ifndef ARRAKIS_H
#define ARRAKIS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of this interface; a library of another one speaks otherwise. */
#define ARRAKIS_ABI 1

typedef enum arrakis_status {
    ARRAKIS_OK = 0,
    ARRAKIS_INVALID = 1,       /* an argument is null, out of range or not UTF-8 */
    ARRAKIS_FAILED = 2,        /* the input or the model does not allow it: an unknown token, a hook that is not recorded, a recording over budget */
    ARRAKIS_BAD_FILE = 3,      /* there is no such model, or its file is damaged or not supported */
    ARRAKIS_BUFFER = 4,        /* a buffer is too small; the message says what is needed */
    ARRAKIS_NOT_NOW = 5,       /* another thread uses the session, or nothing has run yet */
    ARRAKIS_CLOSED = 6,        /* the handle is closed, or was never one of its kind */
    ARRAKIS_OUT_OF_MEMORY = 7,
    ARRAKIS_FAULT = 8          /* a fault of the library */
} arrakis_status;

typedef enum arrakis_kernels {
    ARRAKIS_KERNELS_AUTO = 0, ARRAKIS_KERNELS_SCALAR = 1, ARRAKIS_KERNELS_VECTOR = 2, ARRAKIS_KERNELS_AVX2 = 3, ARRAKIS_KERNELS_AVX512 = 4
} arrakis_kernels;

typedef enum arrakis_memory {
    ARRAKIS_MAPPED = 0,        /* weights stay in the file: it must not be cut short while the model is open */
    ARRAKIS_COPIED = 1         /* weights are read into memory: the file may do what it likes */
} arrakis_memory;

typedef struct arrakis_model arrakis_model;
typedef struct arrakis_session arrakis_session;

typedef struct arrakis_shape {
    int32_t layers, heads, kv_heads, head_dim, hidden_size, intermediate_size, vocab_size, context;
} arrakis_shape;

/* ARRAKIS_ABI as the library was built. */
int32_t arrakis_abi(void);

/*
 * What went wrong last on this thread, as UTF-8 with a final zero, cut to the buffer. Returns the bytes that the whole message takes, its zero among them.
 * buffer may be null where capacity is 0.
 */
size_t arrakis_last_error(char *buffer, size_t capacity);

/* Opens a folder with config.json and safetensors, a .gguf file or a llama2.c .bin file. path is UTF-8. */
arrakis_status arrakis_model_open(const char *path, arrakis_memory memory, arrakis_model **model);
arrakis_status arrakis_model_shape(const arrakis_model *model, arrakis_shape *shape);
arrakis_status arrakis_model_close(arrakis_model *model);

/*
 * A session: one sequence, and what its last run recorded. record is "none", "heads", "flow", "all", or hook names such as "z,pattern"
 * (the analyses below need "heads", flows need "flow"). threads 0: all cores.
 */
arrakis_status arrakis_session_open(const arrakis_model *model, const char *record, int32_t threads, arrakis_kernels kernels, arrakis_session **session);
arrakis_status arrakis_session_close(arrakis_session *session);

/* Runs a new sequence, or continues it. logits [vocab_size] are those of the last position; null for none, with capacity 0. */
arrakis_status arrakis_forward(arrakis_session *session, const int32_t *ids, size_t count, float *logits, size_t capacity);
arrakis_status arrakis_append(arrakis_session *session, const int32_t *ids, size_t count, float *logits, size_t capacity);

/*
 * What the last run recorded under a TransformerLens name, such as "blocks.0.attn.hook_pattern". shape receives two or three extents (the third is 0 where
 * there are two) and may be null; values may be null, with capacity 0, to ask for the shape alone.
 */
arrakis_status arrakis_hook(arrakis_session *session, const char *name, float *values, size_t capacity, size_t shape[3]);

/* What every head of a layer writes: norms [heads][tokens], and signed shares [heads][tokens] of what the layer writes. Either may be null. */
arrakis_status arrakis_write_norms(arrakis_session *session, int32_t layer, float *norms, size_t norms_capacity, float *shares, size_t shares_capacity);

/*
 * What every head of a layer reads of a direction: weights [3][heads] of q, k and v, and signed shares [3][heads][tokens]. Either may be null.
 * direction is hidden_size numbers, or null for the unit vector of dimension.
 */
arrakis_status arrakis_read_projections(arrakis_session *session, int32_t layer, int32_t dimension, const float *direction,
                                        double *weights, size_t weights_capacity, float *shares, size_t shares_capacity);

typedef struct arrakis_flow_request {
    int32_t source, destination; /* positions */
    int32_t from, layers;        /* before which layer it begins, and how many it passes */
    int32_t token;               /* the logit of this token is the target; -1: the residual stream at the destination */
    int32_t mlp_is_source;       /* 0: through the MLPs, frozen; 1: MLPs pass nothing on */
} arrakis_flow_request;

typedef struct arrakis_flow_total {
    double total;                /* over all paths */
    double sum, expected;        /* over all sources, and what it should be */
} arrakis_flow_total;

/* Traced flow: its total; the part through every head [layers][heads]; the flow from every position [tokens]. The two buffers may be null. */
arrakis_status arrakis_flow(arrakis_session *session, const arrakis_flow_request *request, arrakis_flow_total *total,
                            double *heads, size_t heads_capacity, double *sources, size_t sources_capacity);

#ifdef __cplusplus
}
#endif

#endif

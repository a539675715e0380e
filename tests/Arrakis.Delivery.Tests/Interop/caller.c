/* The lines of "arrakis-aot model PATH TIER", through arrakis.h. usage: caller PATH TIER HOOK... */
#include "arrakis.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOKENS 7
#define LAYERS 2

static int check(arrakis_status status) {
    if (status != ARRAKIS_OK) {
        char message[512];
        arrakis_last_error(message, sizeof message);
        fprintf(stderr, "status %d: %s\n", (int)status, message);
        exit(1);
    }
    return 0;
}

static void line(const char *name, const void *values, size_t count, size_t size) {
    uint64_t hash = UINT64_C(14695981039346656037);
    const unsigned char *bytes = values;
    for (size_t i = 0; i < count * size; i++)
        hash = (hash ^ bytes[i]) * UINT64_C(1099511628211);
    printf("%s %zu %016" PRIx64 "\n", name, count, hash);
}

/* What must be refused, and with which status. The process goes on after each. */
static void misuse(arrakis_model *model, arrakis_session *session, arrakis_shape shape) {
    float small[1];
    char message[16];
    arrakis_model *none = NULL;
    int32_t unknown = shape.vocab_size;
    printf("misuse %d", (int)arrakis_model_open("/there/is/no/such/model", ARRAKIS_MAPPED, &none));
    printf(" %d", (int)arrakis_model_open(NULL, ARRAKIS_MAPPED, &none));
    printf(" %d", (int)arrakis_model_open("\xff", ARRAKIS_MAPPED, &none));
    printf(" %d", (int)arrakis_forward((arrakis_session *)model, &unknown, 1, NULL, 0));
    printf(" %d", (int)arrakis_forward((arrakis_session *)small, &unknown, 1, NULL, 0));
    printf(" %d", (int)arrakis_forward(session, &unknown, 1, NULL, 0));
    printf(" %d", (int)arrakis_forward(session, NULL, 1, NULL, 0));
    printf(" %d", (int)arrakis_hook(session, "blocks.0.attn.hook_pattern", small, 1, NULL));
    printf(" %d", (int)arrakis_hook(session, "blocks.0.attn.hook_nothing", small, 1, NULL));
    printf(" %d", (int)arrakis_write_norms(session, 99, NULL, 0, NULL, 0));
    printf(" %d", none == NULL && arrakis_last_error(message, sizeof message) > sizeof message && strlen(message) == sizeof message - 1);
    printf("\n");
}

int main(int argc, char **argv) {
    static const int32_t ids[TOKENS] = {1, 17, 4, 31, 17, 4, 9};
    static const arrakis_flow_request request = {1, TOKENS - 1, 0, LAYERS, -1, 0};
    arrakis_model *model;
    arrakis_session *session;
    arrakis_shape s;
    arrakis_flow_total flow;

    if (argc < 3 || arrakis_abi() != ARRAKIS_ABI)
        return 2;
    check(arrakis_model_open(argv[1], ARRAKIS_COPIED, &model));
    check(arrakis_model_shape(model, &s));
    printf("shape %d %d %d %d %d %d %d %d\n", s.layers, s.heads, s.kv_heads, s.head_dim, s.hidden_size, s.intermediate_size, s.vocab_size, s.context);
    check(arrakis_session_open(model, "all", 2, (arrakis_kernels)atoi(argv[2]), &session));
    check(arrakis_model_close(model)); /* stays open for its session */

    size_t parts = (size_t)s.heads * TOKENS;
    float *logits = malloc(sizeof *logits * (size_t)s.vocab_size), *floats = malloc(sizeof *floats * 3 * parts);
    double *doubles = malloc(sizeof *doubles * 3 * (size_t)s.heads), sources[TOKENS];
    check(arrakis_forward(session, ids, TOKENS - 1, logits, (size_t)s.vocab_size));
    line("logits", logits, (size_t)s.vocab_size, sizeof *logits);
    check(arrakis_append(session, ids + TOKENS - 1, 1, logits, (size_t)s.vocab_size));
    line("decoded", logits, (size_t)s.vocab_size, sizeof *logits);
    check(arrakis_forward(session, ids, TOKENS, NULL, 0));
    for (int i = 3; i < argc; i++) {
        size_t shape[3];
        check(arrakis_hook(session, argv[i], NULL, 0, shape));
        size_t count = shape[0] * shape[1] * (shape[2] ? shape[2] : 1);
        float *values = malloc(sizeof *values * count);
        check(arrakis_hook(session, argv[i], values, count, shape));
        line(argv[i], values, count, sizeof *values);
        free(values);
    }
    check(arrakis_write_norms(session, 0, floats, parts, NULL, 0));
    line("norms", floats, parts, sizeof *floats);
    check(arrakis_write_norms(session, 0, NULL, 0, floats, parts));
    line("shares", floats, parts, sizeof *floats);
    check(arrakis_read_projections(session, 1, 7, NULL, doubles, 3 * (size_t)s.heads, floats, 3 * parts));
    line("weights", doubles, 3 * (size_t)s.heads, sizeof *doubles);
    line("reads", floats, 3 * parts, sizeof *floats);
    check(arrakis_flow(session, &request, &flow, doubles, LAYERS * (size_t)s.heads, sources, TOKENS));
    line("flow", &flow, 3, sizeof(double));
    line("through", doubles, LAYERS * (size_t)s.heads, sizeof *doubles);
    line("sources", sources, TOKENS, sizeof *sources);
    misuse(model, session, s);
    check(arrakis_session_close(session));
    printf("closed %d %d\n", (int)arrakis_session_close(session), (int)arrakis_forward(session, ids, TOKENS, NULL, 0));
    free(logits);
    free(floats);
    free(doubles);
    return 0;
}

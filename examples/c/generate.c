// Loads an exported version, calls `generate` and prints the text, with TensorFlow's C API alone. How to build it is in
// the Makefile beside this file.
//
//   ./generate models/a/1 "how do i " SEED [MAX_CHARS]
//
// A SavedModel says in its MetaGraphDef, a protobuf message, which tensors of the graph are the inputs and outputs of a
// signature, and the defaults of those that are not given. Reading so little of a message takes no library: see `find`.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensorflow/c/c_api.h"

enum { MOST = 32 };  // inputs of a signature

typedef struct {  // a part of a message, or none where `data` is NULL
  const uint8_t *data;
  size_t size;
} Part;

static void fail(const char *what, const char *why) {
  fprintf(stderr, "generate: %s: %s\n", what, why);
  exit(1);
}

static void check(const TF_Status *status, const char *what) {
  if (TF_GetCode(status) != TF_OK) fail(what, TF_Message(status));
}

static uint64_t varint(const uint8_t **at) {
  uint64_t value = 0;
  for (int shift = 0;; shift += 7) {
    const uint8_t byte = *(*at)++;
    value |= (uint64_t)(byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
}

// The next field of a message: its number, and its bytes, those of a varint or of a fixed number too.
static int next_field(Part *rest, Part *value) {
  if (!rest->size) return 0;
  const uint8_t *at = rest->data, *end = at + rest->size;
  const uint64_t key = varint(&at);
  size_t size;
  switch (key & 7) {
    case 0: {
      const uint8_t *begin = at;
      varint(&at);
      size = (size_t)(at - begin);
      at = begin;
      break;
    }
    case 1: size = 8; break;
    case 2: size = (size_t)varint(&at); break;
    case 5: size = 4; break;
    default: fail("saved_model.pb", "not a message");
  }
  *value = (Part){at, size};
  *rest = (Part){at + size, (size_t)(end - at) - size};
  return (int)(key >> 3);
}

static Part find(Part message, int field) {
  Part value;
  for (int number; (number = next_field(&message, &value));)
    if (number == field) return value;
  return (Part){NULL, 0};
}

// The value of a key in a map: each entry is a message of a key, 1, and a value, 2.
static Part find_in_map(Part message, int field, const char *key) {
  Part entry;
  for (int number; (number = next_field(&message, &entry));) {
    if (number != field) continue;
    const Part found = find(entry, 1);
    if (found.size == strlen(key) && !memcmp(found.data, key, found.size)) return find(entry, 2);
  }
  return (Part){NULL, 0};
}

// The tensor that a TensorInfo names, such as "generate_prompt:0".
static TF_Output tensor_of(TF_Graph *graph, Part info) {
  const Part name = find(info, 1);
  char op[256];
  snprintf(op, sizeof op, "%.*s", (int)name.size, (const char *)name.data);
  char *colon = strrchr(op, ':');
  if (!colon) fail(op, "names no tensor");
  *colon = 0;
  const TF_Output output = {TF_GraphOperationByName(graph, op), atoi(colon + 1)};
  if (!output.oper) fail(op, "is not in the graph");
  return output;
}

static TF_Tensor *one_value(TF_DataType type, const void *value, size_t size) {
  const int64_t shape[] = {1};  // a batch of one
  TF_Tensor *tensor = TF_AllocateTensor(type, shape, 1, size);
  memcpy(TF_TensorData(tensor), value, size);
  return tensor;
}

static TF_Tensor *one_text(const char *text, size_t size) {
  const int64_t shape[] = {1};
  TF_Tensor *tensor = TF_AllocateTensor(TF_STRING, shape, 1, sizeof(TF_TString));
  TF_StringInit(TF_TensorData(tensor));
  TF_StringCopy(TF_TensorData(tensor), text, size);
  return tensor;
}

// A default, which is a TensorProto of one value.
static TF_Tensor *default_of(Part proto) {
  Part value;
  const Part type = find(proto, 1);
  switch (type.data ? *type.data : 0) {
    case TF_STRING:
      value = find(proto, 8);
      return one_text((const char *)value.data, value.size);
    case TF_FLOAT:
      value = find(proto, 5);
      return value.size == 4 ? one_value(TF_FLOAT, value.data, 4) : NULL;
    case TF_INT32:
    case TF_INT64:
    case TF_BOOL: {
      value = find(proto, *type.data == TF_INT32 ? 7 : *type.data == TF_INT64 ? 10 : 11);
      if (!value.data) return NULL;
      const int64_t wide = (int64_t)varint(&value.data);
      const int32_t narrow = (int32_t)wide;
      const uint8_t truth = wide != 0;
      if (*type.data == TF_INT64) return one_value(TF_INT64, &wide, sizeof wide);
      if (*type.data == TF_INT32) return one_value(TF_INT32, &narrow, sizeof narrow);
      return one_value(TF_BOOL, &truth, sizeof truth);
    }
    default: return NULL;
  }
}

int main(int argc, char **argv) {
  if (argc < 4) {
    fprintf(stderr, "usage: generate VERSION PROMPT SEED [MAX_CHARS]\n");
    return 2;
  }
  const int64_t seed = strtoll(argv[3], NULL, 10);
  const int32_t max_chars = argc > 4 ? atoi(argv[4]) : 60;

  TF_Status *status = TF_NewStatus();
  TF_Graph *graph = TF_NewGraph();
  TF_SessionOptions *options = TF_NewSessionOptions();
  TF_Buffer *meta_graph = TF_NewBuffer();
  const char *tags[] = {"serve"};
  TF_Session *session =
      TF_LoadSessionFromSavedModel(options, NULL, argv[1], tags, 1, graph, meta_graph, status);
  check(status, argv[1]);

  const Part signature = find_in_map((Part){meta_graph->data, meta_graph->length}, 5, "generate");
  if (!signature.data) fail(argv[1], "has no signature generate");
  TF_Output inputs[MOST], output = tensor_of(graph, find_in_map(signature, 2, "text"));
  TF_Tensor *values[MOST], *text = NULL;
  int count = 0;
  Part rest = signature, entry;
  for (int number; (number = next_field(&rest, &entry));) {
    if (number != 1 || count == MOST) continue;  // inputs are field 1
    const Part name = find(entry, 1);
    char input[64];
    snprintf(input, sizeof input, "%.*s", (int)name.size, (const char *)name.data);
    inputs[count] = tensor_of(graph, find(entry, 2));
    values[count] = !strcmp(input, "prompt")      ? one_text(argv[2], strlen(argv[2]))
                    : !strcmp(input, "seed")      ? one_value(TF_INT64, &seed, sizeof seed)
                    : !strcmp(input, "max_chars") ? one_value(TF_INT32, &max_chars, sizeof max_chars)
                                                  : default_of(find_in_map(signature, 4, input));
    if (!values[count++]) fail(input, "has no default that is understood here");
  }

  TF_SessionRun(session, NULL, inputs, values, count, &output, &text, 1, NULL, 0, NULL, status);
  check(status, "generate");
  const TF_TString *written = TF_TensorData(text);
  printf("%.*s\n", (int)TF_StringGetSize(written), TF_StringGetDataPointer(written));

  TF_DeleteTensor(text);
  for (int i = 0; i < count; ++i) TF_DeleteTensor(values[i]);
  TF_CloseSession(session, status);
  TF_DeleteSession(session, status);
  TF_DeleteBuffer(meta_graph);
  TF_DeleteSessionOptions(options);
  TF_DeleteGraph(graph);
  TF_DeleteStatus(status);
  return 0;
}

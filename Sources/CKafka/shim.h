#ifndef WEIR_CKAFKA_SHIM_H
#define WEIR_CKAFKA_SHIM_H

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

// Produces one record with headers or a time of its own. In C since it is called for every such record, and the
// tagged unions that librdkafka wants are cheap to make on the stack here and dear in Swift.
//
// Takes `headers` over (NULL: none), unless it returns an error. `timestamp` 0 is now. Copies key and value.
static inline rd_kafka_resp_err_t weir_kafka_produce(
    rd_kafka_t *client, rd_kafka_topic_t *topic, int32_t partition, const void *key, size_t key_size, const void *value,
    size_t value_size, int64_t timestamp, rd_kafka_headers_t *headers) {
  rd_kafka_vu_t units[7];
  size_t count = 0;
  units[count].vtype = RD_KAFKA_VTYPE_RKT;
  units[count++].u.rkt = topic;
  units[count].vtype = RD_KAFKA_VTYPE_PARTITION;
  units[count++].u.i32 = partition;
  units[count].vtype = RD_KAFKA_VTYPE_MSGFLAGS;
  units[count++].u.i = RD_KAFKA_MSG_F_COPY;
  units[count].vtype = RD_KAFKA_VTYPE_KEY;
  units[count].u.mem.ptr = (void *)key;
  units[count++].u.mem.size = key_size;
  units[count].vtype = RD_KAFKA_VTYPE_VALUE;
  units[count].u.mem.ptr = (void *)value;
  units[count++].u.mem.size = value_size;
  units[count].vtype = RD_KAFKA_VTYPE_TIMESTAMP;
  units[count++].u.i64 = timestamp;
  if (headers) {
    units[count].vtype = RD_KAFKA_VTYPE_HEADERS;
    units[count++].u.headers = headers;
  }
  rd_kafka_error_t *error = rd_kafka_produceva(client, units, count);
  if (!error) return RD_KAFKA_RESP_ERR_NO_ERROR;
  rd_kafka_resp_err_t code = rd_kafka_error_code(error);
  rd_kafka_error_destroy(error);
  return code;
}

#endif

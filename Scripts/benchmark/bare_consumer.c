// A bare librdkafka consumer: reads `count` records from the start of all partitions of a topic in batches and looks at nothing.
// What it costs is what a worker's client costs at least; the rest of a worker's CPU time is the worker's own.
#include <librdkafka/rdkafka.h>
#include <string.h>

// Options: pairs of name and value, ended by NULL. Returns how many records were read, or -1 with a text in `error`.
long bare_consume(const char **options, const char *topic, int partitions, long count, char *error, size_t size) {
  rd_kafka_conf_t *conf = rd_kafka_conf_new();
  for (; options[0]; options += 2)
    if (rd_kafka_conf_set(conf, options[0], options[1], error, size) != RD_KAFKA_CONF_OK) return -1;
  rd_kafka_t *consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, error, size);
  if (!consumer) return -1;
  rd_kafka_poll_set_consumer(consumer);
  rd_kafka_topic_partition_list_t *all = rd_kafka_topic_partition_list_new(partitions);
  for (int p = 0; p < partitions; p++) rd_kafka_topic_partition_list_add(all, topic, p)->offset = 0;
  rd_kafka_resp_err_t failed = rd_kafka_assign(consumer, all);
  rd_kafka_topic_partition_list_destroy(all);
  if (failed) {
    strncpy(error, rd_kafka_err2str(failed), size - 1);
    return -1;
  }
  rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(consumer);
  rd_kafka_message_t *messages[1000];
  long read = 0;
  while (read < count) {
    ssize_t got = rd_kafka_consume_batch_queue(queue, 100, messages, 1000);
    for (ssize_t i = 0; i < got; i++) {
      read += messages[i]->err == RD_KAFKA_RESP_ERR_NO_ERROR;
      rd_kafka_message_destroy(messages[i]);
    }
  }
  rd_kafka_queue_destroy(queue);
  rd_kafka_consumer_close(consumer);
  rd_kafka_destroy(consumer);
  return read;
}

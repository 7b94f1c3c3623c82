// simdjson_scan FILE RUNS   the speed of simdjson on the stream: six fields a record, no query, one thread. Bytes/s, a line a run.
#include <simdjson.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

using namespace simdjson;

int main(int count, char **arguments) {
  FILE *file = count == 3 ? fopen(arguments[1], "rb") : nullptr;
  if (!file) { fprintf(stderr, "usage: simdjson_scan FILE RUNS\n"); return 2; }
  std::vector<char> text(96u << 20);      // as much as weir-microbench takes
  size_t bytes = fread(text.data(), 1, text.size() - SIMDJSON_PADDING, file);
  fclose(file);
  while (bytes > 0 && text[bytes - 1] != '\n') bytes--;
  ondemand::parser parser;
  uint64_t seen = 0;
  for (int run = 0; run <= atoi(arguments[2]); run++) {
    auto start = std::chrono::steady_clock::now();
    for (size_t at = 0; at < bytes;) {
      const char *end = static_cast<const char *>(memchr(text.data() + at, '\n', bytes - at));
      size_t length = end - (text.data() + at);
      ondemand::document record;
      std::string_view id, user, ad, type;
      int64_t time = 0;
      double amount = 0;
      auto error = parser.iterate(text.data() + at, length, text.size() - at).get(record);
      if (!error) error = record["event_id"].get_string().get(id);
      if (!error) error = record["user_id"].get_string().get(user);
      if (!error) error = record["ad_id"].get_string().get(ad);
      if (!error) error = record["event_type"].get_string().get(type);
      if (!error) error = record["event_time"].get_int64().get(time);
      if (!error) error = record["amount"].get_double().get(amount);
      if (!error) seen += id.size() + user.size() + ad.size() + type.size() + uint64_t(time) + uint64_t(amount);
      at += length + 1;
    }
    double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (run > 0) printf("%.0f\n", bytes / seconds);      // the first run warms up
  }
  fprintf(stderr, "%lu\n", static_cast<unsigned long>(seen));
}

#ifndef WEIR_CMICROHTTPD_SHIM_H
#define WEIR_CMICROHTTPD_SHIM_H

#include <microhttpd.h>

// MHD_start_daemon and MHD_get_connection_info take or return what Swift cannot call or read.

// What a server needs. `context` is the first argument of each callback.
struct weir_http {
  int socket;                // listens; the server closes it
  unsigned connections_max;  // open ones
  unsigned idle_seconds;     // without a byte, then a connection is closed
  size_t memory;             // bytes per connection: a request's headers and an answer's
  void *context;
  void *(*request_begins)(void *context, const char *target, struct MHD_Connection *connection);
  MHD_AccessHandlerCallback request_handler;
  MHD_RequestCompletedCallback request_ended;
  MHD_NotifyConnectionCallback connection_changed;
};

// One thread of its own; NULL if it cannot start.
static inline struct MHD_Daemon *weir_http_start(const struct weir_http *http) {
  return MHD_start_daemon(
      MHD_USE_AUTO_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, http->request_handler, http->context,
      MHD_OPTION_LISTEN_SOCKET, http->socket,
      MHD_OPTION_CONNECTION_LIMIT, http->connections_max,
      MHD_OPTION_CONNECTION_TIMEOUT, http->idle_seconds,
      MHD_OPTION_CONNECTION_MEMORY_LIMIT, http->memory,
      MHD_OPTION_URI_LOG_CALLBACK, http->request_begins, http->context,
      MHD_OPTION_NOTIFY_COMPLETED, http->request_ended, http->context,
      MHD_OPTION_NOTIFY_CONNECTION, http->connection_changed, http->context,
      MHD_OPTION_END);
}

// The socket of a connection; -1 if it has none.
static inline int weir_http_socket(struct MHD_Connection *connection) {
  const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
  return info ? info->connect_fd : -1;
}

// An answer that the library copies; NULL without memory.
static inline struct MHD_Response *weir_http_response(const void *bytes, size_t size) {
  return MHD_create_response_from_buffer(size, (void *)bytes, MHD_RESPMEM_MUST_COPY);
}

#endif

// SocketPoller: stream sockets by non-blocking calls and epoll, for both backends. A
// request is tried at once; one that must wait is parked, and tried again when its socket has news.
// Home: the backend's home thread, except where a member says "any thread". Internal to runtime/.
#pragma once

#include <atomic>
#include <vector>

#include "runtime/io.h"

namespace cairn {

class SocketPoller {
 public:
  /// Without descriptors for an epoll every request that would wait ends with -EMFILE.
  SocketPoller();
  ~SocketPoller();
  SocketPoller(const SocketPoller&) = delete;
  SocketPoller& operator=(const SocketPoller&) = delete;

  /// Tries `request`. Returns true if it has ended, with its result set; else it is parked.
  bool start(IoRequest& request);
  /// Tries again what is parked on sockets with news; appends what has ended to `ended`.
  void poll(std::vector<IoRequest*>& ended);
  /// There may be something for poll(); it costs a system call.
  bool wants_poll() const { return parked_ != 0 || events_.load(std::memory_order_relaxed); }
  /// Takes a parked readable back. False: it is not parked.
  bool unpark(IoRequest& request);
  /// The socket will be closed; nothing is parked on it.
  void forget(int fd);

  /// To sleep on: readable while there are events. -1: there is none. Any thread.
  int fd() const { return epoll_fd_; }
  /// fd() was seen readable, so poll() must take the events even if nothing is parked: until then
  /// no sleep would last. Any thread.
  void note_events() { events_.store(true, std::memory_order_relaxed); }

 private:
  struct Socket {
    IoRequest* in = nullptr;   // a parked recv, accept or readable
    IoRequest* out = nullptr;  // a parked send or connect
    uint32_t interest = 0;     // what epoll reports; 0: it does not know the socket
    bool nonblocking = false;
    bool hung_up = false;  // epoll said so
    /// A recv has taken all there was, and epoll will tell of more: no need to ask before. Not once
    /// epoll has told of the end: it may have done so in one with the last bytes.
    bool emptied = false;
    bool ending = false;
  };
  Socket& socket_of(int fd);
  /// Returns false if `request` must wait; else its result is set.
  bool attempt(Socket& socket, IoRequest& request);
  /// Returns 0 or -errno.
  int park(Socket& socket, IoRequest& request);
  int set_interest(Socket& socket, int fd, uint32_t interest);
  int tell_epoll(Socket& socket, int fd, uint32_t interest);
  void take_event(int fd, uint32_t event, std::vector<IoRequest*>& ended);
  void retry(Socket& socket, IoRequest*& parked, std::vector<IoRequest*>& ended);

  const int epoll_fd_;
  std::vector<Socket> sockets_;  // by descriptor
  size_t parked_ = 0;
  std::atomic<bool> events_{false};
};

}  // namespace cairn

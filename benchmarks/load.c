/* The load generator: keep-alive HTTP/1.1 connections to 127.0.0.1, driven from one thread by epoll.

   load PORT CONNECTIONS WARMUP_SECONDS SECONDS RATE EXPECTED REQUESTS

   REQUESTS is a file of whole requests, each after its length as a line of digits; they are sent in turns. RATE 0: each
   connection sends its next request as soon as it has its answer. RATE n: n requests a second at even distances over
   all connections, each timed from the moment when it was due, so that a server that stalls is charged with what it
   made wait. Every answer is read whole; it counts as acknowledged when its status is 200 and EXPECTED stands in it.

   Why not wrk: it drops what is under way when its time is over, so that nobody could say how many messages must be
   stored. This one sends nothing more then, and waits for every answer.

   Prints one line of JSON. Times are of the measured seconds, after the warm-up; counts are of everything. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define MOST_ANSWER (1 << 20)
#define DRAIN_NS (20 * 1000000000LL)
#define MOST_FAILED_CONNECTS 1000

typedef int64_t ns;

typedef struct {
    int fd;
    int waits; /* for an answer */
    ns began;
    char *buffer;
    size_t used, size;
} connection;

static int port, count, idle_count, epoll_fd;
static double warmup_seconds, seconds, rate;
static const char *expected;
static char **requests;
static size_t *lengths, request_count, next_request;
static connection *connections;
static connection **idle;
static ns start, measure_from, deadline, last_answer;
static uint64_t sent, acknowledged, wrong, statuses[600], reconnects, lost, measured, failed_connects, late;
static uint32_t *latencies;
static size_t latency_room;

static void fail(const char *what) {
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static ns now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (ns)t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void read_requests(const char *path) {
    FILE *file = fopen(path, "rb");
    size_t length, room = 0;
    if (!file) fail(path);
    while (fscanf(file, "%zu", &length) == 1) {
        if (fgetc(file) != '\n') fail("requests");
        if (request_count == room) {
            room = room ? room * 2 : 64;
            requests = realloc(requests, room * sizeof *requests);
            lengths = realloc(lengths, room * sizeof *lengths);
        }
        requests[request_count] = malloc(length);
        if (fread(requests[request_count], 1, length, file) != length) fail("requests");
        lengths[request_count++] = length;
    }
    fclose(file);
    if (!request_count) fail("no requests");
}

static void open_connection(connection *c) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    int on = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (;;) {
        c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (c->fd < 0) fail("socket");
        if (!connect(c->fd, (struct sockaddr *)&address, sizeof address)) break;
        close(c->fd);
        if (++failed_connects > MOST_FAILED_CONNECTS) fail("connect");
        usleep(1000);
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    c->used = 0;
    c->waits = 0;
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event)) fail("epoll_ctl");
}

static void send_request(connection *c, ns began) {
    size_t which = next_request++ % request_count;
    c->began = began;
    c->waits = 1;
    c->used = 0;
    sent++;
    /* A request is far smaller than the socket's buffer, so it goes out whole or the connection is gone, which the
       next read tells. */
    if (send(c->fd, requests[which], lengths[which], MSG_NOSIGNAL) != (ssize_t)lengths[which]) shutdown(c->fd, SHUT_RDWR);
}

static void replace(connection *c) {
    if (c->waits) lost++;
    close(c->fd);
    reconnects++;
    open_connection(c);
}

/* The length of the whole answer in the buffer, 0 while it is not whole, -1 when it is none. */
static ssize_t whole(connection *c, int *status, int *closes) {
    char *end = memmem(c->buffer, c->used, "\r\n\r\n", 4), *line, *next;
    size_t head;
    ssize_t length = 0;
    int chunked = 0;
    if (!end) return c->used > 65536 ? -1 : 0;
    head = end + 4 - c->buffer;
    if (head < 16 || memcmp(c->buffer, "HTTP/1.", 7)) return -1;
    *status = atoi(c->buffer + 9);
    *closes = 0;
    for (line = memchr(c->buffer, '\n', head) + 1; line < end; line = next + 1) {
        next = memchr(line, '\n', c->buffer + head - line);
        if (!strncasecmp(line, "content-length:", 15)) length = atol(line + 15);
        else if (!strncasecmp(line, "transfer-encoding: chunked", 26)) chunked = 1;
        else if (!strncasecmp(line, "connection: close", 17)) *closes = 1;
    }
    if (!chunked) return head + length <= c->used ? (ssize_t)(head + length) : 0;
    for (line = c->buffer + head;;) {
        next = memchr(line, '\n', c->buffer + c->used - line);
        if (!next) return 0;
        length = strtol(line, NULL, 16);
        if (length < 0) return -1;
        if (next + 1 + length + 2 > c->buffer + c->used) return 0;
        line = next + 1 + length + 2;
        if (!length) return line - c->buffer;
    }
}

static void answered(connection *c) {
    int status = 0, closes = 0;
    ssize_t length = whole(c, &status, &closes);
    ns t;
    if (!length) return;
    if (length < 0 || !c->waits || (size_t)length != c->used || status < 100 || status > 599) {
        wrong++;
        c->waits = 0;
        replace(c);
    } else {
        t = now();
        c->waits = 0;
        statuses[status]++;
        if (status == 200) {
            if (memmem(c->buffer, length, expected, strlen(expected))) acknowledged++;
            else wrong++;
        }
        /* At a fixed rate whatever was due in time counts, however late its answer: the slow ones are the point. */
        if (c->began >= measure_from && (rate > 0 || t <= deadline)) {
            if (measured == latency_room) {
                latency_room = latency_room ? latency_room * 2 : 65536;
                latencies = realloc(latencies, latency_room * sizeof *latencies);
                if (!latencies) fail("memory");
            }
            latencies[measured++] = (uint32_t)((t - c->began) / 1000);
        }
        last_answer = t;
        if (closes) replace(c);
    }
    t = now();
    if (rate == 0 && t < deadline) send_request(c, t);
    else idle[idle_count++] = c;
}

static void readable(connection *c) {
    ssize_t got;
    if (c->size - c->used < 4096) {
        if (c->size >= MOST_ANSWER) { errno = EMSGSIZE; fail("answer"); }
        c->size = c->size ? c->size * 2 : 8192;
        c->buffer = realloc(c->buffer, c->size);
        if (!c->buffer) fail("memory");
    }
    got = recv(c->fd, c->buffer + c->used, c->size - c->used, 0);
    if (got > 0) {
        c->used += got;
        answered(c);
    } else if (got == 0 || errno != EINTR) {
        int was_waiting = c->waits;
        replace(c);
        /* An idle connection is in the list already; one that waited has lost its answer and begins anew. */
        if (was_waiting) {
            ns t = now();
            if (rate == 0 && t < deadline) send_request(c, t);
            else idle[idle_count++] = c;
        }
    }
}

static int by_size(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static double percentile(double p) {
    size_t place;
    if (!measured) return 0;
    place = (size_t)(p * measured);
    return latencies[place < measured ? place : measured - 1];
}

int main(int argc, char **argv) {
    struct epoll_event events[512];
    struct rusage usage;
    int i, found, timer, first = 1;
    uint64_t due = 0, ticks;
    ns t;
    double sum = 0;
    if (argc != 8) {
        fprintf(stderr, "load PORT CONNECTIONS WARMUP_SECONDS SECONDS RATE EXPECTED REQUESTS\n");
        return 2;
    }
    port = atoi(argv[1]);
    count = atoi(argv[2]);
    warmup_seconds = atof(argv[3]);
    seconds = atof(argv[4]);
    rate = atof(argv[5]);
    expected = argv[6];
    read_requests(argv[7]);
    signal(SIGPIPE, SIG_IGN);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    connections = calloc(count, sizeof *connections);
    idle = calloc(count, sizeof *idle);
    if (!connections || !idle) fail("memory");
    for (i = 0; i < count; i++) open_connection(&connections[i]);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct epoll_event timer_event = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, timer, &timer_event);
    last_answer = start = now();
    measure_from = start + (ns)(warmup_seconds * 1e9);
    deadline = measure_from + (ns)(seconds * 1e9);
    if (rate > 0) {
        ns distance = (ns)(1e9 / rate);
        struct itimerspec every = {.it_value = {0, 1}};
        every.it_interval.tv_sec = distance / 1000000000LL;
        every.it_interval.tv_nsec = distance % 1000000000LL;
        timerfd_settime(timer, 0, &every, NULL);
        for (i = 0; i < count; i++) idle[idle_count++] = &connections[i];
    } else {
        for (i = 0; i < count; i++) send_request(&connections[i], now());
    }
    for (;;) {
        t = now();
        if (t >= deadline && idle_count == count) break;
        if (t >= deadline + DRAIN_NS) break;
        found = epoll_wait(epoll_fd, events, 512, 20);
        if (found < 0 && errno != EINTR) fail("epoll_wait");
        for (i = 0; i < found; i++) {
            if (events[i].data.ptr) readable(events[i].data.ptr);
            else if (read(timer, &ticks, sizeof ticks) < 0 && errno != EAGAIN) fail("timer");
        }
        if (rate > 0) {
            t = now();
            while (idle_count && start + (ns)(due * (1e9 / rate)) <= t) {
                ns was_due = start + (ns)(due * (1e9 / rate));
                if (was_due >= deadline) break;
                due++;
                if (t - was_due > 1000000) late++;
                send_request(idle[--idle_count], was_due);
            }
            if (t >= deadline && first) {
                struct itimerspec never = {0};
                timerfd_settime(timer, 0, &never, NULL);
                first = 0;
            }
        }
    }
    getrusage(RUSAGE_SELF, &usage);
    qsort(latencies, measured, sizeof *latencies, by_size);
    for (size_t n = 0; n < measured; n++) sum += latencies[n];
    printf("{\"per_second\": %.1f, \"measured\": %lu, \"sent\": %lu, \"acknowledged\": %lu, \"wrong\": %lu, ",
           measured / seconds, measured, sent, acknowledged, wrong);
    printf("\"unanswered\": %lu, \"reconnects\": %lu, \"sent_late\": %lu, \"statuses\": {",
           lost + (uint64_t)(count - idle_count), reconnects, late);
    first = 1;
    for (i = 100; i < 600; i++) {
        if (statuses[i]) {
            printf("%s\"%d\": %lu", first ? "" : ", ", i, statuses[i]);
            first = 0;
        }
    }
    printf("}, \"p50_us\": %.0f, \"p90_us\": %.0f, \"p99_us\": %.0f, \"max_us\": %.0f, \"mean_us\": %.1f, ",
           percentile(0.5), percentile(0.9), percentile(0.99), percentile(1), measured ? sum / measured : 0);
    printf("\"cpu_seconds\": %.3f, \"wall_seconds\": %.3f}\n",
           usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6,
           (last_answer - start) / 1e9);
    return 0;
}

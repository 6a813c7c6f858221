/* The closed loop of load.py in C, so that the load takes little of the processor the server is measured on.
 *
 * load.py builds the messages and becomes this program (exec), with the socket and the messages open. It prints `ready`,
 * waits for a line on standard input, keeps WINDOW messages in flight, and prints one line of JSON as load.py would.
 *
 * usage: closed_loop SOCKET MESSAGES COUNT WINDOW SECONDS QUIET_MS
 *   SOCKET    descriptor of a connected, non-blocking UDP socket
 *   MESSAGES  descriptor of a file: for each message four bytes of length, little end first, and its bytes
 */
#define _GNU_SOURCE
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

static const char CALL_ID[] = "Call-ID: ";
enum { INDEX_DIGITS = 8, DATAGRAM_BYTES = 65535 };

static char answer[DATAGRAM_BYTES];
static long statuses[1000], echoes, answered;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

/* Which message an answer belongs to, from its Call-ID; -1 when it has none of ours. */
static long index_of(const char *data, size_t length)
{
    const char *at = memmem(data, length, CALL_ID, sizeof CALL_ID - 1);
    long index = 0;
    if (at == NULL || at + sizeof CALL_ID - 1 + INDEX_DIGITS > data + length)
        return -1;
    at += sizeof CALL_ID - 1;
    for (int i = 0; i < INDEX_DIGITS; i++) {
        if (at[i] < '0' || at[i] > '9')
            return -1;
        index = index * 10 + (at[i] - '0');
    }
    return index;
}

/* Take what is waiting, `most` datagrams at the most; how many messages they answer. */
static long drain(int sock, unsigned char *seen, long count, long most)
{
    long fresh = 0;
    while (most-- > 0) {
        ssize_t length = recv(sock, answer, sizeof answer, 0);
        if (length < 0)
            break;
        long index = index_of(answer, length);
        if (index < 0 || index >= count || seen[index])
            continue;
        seen[index] = 1;
        fresh++;
        if (length > 11 && memcmp(answer, "SIP/2.0 ", 8) == 0)
            statuses[atoi((char[]){answer[8], answer[9], answer[10], 0}) % 1000]++;
        else
            echoes++;
    }
    answered += fresh;
    return fresh;
}

int main(int argc, char **argv)
{
    if (argc != 7) {
        fprintf(stderr, "usage: closed_loop SOCKET MESSAGES COUNT WINDOW SECONDS QUIET_MS\n");
        return 2;
    }
    int sock = atoi(argv[1]), file = atoi(argv[2]);
    long count = atol(argv[3]), window = atol(argv[4]);
    double seconds = atof(argv[5]), quiet = atof(argv[6]) / 1000;
    struct stat size;
    if (fstat(file, &size) != 0) {
        perror("messages");
        return 1;
    }
    char *data = mmap(NULL, size.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file, 0);
    unsigned char *seen = calloc(count, 1);
    if (data == MAP_FAILED || seen == NULL) {
        perror("messages");
        return 1;
    }
    printf("ready\n");
    fflush(stdout);
    if (getchar() == EOF)
        return 0;
    long sent = 0, in_flight = 0;
    double started = now(), quiet_at = started + quiet, stop_at = started + seconds;
    while (in_flight > 0 || sent < count) {
        for (; in_flight < window && sent < count; sent++, in_flight++) {
            uint32_t length;
            memcpy(&length, data, sizeof length);
            /* One that is refused (nobody listens yet) is lost, and counted as such. */
            (void)!send(sock, data + sizeof length, length, 0);
            data += sizeof length + length;
        }
        long fresh = drain(sock, seen, count, window);
        if (fresh == 0) {
            struct pollfd wait = {.fd = sock, .events = POLLIN};
            poll(&wait, 1, (int)(quiet * 1000));
            fresh = drain(sock, seen, count, window);
        }
        double at = now();
        if (fresh > 0)
            quiet_at = at + quiet;
        else if (at >= quiet_at) {
            in_flight = 0;
            quiet_at = at + quiet;
        }
        in_flight -= fresh < in_flight ? fresh : in_flight;
        if (at >= stop_at)
            count = sent;
    }
    printf("{\"sent\": %ld, \"answered\": %ld, \"lost\": %ld, \"seconds\": %.6f, \"statuses\": {", sent, answered,
           sent - answered, now() - started);
    const char *separator = "";
    for (int status = 0; status < 1000; status++)
        if (statuses[status]) {
            printf("%s\"%d\": %ld", separator, status, statuses[status]);
            separator = ", ";
        }
    if (echoes)
        printf("%s\"echo\": %ld", separator, echoes);
    printf("}, \"latencies\": []}\n");
    return 0;
}

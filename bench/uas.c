/* What stands behind a forwarding contestant: answers every request with 200, from the header lines it came with.
 *
 * It copies every Via line, From, Call-ID and CSeq as they are and To with a tag; the reply goes to the address the
 * request came from. It reads the full header names only, one line each, as the load generator writes them.
 *
 * usage: uas PORT
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

static const char STATUS[] = "SIP/2.0 200 OK\r\n";
static const char TAG[] = ";tag=uas";
static const char END[] = "Content-Length: 0\r\n\r\n";

static char request[65536], reply[sizeof request + sizeof STATUS + sizeof TAG + sizeof END];

static int is(const char *line, const char *name)
{
    return strncasecmp(line, name, strlen(name)) == 0;
}

static char *append(char *to, const char *from, size_t length)
{
    memcpy(to, from, length);
    return to + length;
}

/* Writes the answer to `request`, which ends with a NUL; returns its length, 0 for a response or an ACK. */
static size_t answer(void)
{
    char *out = append(reply, STATUS, sizeof STATUS - 1);
    int to_seen = 0;

    if (is(request, "SIP/2.0") || is(request, "ACK "))
        return 0;
    for (char *line = strstr(request, "\r\n"); line && line[2] && line[2] != '\r';) {
        char *start = line + 2;
        line = strstr(start, "\r\n");
        size_t length = line ? (size_t)(line - start) : strlen(start);
        int to = is(start, "To:");
        if (to && to_seen++)
            continue;
        if (!to && !is(start, "Via:") && !is(start, "From:") && !is(start, "Call-ID:") && !is(start, "CSeq:"))
            continue;
        out = append(out, start, length);
        if (to)
            out = append(out, TAG, sizeof TAG - 1);
        out = append(out, "\r\n", 2);
    }
    out = append(out, END, sizeof END - 1);
    return (size_t)(out - reply);
}

int main(int argc, char **argv)
{
    struct sockaddr_in local = {.sin_family = AF_INET}, peer;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    if (argc != 2) {
        fprintf(stderr, "usage: uas PORT\n");
        return 2;
    }
    local.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    local.sin_port = htons((unsigned short)atoi(argv[1]));
    if (fd < 0 || bind(fd, (struct sockaddr *)&local, sizeof local) < 0) {
        perror("uas");
        return 1;
    }
    for (;;) {
        socklen_t size = sizeof peer;
        ssize_t length = recvfrom(fd, request, sizeof request - 1, 0, (struct sockaddr *)&peer, &size);
        if (length <= 0)
            continue;
        request[length] = '\0';
        size_t written = answer();
        if (written > 0)
            sendto(fd, reply, written, 0, (struct sockaddr *)&peer, size);
    }
}

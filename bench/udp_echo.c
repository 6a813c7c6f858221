/* The floor of the comparison: a UDP echo in C. One recvfrom and one sendto per datagram, nothing in between.
 *
 * usage: udp_echo PORT
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

int main(int argc, char **argv)
{
    static char datagram[65536];
    struct sockaddr_in local = {.sin_family = AF_INET}, peer;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    if (argc != 2) {
        fprintf(stderr, "usage: udp_echo PORT\n");
        return 2;
    }
    local.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    local.sin_port = htons((unsigned short)atoi(argv[1]));
    if (fd < 0 || bind(fd, (struct sockaddr *)&local, sizeof local) < 0) {
        perror("udp_echo");
        return 1;
    }
    for (;;) {
        socklen_t size = sizeof peer;
        ssize_t length = recvfrom(fd, datagram, sizeof datagram, 0, (struct sockaddr *)&peer, &size);
        if (length >= 0)
            sendto(fd, datagram, (size_t)length, 0, (struct sockaddr *)&peer, size);
    }
}

/* The bare system calls that the daemons are measured against, and the smallest service there is.
 *
 *   bare stamp FILE      appends "<CLOCK_MONOTONIC ns>\n" to FILE as its first act, then waits for a signal
 *   bare restart N FILE  kills and starts `bare stamp FILE` N times by posix_spawn + waitpid; prints each ns
 *   bare many N FILE     starts N, waits for all stamps, stops them; prints "<start ns> <stop ns>"
 *   bare flood N SIZE    writes N blocks of SIZE bytes (lines of 100) to stdout
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static long long now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int stamp(const char *file) {
    char line[32];
    int length = snprintf(line, sizeof line, "%lld\n", now());
    int fd = open(file, O_WRONLY | O_APPEND | O_CREAT, 0600);
    if (fd < 0 || write(fd, line, length) != length) return 1;
    close(fd);
    for (;;) pause();
}


/* The stamps in the file, once there are so many; the newest of them. */
static long long newest(const char *file, int count) {
    static char text[1 << 20];
    for (;;) {
        int fd = open(file, O_RDONLY);
        if (fd >= 0) {
            ssize_t length = read(fd, text, sizeof text - 1);
            close(fd);
            int lines = 0;
            long long last = 0;
            text[length > 0 ? length : 0] = 0;
            for (char *line = text; (line = strchr(line, '\n')) != NULL; line++) lines++;
            if (lines >= count) {
                for (char *at = text; *at; at = strchr(at, '\n') + 1) {
                    long long value = atoll(at);
                    if (value > last) last = value;
                }
                return last;
            }
        }
        struct timespec moment = {0, 50000};
        nanosleep(&moment, NULL);
    }
}

static pid_t start(const char *self, const char *file) {
    pid_t pid;
    char *argv[] = {(char *)self, "stamp", (char *)file, NULL};
    if (posix_spawn(&pid, self, NULL, NULL, argv, environ) != 0) exit(1);
    return pid;
}

int main(int argc, char **argv) {
    if (argc == 3 && !strcmp(argv[1], "stamp")) return stamp(argv[2]);
    if (argc != 4) return 2;
    int n = atoi(argv[2]);
    const char *file = argv[3];
    if (!strcmp(argv[1], "restart")) {
        pid_t pid = start(argv[0], file);
        for (int i = 1; i <= n; i++) {
            newest(file, i);
            struct timespec calm = {0, 5000000};
            nanosleep(&calm, NULL);
            long long began = now();
            kill(pid, SIGKILL);
            waitpid(pid, NULL, 0);
            pid = start(argv[0], file);
            printf("%lld\n", newest(file, i + 1) - began);
        }
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        return 0;
    }
    if (!strcmp(argv[1], "many")) {
        pid_t *pids = calloc(n, sizeof *pids);
        long long began = now();
        for (int i = 0; i < n; i++) pids[i] = start(argv[0], file);
        long long started = newest(file, n) - began;
        began = now();
        for (int i = 0; i < n; i++) kill(pids[i], SIGTERM);
        for (int i = 0; i < n; i++) waitpid(pids[i], NULL, 0);
        printf("%lld %lld\n", started, now() - began);
        return 0;
    }
    if (!strcmp(argv[1], "flood")) {
        int size = atoi(argv[3]);
        char *block = malloc(size);
        for (int i = 0; i < size; i++) block[i] = i % 100 == 99 ? '\n' : 'a' + i % 26;
        for (int i = 0; i < n; i++)
            for (int at = 0; at < size;) {
                ssize_t wrote = write(1, block + at, size - at);
                if (wrote <= 0) return 1;
                at += wrote;
            }
        return 0;
    }
    return 2;
}

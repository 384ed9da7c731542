/* Load for the saslauthd protocol: CLIENTS threads log in TOTAL times, one
 * connection for each login, as libsasl does it. It prints one line:
 * seconds, OK, NO, no answer, and the median and 99th percentile in microseconds.
 *
 * usage: load SOCKET CLIENTS TOTAL < lines of NAME<TAB>PASSWORD
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { MOST_LOGINS = 200000, LONGEST = 1024 };

struct login {
    char *bytes;
    size_t length;
};

static struct login logins[MOST_LOGINS];
static int known, total;
static struct sockaddr_un address;
static atomic_int next, answered_ok, answered_no, no_answer;
static double *took;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static size_t put(char *at, const char *text)
{
    size_t length = strlen(text);
    at[0] = (char)(length >> 8);
    at[1] = (char)length;
    memcpy(at + 2, text, length);
    return length + 2;
}

/* Name, password, service, realm; the realm is empty. */
static void prepare(struct login *one, const char *name, const char *password)
{
    one->bytes = malloc(4 * 2 + strlen(name) + strlen(password) + 8);
    if (!one->bytes)
        exit(3);
    one->length = put(one->bytes, name);
    one->length += put(one->bytes + one->length, password);
    one->length += put(one->bytes + one->length, "smtp");
    one->length += put(one->bytes + one->length, "");
}

static void ask(const struct login *one)
{
    char answer[LONGEST];
    size_t have = 0;
    ssize_t got;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0
        && write(fd, one->bytes, one->length) == (ssize_t)one->length)
        while (have < 4 && (got = read(fd, answer + have, sizeof answer - have)) > 0)
            have += (size_t)got;
    if (fd >= 0)
        close(fd);
    if (have >= 4 && memcmp(answer + 2, "OK", 2) == 0)
        answered_ok++;
    else if (have >= 4 && memcmp(answer + 2, "NO", 2) == 0)
        answered_no++;
    else
        no_answer++;
}

static void *client(void *unused)
{
    int number;
    (void)unused;
    while ((number = next++) < total) {
        double began = now();
        ask(&logins[number % known]);
        took[number] = now() - began;
    }
    return NULL;
}

static int by_value(const void *one, const void *other)
{
    double a = *(const double *)one, b = *(const double *)other;
    return (a > b) - (a < b);
}

static void read_logins(void)
{
    char line[LONGEST];
    while (known < MOST_LOGINS && fgets(line, sizeof line, stdin)) {
        char *tab = strchr(line, '\t');
        if (!tab)
            continue;
        *tab = 0;
        tab[1 + strcspn(tab + 1, "\n")] = 0;
        prepare(&logins[known++], line, tab + 1);
    }
}

int main(int argc, char **argv)
{
    pthread_t threads[64];
    int clients, i;
    double began, seconds;
    if (argc != 4)
        return 2;
    clients = atoi(argv[2]);
    total = atoi(argv[3]);
    read_logins();
    took = calloc((size_t)total, sizeof *took);
    if (!known || !took || clients < 1 || clients > 64 || total < 1)
        return 2;
    address.sun_family = AF_UNIX;
    snprintf(address.sun_path, sizeof address.sun_path, "%s", argv[1]);
    began = now();
    for (i = 0; i < clients; i++)
        pthread_create(&threads[i], NULL, client, NULL);
    for (i = 0; i < clients; i++)
        pthread_join(threads[i], NULL);
    seconds = now() - began;
    qsort(took, (size_t)total, sizeof *took, by_value);
    printf("%.6f %d %d %d %.0f %.0f\n", seconds, answered_ok, answered_no, no_answer,
           took[total / 2] * 1e6, took[total * 99 / 100] * 1e6);
    return 0;
}

/* The wall clock of a process and of all that it starts, shifted by what a file says: 64 bits, in nanoseconds.

   LD_PRELOAD=shifted_clock.so SHIFTED_CLOCK=/path/to/file python -m local_aws start

   Only the wall clock is shifted. The monotonic clocks are left alone, as they are when a machine's time is set. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL

static volatile int64_t *shift;
static char own_preload[4096], own_file[4096];

__attribute__((constructor)) static void begin(void) {
    const char *file = getenv("SHIFTED_CLOCK"), *preload = getenv("LD_PRELOAD");
    int descriptor = file ? open(file, O_RDONLY | O_CLOEXEC) : -1;
    if (descriptor < 0 || !preload)
        return;
    void *page = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, descriptor, 0);
    close(descriptor);
    if (page != MAP_FAILED)
        shift = page;
    strcpy(own_preload, "LD_PRELOAD=");
    strncat(own_preload, preload, 4000);
    strcpy(own_file, "SHIFTED_CLOCK=");
    strncat(own_file, file, 4000);
}

static int64_t shifted(void) {
    struct timespec now;
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
    return now.tv_sec * SECOND + now.tv_nsec + (shift ? *shift : 0);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    if (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)
        return syscall(SYS_clock_gettime, clock, now);
    int64_t at = shifted();
    now->tv_sec = at / SECOND;
    now->tv_nsec = at % SECOND;
    return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    int64_t at = shifted();
    now->tv_sec = at / SECOND;
    now->tv_usec = at % SECOND / 1000;
    return 0;
}

time_t time(time_t *now) {
    time_t at = shifted() / SECOND;
    if (now)
        *now = at;
    return at;
}

/* The embedded AWS starts functions and jobs with an environment of their own. They have the same clock. */
static size_t length(char *const environment[]) {
    size_t count = 0;
    while (environment && environment[count])
        count++;
    return count;
}

static void add_own(char *const environment[], char *more[]) {
    size_t kept = 0;
    for (size_t i = 0; i < length(environment); i++)
        if (strncmp(environment[i], "LD_PRELOAD=", 11) && strncmp(environment[i], "SHIFTED_CLOCK=", 14))
            more[kept++] = environment[i];
    if (own_preload[0]) {
        more[kept++] = own_preload;
        more[kept++] = own_file;
    }
    more[kept] = NULL;
}

int execve(const char *path, char *const arguments[], char *const environment[]) {
    int (*known)(const char *, char *const[], char *const[]) = dlsym(RTLD_NEXT, "execve");
    char *more[length(environment) + 3];
    add_own(environment, more);
    return known(path, arguments, more);
}

int posix_spawn(pid_t *restrict pid, const char *restrict path, const posix_spawn_file_actions_t *actions,
                const posix_spawnattr_t *restrict attributes, char *const arguments[restrict],
                char *const environment[restrict]) {
    int (*known)(pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *, char *const[],
                 char *const[]) = dlsym(RTLD_NEXT, "posix_spawn");
    char *more[length(environment) + 3];
    add_own(environment, more);
    return known(pid, path, actions, attributes, arguments, more);
}

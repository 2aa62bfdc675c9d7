/*
 * Which system calls does this kernel answer? Calls every x86_64 number with arguments that cannot do
 * harm and prints one line each: "N ENOSYS", "N ok" (any other answer) or "N ended" (the call did not
 * come back: exit, pause, a signal or the time limit, all of which an absent call cannot cause).
 *
 * Static, no arguments; run as root or not. Each call is made in a child of its own, so that nothing it does
 * to the process outlives the line. The numbers follow arch/x86/entry/syscalls/syscall_64.tbl.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* One above the last number in the table of Linux 6.12 (mseal, 462) and those added since, to 467. */
#define LAST 467
/* Seconds that one call may block; an absent call answers at once. */
#define LIMIT 1

/* All arguments -1: no valid pointer, descriptor, size, flag set or process id. */
static const long harmless[6] = { -1, -1, -1, -1, -1, -1 };

/*
 * Arguments for the calls that would do something when given -1, most of them because it means every process.
 * Every entry still reaches the call's own code, which is all that matters.
 */
static const struct {
    long nr;
    long args[6];
} special[] = {
    { SYS_kill, { 0x7fffffff, 0 } },
    { SYS_tkill, { 0x7fffffff, 0 } },
    { SYS_tgkill, { 0x7fffffff, 0x7fffffff, 0 } },
    { SYS_rt_sigqueueinfo, { 0x7fffffff, 0, 0 } },
    { SYS_rt_tgsigqueueinfo, { 0x7fffffff, 0x7fffffff, 0, 0 } },
    { SYS_reboot, { 0, 0, 0, 0 } },
    /* Answers ENOSYS for an operation that it does not know; 1 is FUTEX_WAKE. */
    { SYS_futex, { -1, 1, 1 } },
    /* -1 as flags would make a queue that outlives the process. */
    { SYS_msgget, { 0x7ffffffe, 0 } },
};

static const long *arguments(long nr)
{
    for (size_t i = 0; i < sizeof special / sizeof *special; i++)
        if (special[i].nr == nr)
            return special[i].args;
    return harmless;
}

static void call(long nr, volatile int *answer)
{
    const long *a = arguments(nr);
    pid_t self = getpid();

    /* Without a controlling terminal vhangup has nothing to hang up. */
    setsid();
    alarm(LIMIT);
    long result = syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
    int error = errno;
    /* fork and its like come back twice: the copy says nothing. */
    if (syscall(SYS_getpid) != self)
        _exit(0);
    *answer = result == -1 && error == ENOSYS ? 2 : 1;
    _exit(0);
}

int main(void)
{
    volatile int *answer = mmap(NULL, sizeof *answer, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (answer == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    setvbuf(stdout, NULL, _IONBF, 0);
    for (long nr = 0; nr <= LAST; nr++) {
        *answer = 0;
        pid_t child = fork();
        if (child < 0) {
            perror("fork");
            return 1;
        }
        if (child == 0)
            call(nr, answer);
        if (waitpid(child, NULL, 0) < 0) {
            perror("waitpid");
            return 1;
        }
        printf("%ld %s\n", nr, *answer == 2 ? "ENOSYS" : *answer == 1 ? "ok" : "ended");
    }
    return 0;
}

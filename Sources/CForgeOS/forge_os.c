#define _GNU_SOURCE
#include "forge_os.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/memfd.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timex.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define ALL_SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

int fos_memfd_create(const char *name) { return memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING); }

int fos_memfd_seal(int fd) { return fcntl(fd, F_ADD_SEALS, ALL_SEALS); }

int fos_memfd_is_sealed(int fd) {
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0) return -1;
    return (seals & ALL_SEALS) == ALL_SEALS;
}

int fos_peer_credentials(int fd, fos_credentials *out) {
    struct ucred peer;
    socklen_t length = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return -1;
    out->pid = (uint32_t)peer.pid;
    out->uid = peer.uid;
    out->gid = peer.gid;
    return 0;
}

int fos_socket_stream(void) { return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); }

int fos_socket_pair(int out[2]) { return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, out); }

static int unix_address(const char *path, struct sockaddr_un *address) {
    size_t length = strlen(path);
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    if (length == 0 || length >= sizeof address->sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(address->sun_path, path, length);
    return 0;
}

int fos_bind(int fd, const char *path) {
    struct sockaddr_un address;
    if (unix_address(path, &address) != 0) return -1;
    return bind(fd, (struct sockaddr *)&address, sizeof address);
}

int fos_accept(int listener) { return accept4(listener, NULL, NULL, SOCK_CLOEXEC); }

int fos_connect(int fd, const char *path) {
    struct sockaddr_un address;
    if (unix_address(path, &address) != 0) return -1;
    return connect(fd, (struct sockaddr *)&address, sizeof address);
}

ssize_t fos_send_fds(int socket, const void *bytes, size_t count, const int *fds, size_t fd_count) {
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int) * FOS_FDS_MAX)];
    } control;
    struct iovec piece = {.iov_base = (void *)bytes, .iov_len = count};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
    if (count == 0 || fd_count > FOS_FDS_MAX) {
        errno = EINVAL;
        return -1;
    }
    if (fd_count > 0) {
        memset(&control, 0, sizeof control);
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
        memcpy(CMSG_DATA(header), fds, sizeof(int) * fd_count);
    }
    ssize_t sent;
    do sent = sendmsg(socket, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent;
}

ssize_t fos_receive_fds(int socket, void *bytes, size_t count, int *fds, size_t fds_max, size_t *fd_count) {
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int) * FOS_FDS_MAX)];
    } control;
    struct iovec piece = {.iov_base = bytes, .iov_len = count};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    *fd_count = 0;
    ssize_t received;
    do received = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    while (received < 0 && errno == EINTR);
    if (received < 0) return -1;
    int cut = (message.msg_flags & MSG_CTRUNC) != 0;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        size_t n = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
            if (*fd_count < fds_max) fds[(*fd_count)++] = fd;
            else {
                close(fd);
                cut = 1;
            }
        }
    }
    if (cut) {  // a part of what was sent is worse than nothing
        for (size_t i = 0; i < *fd_count; i++) close(fds[i]);
        *fd_count = 0;
        errno = EMSGSIZE;
        return -1;
    }
    return received;
}

int fos_start_writing(int fd, int64_t offset, int64_t count) { return sync_file_range(fd, offset, count, SYNC_FILE_RANGE_WRITE); }

int fos_rename_exclusive(const char *from, const char *to) {
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0) return 0;
    if (errno != EINVAL && errno != ENOSYS) return -1;
    if (link(from, to) != 0) return -1;  // file systems without the flag: link(2) never replaces either
    return unlink(from);
}

// MARK: children

static int move_descriptors(const fos_spawn_request *r) {
    // First lift every source above every target, so that no dup2 overwrites a source that is still needed.
    int highest = 2;
    int lifted[FOS_FDS_MAX];
    if (r->fd_count > FOS_FDS_MAX) {
        errno = EINVAL;
        return -1;
    }
    for (size_t i = 0; i < r->fd_count; i++)
        if (r->fds_child[i] > highest) highest = r->fds_child[i];
    for (size_t i = 0; i < r->fd_count; i++) {
        lifted[i] = fcntl(r->fds_parent[i], F_DUPFD_CLOEXEC, highest + 1);
        if (lifted[i] < 0) return -1;
    }
    for (size_t i = 0; i < r->fd_count; i++)
        if (dup2(lifted[i], r->fds_child[i]) < 0) return -1;
    return 0;
}

static void run_child(const fos_spawn_request *r, pid_t parent, int report) {
    struct sigaction usual;
    memset(&usual, 0, sizeof usual);
    usual.sa_handler = SIG_DFL;
    for (int s = 1; s < 65; s++) sigaction(s, &usual, NULL);
    sigset_t none;
    sigemptyset(&none);
    if (pthread_sigmask(SIG_SETMASK, &none, NULL) != 0) goto failed;
    if (r->new_session && setsid() < 0) goto failed;
    if (r->change_user && fos_drop_user(r->uid, r->gid) != 0) goto failed;  // clears the death signal, so it comes first
    if (r->parent_death_signal) {
        if (prctl(PR_SET_PDEATHSIG, r->parent_death_signal) != 0) goto failed;
        if (getppid() != parent) _exit(127);  // the parent ended before the request took effect
    }
    if (r->directory && chdir(r->directory) != 0) goto failed;
    // The report pipe must survive the moves: park it above everything.
    int parked = fcntl(report, F_DUPFD_CLOEXEC, 1024);
    if (parked < 0) parked = fcntl(report, F_DUPFD_CLOEXEC, 200);
    if (parked < 0) goto failed;
    report = parked;
    if (move_descriptors(r) != 0) goto failed;
    // Everything not asked for goes at exec; the kernel marks, so nothing is forgotten.
    if (syscall(SYS_close_range, 0u, ~0u, 4u /* CLOSE_RANGE_CLOEXEC */) != 0) {
        for (int fd = 0; fd < 4096; fd++) fcntl(fd, F_SETFD, FD_CLOEXEC);
    }
    for (size_t i = 0; i < r->fd_count; i++)
        if (fcntl(r->fds_child[i], F_SETFD, 0) != 0) goto failed;
    execve(r->executable, r->arguments, r->environment);
failed:;
    int error = errno;
    ssize_t ignored = write(report, &error, sizeof error);
    (void)ignored;
    _exit(127);
}

static pid_t spawn_here(const fos_spawn_request *r, int *pidfd) {
    int report[2];
    if (pipe2(report, O_CLOEXEC) != 0) return -1;
    pid_t parent = getpid();
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);  // no handler of ours may run in the child
    pid_t pid = fork();
    if (pid == 0) run_child(r, parent, report[1]);
    int fork_error = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    close(report[1]);
    if (pid < 0) {
        close(report[0]);
        errno = fork_error;
        return -1;
    }
    int error = 0;
    ssize_t n;
    do n = read(report[0], &error, sizeof error);
    while (n < 0 && errno == EINTR);
    close(report[0]);
    if (n == (ssize_t)sizeof error) {
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {}
        errno = error;
        return -1;
    }
    *pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (*pidfd < 0) {
        error = errno;
        kill(pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {}
        errno = error;
        return -1;
    }
    return pid;
}

// PR_SET_PDEATHSIG fires when the *thread* that forked ends, and pool threads come and go; so one thread that never ends forks for all.
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int started;
    const fos_spawn_request *request;  // INVARIANT: non-NULL exactly while one caller waits for `done`
    int done, error, pidfd;
    pid_t pid;
} spawner = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
static pthread_mutex_t spawner_turn = PTHREAD_MUTEX_INITIALIZER;

static void *spawner_main(void *unused) {
    (void)unused;
    pthread_mutex_lock(&spawner.lock);
    for (;;) {
        while (!spawner.request || spawner.done) pthread_cond_wait(&spawner.changed, &spawner.lock);
        spawner.pid = spawn_here(spawner.request, &spawner.pidfd);
        spawner.error = errno;
        spawner.done = 1;
        pthread_cond_broadcast(&spawner.changed);
    }
    return NULL;
}

pid_t fos_spawn(const fos_spawn_request *request, int *pidfd) {
    pid_t pid = -1;
    int error = 0;
    pthread_mutex_lock(&spawner_turn);
    pthread_mutex_lock(&spawner.lock);
    if (!spawner.started) {
        pthread_t thread;
        pthread_attr_t attributes;
        pthread_attr_init(&attributes);
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        error = pthread_create(&thread, &attributes, spawner_main, NULL);
        pthread_attr_destroy(&attributes);
        if (error == 0) spawner.started = 1;
    }
    if (error == 0) {
        spawner.request = request;
        spawner.done = 0;
        pthread_cond_broadcast(&spawner.changed);
        while (!spawner.done) pthread_cond_wait(&spawner.changed, &spawner.lock);
        pid = spawner.pid;
        error = spawner.error;
        *pidfd = spawner.pidfd;
        spawner.request = NULL;
    }
    pthread_mutex_unlock(&spawner.lock);
    pthread_mutex_unlock(&spawner_turn);
    if (pid < 0) errno = error;
    return pid;
}

int fos_pidfd_signal(int pidfd, int signal) { return (int)syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0); }

int fos_wait(pid_t pid, int *code, int *signal) {
    int status;
    pid_t got;
    do got = waitpid(pid, &status, 0);
    while (got < 0 && errno == EINTR);
    if (got < 0) return -1;
    *code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
    *signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    return 0;
}

// MARK: this process

int fos_drop_user(uint32_t uid, uint32_t gid) {
    // The raw calls would change one thread only; between fork and exec there is one, elsewhere glibc's wrappers reach all.
    if (setgroups(0, NULL) != 0 && geteuid() == 0) return -1;
    if (setresgid(gid, gid, gid) != 0) return -1;
    if (setresuid(uid, uid, uid) != 0) return -1;
    uid_t r, e, s;
    if (getresuid(&r, &e, &s) != 0) return -1;
    if (r != uid || e != uid || s != uid || (uid != 0 && setuid(0) == 0)) {
        errno = EPERM;
        return -1;
    }
    return 0;
}

int fos_forbid_dumps(void) {
    struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_CORE, &none) != 0) return -1;
    if (prctl(PR_SET_DUMPABLE, 0) != 0) return -1;
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

int fos_parent_death_signal(int signal) { return prctl(PR_SET_PDEATHSIG, signal); }

int fos_cores(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
    return (int)sysconf(_SC_NPROCESSORS_ONLN);
}

int fos_memory(uint64_t *total, uint64_t *free) {
    struct sysinfo info;
    if (sysinfo(&info) != 0) return -1;
    *total = (uint64_t)info.totalram * info.mem_unit;
    *free = ((uint64_t)info.freeram + info.bufferram) * info.mem_unit;
    return 0;
}

// MARK: signals

static volatile int signal_pipe = -1;  // written once, before any handler is installed

static void signal_arrived(int number) {
    int saved = errno;
    unsigned char byte = (unsigned char)number;
    ssize_t ignored = write(signal_pipe, &byte, 1);
    (void)ignored;  // a full pipe already holds enough of them
    errno = saved;
}

int fos_signals_open(const int *signals, size_t count) {
    static pthread_mutex_t once = PTHREAD_MUTEX_INITIALIZER;
    static int reader = -1;
    pthread_mutex_lock(&once);
    if (reader < 0) {
        int ends[2];
        if (pipe2(ends, O_CLOEXEC) != 0) {
            pthread_mutex_unlock(&once);
            return -1;
        }
        fcntl(ends[1], F_SETFL, O_NONBLOCK);
        reader = ends[0];
        signal_pipe = ends[1];
    }
    int result = reader;
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = signal_arrived;
    action.sa_flags = SA_RESTART;
    for (size_t i = 0; i < count && result >= 0; i++)
        if (sigaction(signals[i], &action, NULL) != 0) result = -1;
    pthread_mutex_unlock(&once);
    return result;
}

int fos_ignore_sigpipe(void) {
    struct sigaction ignore;
    memset(&ignore, 0, sizeof ignore);
    ignore.sa_handler = SIG_IGN;
    return sigaction(SIGPIPE, &ignore, NULL);
}

// MARK: terminals

int fos_terminal_columns(int fd) {
    struct winsize size;
    if (ioctl(fd, TIOCGWINSZ, &size) != 0) return -1;
    return size.ws_col > 0 ? size.ws_col : 80;
}

static volatile sig_atomic_t secret_interrupted;
static void interrupt_secret(int number) { secret_interrupted = number; }

ssize_t fos_read_secret(const char *prompt, char *out, size_t capacity) {
    int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (tty < 0) return -1;
    struct termios before, quiet;
    ssize_t result = -1;
    int error = 0;
    if (tcgetattr(tty, &before) != 0) {
        error = errno;
        goto done;
    }
    const int watched[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    struct sigaction old[4], watch;
    memset(&watch, 0, sizeof watch);
    watch.sa_handler = interrupt_secret;  // without SA_RESTART: the read must return
    secret_interrupted = 0;
    for (int i = 0; i < 4; i++) sigaction(watched[i], &watch, &old[i]);
    quiet = before;
    quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ECHONL);
    tcsetattr(tty, TCSAFLUSH, &quiet);
    size_t length = 0, sent = 0, total = strlen(prompt);
    while (sent < total) {
        ssize_t n = write(tty, prompt + sent, total - sent);
        if (n <= 0) break;
        sent += (size_t)n;
    }
    for (;;) {
        char c;
        ssize_t n = read(tty, &c, 1);
        if (n < 0 && errno == EINTR && !secret_interrupted) continue;
        if (n <= 0 || c == '\n' || c == '\r') {
            if (n < 0) error = errno;
            else result = (ssize_t)length;
            break;
        }
        if (length == capacity) {
            error = EMSGSIZE;
            break;
        }
        out[length++] = c;
    }
    tcsetattr(tty, TCSAFLUSH, &before);
    ssize_t ignored = write(tty, "\n", 1);
    (void)ignored;
    for (int i = 0; i < 4; i++) sigaction(watched[i], &old[i], NULL);
    if (result < 0) explicit_bzero(out, capacity);
    if (secret_interrupted) raise(secret_interrupted);
done:
    close(tty);
    if (result < 0) errno = error ? error : EIO;
    return result;
}

// MARK: threads

struct thread_body {
    void (*body)(void *);
    void *context;
    char name[16];
};

static void *thread_main(void *raw) {
    struct thread_body *start = raw;
    pthread_setname_np(pthread_self(), start->name);
    start->body(start->context);
    free(start);
    return NULL;
}

int fos_thread_start(const char *name, void (*body)(void *), void *context) {
    struct thread_body *start = calloc(1, sizeof *start);
    if (!start) return -1;
    start->body = body;
    start->context = context;
    strncpy(start->name, name, sizeof start->name - 1);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, 8u << 20);
    pthread_t thread;
    int error = pthread_create(&thread, &attributes, thread_main, start);
    pthread_attr_destroy(&attributes);
    if (error != 0) {
        free(start);
        errno = error;
        return -1;
    }
    return 0;
}

int fos_clock_discipline(int64_t *error_max) {
    struct timex state = {0};
    int result = adjtimex(&state);
    if (result < 0) return -1;
    *error_max = state.maxerror > 0 ? state.maxerror : 0;
    return result != TIME_ERROR && !(state.status & STA_UNSYNC);
}

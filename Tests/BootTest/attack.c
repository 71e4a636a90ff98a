// attack: tries, from inside a unit's sandbox, what a daemon that was taken over would try. Statically linked; needs nothing but the kernel.
//
// owns      the table of attacks below: a name, what must be refused, and whether root without a sandbox could do it (the control)
// promises  each attack runs in a child of its own, so one that is killed does not hide the next; nothing is left behind
// flow      attack OWN-STATE → one line each: `NAME refused EPERM` | `NAME succeeded` | `NAME killed N`
//           attack --table   → one line each: `NAME yes|no`, whether the control must succeed
//           attack --add-key → leaves a key for `key-of-another-session` in the keyring of this uid
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/bpf.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *own = "";  // the state directory that is this unit's own, e.g. `registry`

// Every attack answers 0 when it got what it wanted, else -1 with errno.
static int creates(const char *path) {
    int fd = open(path, O_CREAT | O_WRONLY | O_EXCL, 0600);
    if (fd < 0) return -1;
    close(fd);
    unlink(path);
    return 0;
}
static int reads(const char *path) {
    char byte;
    int fd = open(path, O_RDONLY);
    if (fd < 0) return -1;
    ssize_t n = read(fd, &byte, 1);
    close(fd);
    return n < 0 ? -1 : 0;
}
static int lists(const char *path) {
    DIR *directory = opendir(path);
    if (!directory) return -1;
    closedir(directory);
    return 0;
}
static int opens_socket(int family, int type, int protocol) {
    int fd = socket(family, type, protocol);
    if (fd < 0) return -1;
    close(fd);
    return 0;
}
static int connects(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0) return -1;
    int result = connect(fd, (struct sockaddr *)&address, sizeof address);
    close(fd);
    return result;
}
// Any neighbour's directory that opens is a success.
static int any_other(const char *const *names, const char *pattern, int (*attempt)(const char *)) {
    int refusal = ENOENT;
    for (; *names; names++) {
        char path[256];
        if (strcmp(*names, own) == 0) continue;
        snprintf(path, sizeof path, pattern, *names);
        if (attempt(path) == 0) return 0;
        refusal = errno;
    }
    errno = refusal;
    return -1;
}

static int write_usr(void) { return creates("/usr/attack"); }
static int write_etc(void) { return creates("/etc/forge/attack"); }
static int write_run(void) { return creates("/run/forge/attack"); }
static int write_var(void) { return creates("/var/lib/attack"); }
static int move_socket(void) {
    if (rename("/run/forge/admin.sock", "/run/forge/attack.sock")) return -1;
    return rename("/run/forge/attack.sock", "/run/forge/admin.sock");
}
static int read_shadow(void) { return reads("/etc/shadow"); }
static int read_home(void) { return reads("/home/alice/diary"); }
static int list_root_home(void) { return lists("/root"); }
static const char *const states[] = {"admin", "registry", "trainer", "serve", NULL};
static int other_state(void) { return any_other(states, "/var/lib/forge/%s", lists); }
static int credentials_on_disk(void) { return reads("/etc/forge/credentials/master.cred"); }
static int other_credentials(void) {
    static const char *const units[] = {"forge-admin", "forge-registry", "forged", "forge-serve", NULL};
    return any_other(units, "/run/credentials/%s.service/forge.master", reads);
}
static int see_other_processes(void) { return reads("/proc/1/cmdline"); }
static int read_kernel_log(void) { return reads("/dev/kmsg"); }
static int socket_inet(void) { return opens_socket(AF_INET, SOCK_STREAM, 0); }
static int socket_inet6(void) { return opens_socket(AF_INET6, SOCK_DGRAM, 0); }
static int socket_netlink(void) { return opens_socket(AF_NETLINK, SOCK_RAW, 0); }
static int socket_packet(void) { return opens_socket(AF_PACKET, SOCK_RAW, 0); }
static int socket_vsock(void) { return opens_socket(AF_VSOCK, SOCK_STREAM, 0); }
static int app_socket(void) { return connects("/run/forge/serve.sock"); }
static int mount_tmpfs(void) {
    if (mount("tmpfs", "/tmp", "tmpfs", 0, NULL)) return -1;
    umount2("/tmp", MNT_DETACH);
    return 0;
}
static int trace_child(void) {
    pid_t child = fork();
    if (child == 0) { pause(); _exit(0); }
    long result = ptrace(PTRACE_ATTACH, child, NULL, NULL);
    int refusal = errno;
    if (result == 0) { waitpid(child, NULL, 0); ptrace(PTRACE_DETACH, child, NULL, NULL); }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    errno = refusal;
    return result ? -1 : 0;
}
static int read_memory_of_init(void) {
    char byte;
    unsigned long at = 0x400000;
    struct iovec here = {&byte, 1}, there = {(void *)at, 1};
    // EFAULT means that the permission was given and only the address was wrong.
    if (process_vm_readv(1, &here, 1, &there, 1, 0) >= 0 || errno == EFAULT) return 0;
    return -1;
}
static int signal_init(void) { return kill(1, 0); }
static int make_device(void) {
    if (mknod("/tmp/attack-null", S_IFCHR | 0600, makedev(1, 3))) return -1;
    unlink("/tmp/attack-null");
    return 0;
}
static int new_user_namespace(void) { return unshare(CLONE_NEWUSER); }
static int new_mount_namespace(void) { return unshare(CLONE_NEWNS); }
static int join_namespace(void) {
    int fd = open("/proc/self/ns/uts", O_RDONLY);
    if (fd < 0) return -1;
    int result = setns(fd, 0);
    close(fd);
    return result;
}
static int writable_and_executable(void) { return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0; }
static int executable_later(void) {
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return page == MAP_FAILED ? -1 : mprotect(page, 4096, PROT_READ | PROT_EXEC);
}
static int key_of_another(void) {
    // `attack --add-key` put it into the keyring of the same uid, which a unit without a keyring of its own would search.
    return syscall(SYS_request_key, "user", "forge-boot-test", NULL, 0) < 0 ? -1 : 0;
}
static int become_root(void) { return geteuid() == 0 ? setresuid(0, 0, 0) : setuid(0); }
static int join_group(void) {
    gid_t group = 0;
    return setgroups(1, &group);
}
static int change_root(void) { return chroot("/tmp"); }
static int host_name(void) {
    char name[256] = "";
    gethostname(name, sizeof name - 1);
    return sethostname(name, strlen(name));
}
static int set_clock(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return clock_settime(CLOCK_REALTIME, &now);
}
static int load_module(void) { return syscall(SYS_init_module, "", 0UL, "") ? -1 : 0; }
static int kernel_tunable(void) {
    int fd = open("/proc/sys/kernel/core_pattern", O_WRONLY);
    if (fd < 0) return -1;
    close(fd);
    return 0;
}
static int control_group(void) {
    if (mkdir("/sys/fs/cgroup/attack", 0755)) return -1;
    rmdir("/sys/fs/cgroup/attack");
    return 0;
}
static int loads_bpf(void) {
    union bpf_attr attributes = {0};
    attributes.map_type = BPF_MAP_TYPE_ARRAY;
    attributes.key_size = attributes.value_size = 4;
    attributes.max_entries = 1;
    long fd = syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof attributes);
    if (fd < 0) return -1;
    close((int)fd);
    return 0;
}
static int watches_performance(void) {
    struct perf_event_attr attributes = {.type = PERF_TYPE_SOFTWARE, .size = sizeof attributes, .config = PERF_COUNT_SW_CPU_CLOCK};
    long fd = syscall(SYS_perf_event_open, &attributes, -1, 0, -1, 0);
    if (fd < 0) return -1;
    close((int)fd);
    return 0;
}
static int other_personality(void) { return personality(ADDR_NO_RANDOMIZE) < 0 ? -1 : 0; }
static int set_uid_bit(void) {
    int fd = open("/tmp/attack-suid", O_CREAT | O_WRONLY, 0600);
    if (fd < 0) return -1;
    int result = fchmod(fd, 04755), refusal = errno;
    close(fd);
    unlink("/tmp/attack-suid");
    errno = refusal;
    return result;
}
static int real_time(void) {
    struct sched_param parameters = {.sched_priority = 1};
    return sched_setscheduler(0, SCHED_FIFO, &parameters);
}
static int pin_to_processor(void) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(0, &set);
    return sched_setaffinity(0, sizeof set, &set);
}
static int core_dumps(void) {
    struct rlimit limit = {1 << 20, 1 << 20};
    return setrlimit(RLIMIT_CORE, &limit);
}
static int gain_by_exec(void) {
    errno = EPERM;  // 1 means that a set-uid program would gain nothing
    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? -1 : 0;
}

// `control`: root outside any sandbox, in the same container, must be able to do it; otherwise a refusal would prove nothing.
static const struct { const char *name; int (*run)(void); int control; } table[] = {
    {"write-usr", write_usr, 1}, {"write-etc", write_etc, 1}, {"write-run-forge", write_run, 1}, {"write-var-lib", write_var, 1},
    {"move-a-socket-away", move_socket, 1}, {"read-shadow", read_shadow, 1}, {"read-home", read_home, 1}, {"list-root-home", list_root_home, 1},
    {"state-of-another-daemon", other_state, 1}, {"credentials-on-disk", credentials_on_disk, 1}, {"credentials-of-another-daemon", other_credentials, 1},
    {"see-other-processes", see_other_processes, 1}, {"read-kernel-log", read_kernel_log, 0}, {"socket-inet", socket_inet, 1}, {"socket-inet6", socket_inet6, 1},
    {"socket-netlink", socket_netlink, 1}, {"socket-packet", socket_packet, 1}, {"socket-vsock", socket_vsock, 0}, {"connect-to-the-apps-socket", app_socket, 1},
    {"mount", mount_tmpfs, 1}, {"ptrace", trace_child, 1}, {"memory-of-init", read_memory_of_init, 1}, {"signal-init", signal_init, 1}, {"mknod", make_device, 1},
    {"unshare-user", new_user_namespace, 1}, {"unshare-mount", new_mount_namespace, 1}, {"setns", join_namespace, 1},
    {"mmap-write-exec", writable_and_executable, 1}, {"mprotect-exec", executable_later, 1}, {"key-of-another-session", key_of_another, 1},
    {"setuid-root", become_root, 1}, {"setgroups", join_group, 1}, {"chroot", change_root, 1}, {"sethostname", host_name, 1}, {"set-clock", set_clock, 0},
    {"load-module", load_module, 0}, {"kernel-tunable", kernel_tunable, 0}, {"control-group", control_group, 1}, {"bpf", loads_bpf, 1},
    {"perf", watches_performance, 0}, {"personality", other_personality, 1}, {"set-uid-bit", set_uid_bit, 1}, {"real-time", real_time, 0},
    {"affinity", pin_to_processor, 1}, {"core-dumps", core_dumps, 1}, {"gain-by-exec", gain_by_exec, 1},
};

int main(int count, char **arguments) {
    if (count > 1 && strcmp(arguments[1], "--add-key") == 0)
        return syscall(SYS_add_key, "user", "forge-boot-test", "secret", 6UL, KEY_SPEC_USER_KEYRING) < 0;
    int only_table = count > 1 && strcmp(arguments[1], "--table") == 0;
    own = count > 1 ? arguments[1] : "";
    setvbuf(stdout, NULL, _IONBF, 0);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (only_table) { printf("%s %s\n", table[i].name, table[i].control ? "yes" : "no"); continue; }
        pid_t child = fork();
        if (child < 0) { printf("%s not-tried %s\n", table[i].name, strerrorname_np(errno)); continue; }
        if (child == 0) {
            errno = 0;
            _exit(table[i].run() == 0 ? 0 : (errno ? errno : 255));
        }
        int status;
        waitpid(child, &status, 0);
        if (WIFSIGNALED(status)) printf("%s killed %d\n", table[i].name, WTERMSIG(status));
        else if (WEXITSTATUS(status) == 0) printf("%s succeeded\n", table[i].name);
        else printf("%s refused %s\n", table[i].name, WEXITSTATUS(status) == 255 ? "?" : strerrorname_np(WEXITSTATUS(status)));
    }
    return 0;
}

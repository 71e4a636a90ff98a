// planted.cpp: what the host's run of kernels must catch (Sources/CUDA/simt_host.cpp), each planted in a kernel of its own, beside kernels that
// do the same thing rightly.
//
// owns      the expectation: the program ends by abort and says the word given; the right ones end in the sum they should
// flow      a child process a kernel; one line `N passed, N failed, N skipped`
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../Sources/CUDA/simt.h"

struct plant_job { float *out; };

/// Thread t gives t to its neighbour through shared memory.
template <class Between> static void pass_on(const plant_job &job, Between between) {
    fk_arena arena;
    const auto room = arena.take<float>(64);
    room[fk_thread()] = (float)fk_thread();
    between();
    job.out[fk_thread()] = room[fk_thread() ^ 1];
}
FK_KERNEL(right_barrier, plant_job, 64) { pass_on(job, [] { fk_sync(); }); }
FK_KERNEL(right_warp, plant_job, 64) { pass_on(job, [] { fk_sync_warp(); }); }
// The host's run goes through the threads in order: the planted reads are of what an earlier thread wrote.
FK_KERNEL(race_read, plant_job, 64) {
    fk_arena arena;
    const auto room = arena.take<float>(64);
    room[fk_thread()] = 1.0f;
    job.out[fk_thread()] = fk_thread() ? room[fk_thread() - 1] : 0.0f;
}
FK_KERNEL(race_between_warps, plant_job, 64) {
    fk_arena arena;
    const auto room = arena.take<float>(64);
    room[fk_thread()] = 1.0f;
    fk_sync_warp();
    job.out[fk_thread()] = fk_warp() ? room[fk_thread() ^ 32] : 0.0f;
}
FK_KERNEL(race_write, plant_job, 64) {
    fk_arena arena;
    const auto room = arena.take<float>(1);
    room[0] = (float)fk_thread();
    fk_sync();
    job.out[fk_thread()] = room[0];
}
FK_KERNEL(race_write_after_read, plant_job, 64) {
    fk_arena arena;
    const auto room = arena.take<float>(64);
    room[fk_thread()] = 1.0f;
    fk_sync();
    if (fk_thread() == 0) job.out[0] = room[1];
    else room[fk_thread()] = 2.0f;
}
FK_KERNEL(unwritten, plant_job, 64) {
    fk_arena arena;
    const auto room = arena.take<float>(64);
    job.out[fk_thread()] = room[fk_thread()];
}
FK_KERNEL(beyond, plant_job, 64) {
    fk_arena arena;
    const auto room = arena.take<float>(64);
    room[fk_thread() + 1] = 1.0f;
    job.out[fk_thread()] = 1.0f;
}
FK_KERNEL(askew, plant_job, 64) {
    fk_arena arena;
    const auto room = arena.take<float>(64);
    const auto quads = fk_as<float4>(room + 1);
    if (fk_thread() == 0) quads[0] = make_float4(1, 2, 3, 4);
    job.out[fk_thread()] = 1.0f;
}
FK_KERNEL(missed_barrier, plant_job, 64) {
    if (fk_lane() < 16) fk_sync();
    else fk_sync_warp();
    job.out[fk_thread()] = 1.0f;
}
FK_KERNEL(missed_shuffle, plant_job, 64) {
    if (fk_thread() != 5) job.out[fk_thread()] = fk_warp_sum(1.0f);
    else fk_sync();
}
FK_KERNEL(early_read, plant_job, 64) {
    fk_arena arena;
    const auto room = arena.take<float>(64);
    fk_async4(room + fk_thread(), job.out + fk_thread());
    fk_async_commit();
    job.out[fk_thread()] = room[fk_thread()];
    fk_async_wait<0>();
}
FK_KERNEL(unawaited, plant_job, 64) {
    fk_arena arena;
    const auto room = arena.take<float>(64);
    fk_async4(room + fk_thread(), job.out + fk_thread());
    fk_async_commit();
}
FK_KERNEL(right_async, plant_job, 64) {
    fk_arena arena;
    const auto room = arena.take<float>(64);
    if (fk_thread() < 63) job.out[fk_thread() + 1] = (float)(fk_thread() + 1);
    else job.out[0] = 0.0f;
    fk_sync();
    fk_async4(room + fk_thread(), job.out + fk_thread());
    fk_async_commit();
    fk_async_wait<0>();
    fk_sync();
    const float neighbour = room[fk_thread() ^ 1];
    job.out[fk_thread()] = neighbour;
}

static struct { fk_kernel *kernel; const char *word; } plants[] = {
    {&right_barrier, nullptr}, {&right_warp, nullptr}, {&right_async, nullptr},
    {&race_read, "reads what was written by"}, {&race_between_warps, "reads what was written by"}, {&race_write, "writes over what was written by"},
    {&race_write_after_read, "writes over what is read by"}, {&unwritten, "nobody wrote"}, {&beyond, "shared memory is left"}, {&askew, "not aligned"},
    {&missed_barrier, "not all of its threads reach"}, {&missed_shuffle, "not all of its threads reach"}, {&early_read, "nobody wrote"}, {&unawaited, "copies are under way"},
};

/// What the child said, and how it ended.
static int run(fk_kernel &kernel, char *said, size_t most) {
    int pipes[2];
    if (pipe(pipes)) return -1;
    const pid_t child = fork();
    if (child == 0) {
        dup2(pipes[1], 2);
        float out[64] = {};
        plant_job job = {out};
        fk_launch(nullptr, kernel, 1, 1, 256, job);
        float sum = 0;
        for (int i = 0; i < 64; i++) sum += out[i] * (float)(i + 1);
        // Σ (t ^ 1)(t + 1): each neighbour's number where it should be.
        _exit(sum == 87328.0f ? 0 : 1);
    }
    close(pipes[1]);
    size_t have = 0;
    for (ssize_t got; have + 1 < most && (got = read(pipes[0], said + have, most - 1 - have)) > 0;) have += (size_t)got;
    said[have] = 0;
    close(pipes[0]);
    int status = 0;
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int main() {
    int passed = 0, failed = 0;
    for (auto &plant : plants) {
        char said[4096];
        const int status = run(*plant.kernel, said, sizeof said);
        const bool right = plant.word ? status > 128 && strstr(said, plant.word) : status == 0;
        if (!right) fprintf(stderr, "planted: %s: status %d, said `%s`, wanted `%s`\n", plant.kernel->name, status, said, plant.word ? plant.word : "nothing");
        (right ? passed : failed)++;
    }
    printf("%d passed, %d failed, 0 skipped\n", passed, failed);
    return failed != 0;
}

//! What happens where io_uring or pinning is refused, as containers and hardened hosts do.
//!
//! A seccomp filter on the starting thread, inherited by the shards it starts, stands for the
//! container. One test, because limits belong to the whole process.

mod support;

use std::thread;

use gnatsd_shards::{Config, DriverChoice, DriverKind, Runtime, ShardId, StartError, start};
use rustix::process::{Resource, getrlimit, setrlimit};
use support::{RunStep, Script, Step, config, stop};

/// Makes `call` answer `errno` on this thread and on those it starts.
fn refuse(call: libc::c_long, errno: i32) {
    let call = u32::try_from(call).unwrap();
    let errno = u32::try_from(errno).unwrap();
    let statement = |code: u32, jt, jf, k| libc::sock_filter {
        code: u16::try_from(code).unwrap(),
        jt,
        jf,
        k,
    };
    let mut filter = [
        // The number of the call is the first word of `struct seccomp_data`.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, call),
        statement(
            libc::BPF_RET | libc::BPF_K,
            0,
            0,
            libc::SECCOMP_RET_ERRNO | errno,
        ),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).unwrap(),
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: the first call takes no pointer; the second reads `program` and the `filter` it
    // points to, and both outlive it.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(
            libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program),
            0
        );
    }
}

fn launch(config: Config) -> Result<Runtime<Step>, StartError> {
    start(config, |_: ShardId, _| Script::default())
}

/// Starts with `auto` and `uring` where `call` is refused.
fn start_refused(call: libc::c_long, errno: i32, expected: &'static str) {
    thread::spawn(move || {
        refuse(call, errno);
        falls_back(expected);
    })
    .join()
    .unwrap();
}

fn falls_back(expected: &str) {
    falls_back_with(2, expected);
}

fn falls_back_with(shards: usize, expected: &str) {
    let runtime = launch(config(shards, DriverChoice::Auto)).unwrap();
    assert_eq!(runtime.driver(), DriverKind::Epoll);
    let [warning] = runtime.warnings() else {
        panic!("warnings: {:?}", runtime.warnings());
    };
    assert!(warning.contains(expected), "{warning}");
    assert!(
        warning.ends_with("; running on the epoll driver"),
        "{warning}"
    );
    for shard in runtime.handles() {
        shard.run(|_, _| ());
    }
    stop(runtime);

    let Err(error @ StartError::Uring(_)) = launch(config(shards, DriverChoice::Uring)) else {
        panic!("it started");
    };
    assert!(error.to_string().contains(expected), "{error}");
}

/// Four shards fit into the descriptors left on epoll (8), not on io_uring (24), which
/// shows only after the probe has passed.
fn too_few_descriptors_for_executors() {
    let before = getrlimit(Resource::Nofile);
    let mut limit = before;
    let used = u64::try_from(support::entries("/proc/self/fd")).unwrap();
    limit.current = Some(used + 14);
    setrlimit(Resource::Nofile, limit).unwrap();
    falls_back_with(4, "an executor did not start: ");
    setrlimit(Resource::Nofile, before).unwrap();
}

#[test]
fn refused_calls_and_limits() {
    if !support::has_uring() {
        // It is refused for real; then the fallback must work, whatever the reason is.
        falls_back("io_uring is not available: ");
        return;
    }
    let eperm = libc::EPERM;
    start_refused(libc::SYS_io_uring_setup, eperm, "a seccomp profile");
    start_refused(libc::SYS_io_uring_enter, eperm, "io_uring_enter: ");
    start_refused(libc::SYS_io_uring_setup, libc::ENOSYS, "ENOSYS");
    start_refused(libc::SYS_io_uring_setup, libc::ENOMEM, "RLIMIT_MEMLOCK");
    too_few_descriptors_for_executors();

    thread::spawn(move || {
        refuse(libc::SYS_sched_setaffinity, eperm);
        for driver in [DriverChoice::Uring, DriverChoice::Epoll] {
            let config = Config {
                driver,
                ..Config::default()
            };
            let runtime = launch(config).unwrap();
            let [warning] = runtime.warnings() else {
                panic!("warnings: {:?}", runtime.warnings());
            };
            assert!(warning.starts_with("shards are not pinned: "), "{warning}");
            stop(runtime);
        }
    })
    .join()
    .unwrap();

    // Last: an unprivileged process cannot raise it again.
    let mut limit = getrlimit(Resource::Memlock);
    limit.current = Some(64 * 1024);
    limit.maximum = Some(64 * 1024);
    setrlimit(Resource::Memlock, limit).unwrap();
    falls_back("RLIMIT_MEMLOCK is 64 KiB");
}

#[test]
fn no_shards_are_an_error() {
    assert!(matches!(
        launch(config(0, DriverChoice::Auto)),
        Err(StartError::ShardCount(0))
    ));
}

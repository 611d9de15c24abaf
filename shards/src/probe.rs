//! May this process use io_uring, and if not, who refuses it and what allows it.
//!
//! Owns the raw system calls of the question and the texts of the answer. Asked once, before any
//! executor exists, because glommio finds out late and says less.

use std::fmt;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use rustix::process::{Resource, getrlimit, setrlimit};

/// Smallest RLIMIT_MEMLOCK with which an executor starts, in bytes. Source: glommio-ng 0.12,
/// `sys/uring.rs`, MIN_MEMLOCK_LIMIT.
const MEMLOCK_BYTES_MIN: u64 = 512 * 1024;

/// Size of `struct io_uring_params`, in 8-byte words. Source: Linux `include/uapi/linux/io_uring.h`.
const PARAMS_WORDS: usize = 15;

/// First kernel with the operations that glommio submits. Source: glommio-ng 0.12,
/// `sys/uring.rs`, GLOMMIO_URING_OPS.
const KERNEL_MIN: (u32, u32) = (5, 6);

/// Who refuses io_uring. `Display` says that, and how to allow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// `kernel.io_uring_disabled` is set to this.
    Sysctl(u32),
    /// Not permitted, and no sysctl to blame.
    Seccomp {
        /// The call that was refused.
        call: &'static str,
        /// What it answered.
        errno: i32,
    },
    /// The call does not exist, or a filter pretends so.
    Missing {
        /// The running kernel, as `uname -r` prints it.
        kernel: String,
    },
    /// Locked memory is short.
    Memlock {
        /// RLIMIT_MEMLOCK after it was raised as far as permitted, in bytes.
        bytes: u64,
    },
    /// Something else.
    Other {
        /// The call that was refused.
        call: &'static str,
        /// What it answered.
        errno: i32,
    },
    /// The probe passed, but an executor did not start.
    Executor {
        /// What the first one that failed said.
        message: String,
        /// RLIMIT_MEMLOCK, in bytes: the usual reason why the n-th of several rings fails.
        memlock_bytes: u64,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("io_uring is not available: ")?;
        match self {
            Self::Sysctl(1) => f.write_str(
                "kernel.io_uring_disabled=1 keeps it for CAP_SYS_ADMIN and members of \
                 kernel.io_uring_group; join the group or set it to 0",
            ),
            Self::Sysctl(value) => write!(
                f,
                "kernel.io_uring_disabled={value} switches it off; set it to 0"
            ),
            Self::Seccomp { call, errno } => write!(
                f,
                "{call}: {}; a seccomp profile or security module refuses it, as container \
                 runtimes do by default; run with a profile that allows io_uring_setup, \
                 io_uring_enter and io_uring_register, such as the one in configs/",
                io::Error::from_raw_os_error(*errno)
            ),
            Self::Missing { kernel } if kernel_version(kernel) >= Some(KERNEL_MIN) => write!(
                f,
                "kernel {kernel} should have it but answers ENOSYS; it was built without io_uring, \
                 or a seccomp profile hides it: run with a profile that allows io_uring_setup, \
                 io_uring_enter and io_uring_register, such as the one in configs/"
            ),
            Self::Missing { kernel } => write!(
                f,
                "kernel {kernel} does not have it; want {}.{} or newer",
                KERNEL_MIN.0, KERNEL_MIN.1
            ),
            Self::Memlock { bytes } => write!(
                f,
                "RLIMIT_MEMLOCK is {} KiB and too small; raise it with LimitMEMLOCK= in the \
                 service's unit or ulimit -l",
                bytes / 1024
            ),
            Self::Other { call, errno } => {
                write!(f, "{call}: {}", io::Error::from_raw_os_error(*errno))
            }
            Self::Executor {
                message,
                memlock_bytes,
            } => {
                write!(f, "an executor did not start: {message}")?;
                if *memlock_bytes == u64::MAX {
                    return Ok(());
                }
                write!(
                    f,
                    "; RLIMIT_MEMLOCK is {} KiB, if that is short raise it with LimitMEMLOCK= in \
                     the service's unit or ulimit -l",
                    memlock_bytes / 1024
                )
            }
        }
    }
}

/// Raises RLIMIT_MEMLOCK as far as an unprivileged process may, then sets up and enters a small
/// ring and throws it away.
///
/// # Errors
/// Who refuses.
pub(crate) fn uring() -> Result<(), Refusal> {
    raise_memlock();
    let ring = setup().map_err(|errno| refusal("io_uring_setup", errno))?;
    enter(&ring).map_err(|errno| refusal("io_uring_enter", errno))?;
    let bytes = memlock_bytes();
    if bytes < MEMLOCK_BYTES_MIN {
        return Err(Refusal::Memlock { bytes });
    }
    Ok(())
}

/// The refusal of an executor that failed after the probe had passed.
pub(crate) fn executor_refusal(message: String) -> Refusal {
    Refusal::Executor {
        message,
        memlock_bytes: memlock_bytes(),
    }
}

fn setup() -> Result<OwnedFd, i32> {
    let mut params = [0_u64; PARAMS_WORDS];
    // SAFETY: `io_uring_setup(entries, params)` reads and writes one `struct io_uring_params`,
    // which is 120 bytes and aligned to 8; `params` is exactly that, zeroed as the call demands,
    // and outlives it.
    let answer = unsafe { libc::syscall(libc::SYS_io_uring_setup, 4_u32, params.as_mut_ptr()) };
    match i32::try_from(answer) {
        // SAFETY: the call has just returned this descriptor and nobody else knows it.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(last_errno()),
    }
}

fn enter(ring: &OwnedFd) -> Result<(), i32> {
    // SAFETY: nothing is submitted and nothing waited for; the null signal mask with size zero
    // leaves the mask alone, so the call touches no memory of ours.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_io_uring_enter,
            ring.as_raw_fd(),
            0_u32,
            0_u32,
            0_u32,
            std::ptr::null::<libc::sigset_t>(),
            0_usize,
        )
    };
    if answer < 0 {
        Err(last_errno())
    } else {
        Ok(())
    }
}

fn last_errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

fn refusal(call: &'static str, errno: i32) -> Refusal {
    match errno {
        libc::EPERM | libc::EACCES => match disabled_by_sysctl() {
            Some(value) if value > 0 => Refusal::Sysctl(value),
            _ => Refusal::Seccomp { call, errno },
        },
        libc::ENOSYS => Refusal::Missing {
            kernel: rustix::system::uname()
                .release()
                .to_string_lossy()
                .into_owned(),
        },
        libc::ENOMEM => Refusal::Memlock {
            bytes: memlock_bytes(),
        },
        _ => Refusal::Other { call, errno },
    }
}

/// `kernel.io_uring_disabled`; kernels before 6.6 do not have it.
fn disabled_by_sysctl() -> Option<u32> {
    fs::read_to_string("/proc/sys/kernel/io_uring_disabled")
        .ok()?
        .trim()
        .parse()
        .ok()
}

/// Major and minor of a release such as `6.1.0-18-amd64`.
fn kernel_version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Soft limit of locked memory, in bytes; `u64::MAX` where there is none.
fn memlock_bytes() -> u64 {
    getrlimit(Resource::Memlock).current.unwrap_or(u64::MAX)
}

fn raise_memlock() {
    let mut limit = getrlimit(Resource::Memlock);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        // A refusal changes nothing: the limit is looked at again where it matters.
        let _ = setrlimit(Resource::Memlock, limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_says_who_and_what_to_do() {
        let eperm = libc::EPERM;
        let table = [
            (Refusal::Sysctl(1), "kernel.io_uring_group"),
            (Refusal::Sysctl(2), "kernel.io_uring_disabled=2"),
            (
                Refusal::Seccomp {
                    call: "io_uring_setup",
                    errno: eperm,
                },
                "io_uring_setup: Operation not permitted (os error 1); a seccomp profile",
            ),
            (
                Refusal::Missing {
                    kernel: "5.4.0-42-generic".to_owned(),
                },
                "kernel 5.4.0-42-generic does not have it; want 5.6",
            ),
            (
                Refusal::Missing {
                    kernel: "6.1.0-18-amd64".to_owned(),
                },
                "a seccomp profile hides it",
            ),
            (
                Refusal::Memlock { bytes: 65536 },
                "RLIMIT_MEMLOCK is 64 KiB and too small; raise it with LimitMEMLOCK=",
            ),
            (
                Refusal::Other {
                    call: "io_uring_setup",
                    errno: libc::EMFILE,
                },
                "io_uring_setup: Too many open files",
            ),
            (
                executor_refusal("Cannot allocate memory".to_owned()),
                "an executor did not start: Cannot allocate memory",
            ),
        ];
        for (refusal, part) in table {
            let text = refusal.to_string();
            assert!(text.starts_with("io_uring is not available: "), "{text}");
            assert!(text.contains(part), "{text}");
            assert!(!text.contains('\n'), "{text}");
        }
    }

    #[test]
    fn errnos_are_told_apart() {
        assert!(matches!(
            refusal("io_uring_setup", libc::ENOSYS),
            Refusal::Missing { .. }
        ));
        assert!(matches!(
            refusal("io_uring_setup", libc::ENOMEM),
            Refusal::Memlock { .. }
        ));
        assert!(matches!(
            refusal("io_uring_setup", libc::EPERM),
            Refusal::Seccomp { .. } | Refusal::Sysctl(_)
        ));
    }

    #[test]
    fn releases_are_read() {
        assert_eq!(kernel_version("6.1.0-18-amd64"), Some((6, 1)));
        assert_eq!(kernel_version("5.6-rc1"), Some((5, 6)));
        assert_eq!(kernel_version("weird"), None);
    }
}

//! What the latch asks of the kernel: the boot clock, how many bytes of a connection it has not
//! sent yet, and the two ways to cut a connection. The one module of this crate with `unsafe`; each
//! call takes plain numbers and a descriptor that its caller keeps open meanwhile.
#![expect(
    unsafe_code,
    reason = "system calls that the standard library does not offer"
)]

use std::{
    mem::ManuallyDrop,
    net::TcpStream,
    os::fd::{FromRawFd, RawFd},
};

/// Linux' request for the bytes of a TCP connection that were accepted but not sent yet
/// (`linux/sockios.h`). Bytes sent and not acknowledged do not count.
const SIOCOUTQNSD: libc::Ioctl = 0x894B;

/// Microseconds of CLOCK_BOOTTIME: since the machine was started, suspended time included. The
/// far future if the kernel does not answer, so that every beat then counts as missed.
pub fn boottime_us() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid timespec that outlives the call, which writes nothing else.
    if unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) } != 0 {
        return u64::MAX;
    }
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds
        .saturating_mul(1_000_000)
        .saturating_add(nanos / 1_000)
}

/// The port at this end of a TCP connection.
pub(crate) fn local_port(fd: RawFd) -> Option<u16> {
    // SAFETY: `fd` is open for the length of this function, and `ManuallyDrop` leaves it open.
    let borrowed = ManuallyDrop::new(unsafe { TcpStream::from_raw_fd(fd) });
    Some(borrowed.local_addr().ok()?.port())
}

/// Whether the kernel still holds bytes of the connection that it has not sent. A socket that
/// cannot tell (not TCP) counts as one that does.
pub(crate) fn holds_unsent(fd: RawFd) -> bool {
    let mut bytes: libc::c_int = 0;
    // SAFETY: `fd` is open for the length of the call, and `bytes` is the int that the request
    // writes to.
    let answer = unsafe { libc::ioctl(fd, SIOCOUTQNSD, &raw mut bytes) };
    answer != 0 || bytes > 0
}

/// Shuts both directions: a `send` that begins afterwards fails, what the kernel holds still goes.
pub(crate) fn shut(fd: RawFd) {
    // SAFETY: takes no pointer; `fd` is open for the length of the call. A failure means that the
    // connection has ended already.
    unsafe { libc::shutdown(fd, libc::SHUT_RDWR) };
}

/// Dissolves the connection: the kernel drops what it has not sent, and resets the peer. `false`
/// when the kernel refused.
pub(crate) fn dissolve(fd: RawFd) -> bool {
    let nowhere = libc::sockaddr {
        sa_family: libc::sa_family_t::try_from(libc::AF_UNSPEC).unwrap_or(0),
        sa_data: [0; 14],
    };
    let len = libc::socklen_t::try_from(size_of::<libc::sockaddr>()).unwrap_or(16);
    // SAFETY: `nowhere` is a valid sockaddr of `len` bytes that outlives the call, which only
    // reads it; `fd` is open for the length of the call.
    unsafe { libc::connect(fd, &raw const nowhere, len) == 0 }
}
